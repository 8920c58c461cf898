"""Lambda packages are the same bytes every time."""

from pathlib import Path

from testbed.deploy import packaging


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
    import zipfile

    packaging.write_zip(tmp_path / "p.zip", [("x", tree(tmp_path / "tree", 0o644))])
    names = zipfile.ZipFile(tmp_path / "p.zip").namelist()
    assert names == ["x/a.py", "x/b.py", "x/pkg-1.dist-info/METADATA"]
