"""The journal of who is enrolled."""

from pathlib import Path

from testbed.identity.registration import Journal


def test_who_came_and_did_not_go_is_enrolled(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert journal.read() == {}
    journal.note("station-1", "arn:1")
    journal.note("station-2", "arn:2")
    journal.note("station-1", "")
    assert Journal(tmp_path).read() == {"station-2": "arn:2"}
