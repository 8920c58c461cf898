"""Terraform is found, or its absence is said with the way out."""

from pathlib import Path

import pytest

from testbed.deploy import terraform
from testbed.errors import TestbedError


def test_no_terraform_and_none_to_be_had_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TESTBED_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(terraform, "_CARRIER", "no-such-package-carries-terraform")
    with pytest.raises(TestbedError, match="not on PATH") as error:
        terraform.find()
    assert "developer.hashicorp.com" in error.value.remedy
