"""A station's commands: carried out once, answered each time, and not when they come too late."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from simulator.commands import Commands
from simulator.journal import Journal
from simulator.state import StateFile

NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)


_opened: list[StateFile] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while _opened:
        _opened.pop().close()


class Station:
    """A station of four slots that counts its restarts."""

    def __init__(self, folder: Path | None = None) -> None:
        self.restarts = 0
        self.file = StateFile(folder / "state" if folder else None)
        _opened.append(self.file)
        journal = Journal(folder / "journal" if folder else None)
        self.commands = Commands("station-01", "a/b", 4, self._restart, self.file, journal)

    def _restart(self) -> None:
        self.restarts += 1

    def hear(self, command: str, command_id: str = "c1", later: float = 30, **fields: Any) -> Any:
        message = {
            "command_id": command_id,
            "command": command,
            "expires_at": (NOW + timedelta(seconds=later)).isoformat(),
        }
        answer = self.commands.hear(json.dumps(message | fields).encode(), NOW)
        return json.loads(answer) if answer else None


def test_a_command_that_comes_twice_is_carried_out_once_and_answered_twice() -> None:
    station = Station()
    first = station.hear("restart")
    assert first == {
        "command_id": "c1",
        "outcome": "succeeded",
        "detail": "restarts",
        "answered_at": "2026-11-25T09:00:00.000Z",
    }
    assert station.hear("restart") == first
    assert station.restarts == 1
    station.hear("restart", "c2")
    assert station.restarts == 2


def test_a_command_that_nobody_waits_for_any_more_is_left() -> None:
    station = Station()
    assert station.hear("restart", later=-1) is None
    assert station.restarts == 0


@pytest.mark.parametrize(
    ("slot", "outcome"), [(1, "succeeded"), (4, "succeeded"), (0, "failed"), (5, "failed")]
)
def test_a_slot_that_is_not_there_cannot_be_unlocked(slot: int, outcome: str) -> None:
    assert Station().hear("unlock_slot", slot=slot)["outcome"] == outcome


@pytest.mark.parametrize("payload", [b"", b"[]", b"\xff", b'{"command_id": "x", "command": "explode"}'])
def test_what_is_no_command_is_not_answered(payload: bytes) -> None:
    assert Station().commands.hear(payload, NOW) is None


@pytest.mark.parametrize("when", ["2026-11-25T09:00:30", 7, None])
def test_a_command_without_a_moment_is_none(when: Any) -> None:
    message = {"command_id": "x", "command": "identify", "expires_at": when}
    assert Station().commands.hear(json.dumps(message).encode(), NOW) is None


def test_a_command_is_carried_out_once_though_the_simulator_was_restarted(tmp_path: Path) -> None:
    before = Station(tmp_path)
    first = before.hear("restart")
    after = Station(tmp_path)
    assert after.hear("restart") == first
    assert (before.restarts, after.restarts) == (1, 0)
    [line] = map(json.loads, (tmp_path / "journal").read_text().splitlines())
    assert (line["did"], line["station_id"], line["command_id"]) == ("carries out", "station-01", "c1")


def test_a_command_is_forgotten_when_it_would_not_be_taken_any_more(tmp_path: Path) -> None:
    """However many there are: up to then each of them may come again."""
    station = Station(tmp_path)
    for number in range(100):
        station.hear("restart", f"c{number}", later=30)
    for number in range(100):
        station.hear("restart", f"c{number}", later=30)
    assert station.restarts == 100
    late = {"command_id": "late", "command": "identify", "expires_at": (NOW + timedelta(hours=1)).isoformat()}
    station.commands.hear(json.dumps(late).encode(), NOW + timedelta(seconds=31))
    assert station.file.answer("station-01", "c7") is None
    assert station.file.answer("station-01", "late")
