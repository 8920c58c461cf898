"""`testbed doctor`: what is lacking is said with its mend."""

from pathlib import Path

import pytest

from testbed.deploy import doctor, template
from testbed.errors import TestbedError


def test_everything_that_lacks_something_says_how_to_mend_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> str:
        raise TestbedError("Neither is on PATH.", "Install it.")

    found = {finding.what: finding for finding in doctor.examine()}
    assert {"Python", "uv", "Terraform", "Docker Compose", "project"} <= found.keys()
    assert not found["project"].mend
    monkeypatch.setattr(doctor.terraform, "find", nowhere)
    lacking = {finding.what: finding for finding in doctor.examine()}["Terraform"]
    assert lacking.needed
    assert lacking.mend == "Install it."


def test_a_new_project_is_read_without_a_complaint_and_never_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = template.write(tmp_path, "my-devices")
    monkeypatch.chdir(tmp_path)
    assert doctor.project().described.name == "my-devices"
    written[0].write_text("the user's")
    with pytest.raises(TestbedError, match="nothing was written"):
        template.write(tmp_path, "other")
    assert written[0].read_text() == "the user's"
