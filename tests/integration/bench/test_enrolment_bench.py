"""The short form of `python -m bench enrolment`: a small fleet is enrolled and gone again, at its own emulator."""

import json
from pathlib import Path

from bench import enrolment


def test_a_fleet_is_enrolled_found_and_removed(tmp_path: Path) -> None:
    report = tmp_path / "enrolment.json"
    found = enrolment.run(5, print, report=report)
    assert [one.what for one in found] == ["enrolled", "enrolled again", "removed"]
    assert found[0].cpu_milliseconds_a_station > 0
    assert len(json.loads(report.read_text())["figures"]) == 3
