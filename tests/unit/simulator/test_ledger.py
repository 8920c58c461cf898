"""The ledger is complete or the run says that it is not."""

import json
import resource
from pathlib import Path

import pytest

from simulator.ledger import Ledger, LedgerError


def fill(ledger: Ledger, numbers: range) -> None:
    for number in numbers:
        ledger.add(f"station-01-run-{number}", "station-01", number, "2026-03-02T08:00:00.000Z")


def sequences(path: Path) -> list[int]:
    return [json.loads(line)["sequence"] for line in path.read_text().splitlines()]


def test_lines_are_as_the_contract_says(tmp_path: Path) -> None:
    """One JSON object a line with the five fields of the contract; a second run is appended."""
    path = tmp_path / "new" / "ledger.ndjson"
    for run in (range(1, 3), range(3, 4)):
        ledger = Ledger(path)
        fill(ledger, run)
        ledger.close()
    assert sequences(path) == [1, 2, 3]
    line = json.loads(path.read_text().splitlines()[0])
    assert list(line) == ["message_id", "station_id", "sequence", "timestamp", "acked_at"]
    assert line["acked_at"].endswith("Z")


def test_a_flush_is_on_disk(tmp_path: Path) -> None:
    """After a flush the death of the process loses nothing."""
    ledger = Ledger(tmp_path / "ledger.ndjson")
    fill(ledger, range(1, 101))
    ledger.flush()
    assert sequences(tmp_path / "ledger.ndjson") == list(range(1, 101))
    ledger.close()


def test_a_full_disk_is_an_error_not_a_gap() -> None:
    """When the disk is full the ledger says that it is not complete."""
    ledger = Ledger(Path("/dev/full"))
    fill(ledger, range(1, 3))
    with pytest.raises(LedgerError, match="/dev/full cannot be written, so it is not complete"):
        ledger.flush()
    with pytest.raises(LedgerError):
        ledger.close()


def test_a_disk_with_room_again_gets_every_line_once(tmp_path: Path) -> None:
    """What a full disk cut in two is completed when there is room again: no torn line, none twice."""
    path = tmp_path / "ledger.ndjson"
    ledger = Ledger(path)
    fill(ledger, range(1, 51))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # not a multiple of a line's length
    try:
        with pytest.raises(LedgerError):
            ledger.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.stat().st_size == 1000
    fill(ledger, range(51, 61))
    ledger.close()
    assert sequences(path) == list(range(1, 61))


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """A folder in the file's place is said at the start, not at the end of a long run."""
    with pytest.raises(LedgerError, match="cannot be opened"):
        Ledger(tmp_path)
