"""Terraform or OpenTofu is found on PATH and nowhere else, or its absence is said with the way out."""

from pathlib import Path

import pytest

from testbed.deploy import terraform
from testbed.errors import TestbedError


def test_with_an_empty_path_nothing_is_installed_and_the_error_says_how_to_install_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TESTBED_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(TestbedError, match="on PATH") as error:
        terraform.find()
    assert "developer.hashicorp.com/terraform/install" in error.value.remedy
    assert "opentofu.org/docs/intro/install" in error.value.remedy
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("there", "found"),
    [(["tofu"], "tofu"), (["terraform"], "terraform"), (["terraform", "tofu"], "terraform")],
)
def test_terraform_is_taken_or_else_opentofu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: list[str], found: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in there:
        (tmp_path / name).touch(mode=0o755)
    assert terraform.find() == str(tmp_path / found)
