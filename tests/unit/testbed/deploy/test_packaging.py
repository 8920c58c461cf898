"""Lambda packages are the same bytes every time."""

import zipfile
from pathlib import Path

import pytest

from testbed.deploy import packaging
from testbed.engines.base import Runtime


def tree(folder: Path, mode: int) -> Path:
    folder.mkdir()
    for name in ("b.py", "a.py", "pkg-1.dist-info/RECORD", "pkg-1.dist-info/METADATA", "__pycache__/a.pyc"):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
        path.chmod(mode)
    return folder


def test_permissions_times_and_order_leave_no_trace(tmp_path: Path) -> None:
    for name, mode in (("one", 0o600), ("two", 0o755)):
        packaging.write_zip(tmp_path / f"{name}.zip", [("", tree(tmp_path / name, mode))])
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_what_an_installation_notes_stays_out(tmp_path: Path) -> None:
    packaging.write_zip(tmp_path / "p.zip", [("x", tree(tmp_path / "tree", 0o644))])
    names = zipfile.ZipFile(tmp_path / "p.zip").namelist()
    assert names == ["x/a.py", "x/b.py", "x/pkg-1.dist-info/METADATA"]


def test_a_function_that_is_switched_off_is_not_built_and_one_that_is_on_has_its_further_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {
        "testbed.toml": 'name = "p"\n[functions.large]\nsource = "large"\ninto = "large"\n'
        'also = ["shared/code.py"]\nonly_with = "large"\n',
        "terraform/main.tf": 'variable "large" {\n  default = false\n}\n',
        "large/app.py": "",
        "shared/code.py": "",
        "shared/other.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TESTBED_HOME", str(tmp_path / "state"))
    runtime, folder = Runtime.of_this_machine(), tmp_path / "packages"
    assert packaging.build(runtime, folder) == []
    monkeypatch.setenv("TF_VAR_large", "true")
    assert packaging.build(runtime, folder) == ["large"]
    assert zipfile.ZipFile(folder / "large.zip").namelist() == ["large/app.py", "shared/code.py"]
    (tmp_path / "shared/other.py").write_text("changed")
    assert packaging.build(runtime, folder) == []
    (tmp_path / "shared/code.py").write_text("changed")
    assert packaging.build(runtime, folder) == ["large"]
