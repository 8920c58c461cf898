"""A station's commands: carried out once, answered each time, and not when they come too late."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from simulator.commands import Commands

NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)


class Station:
    """A station of four slots that counts its restarts."""

    def __init__(self) -> None:
        self.restarts = 0
        self.commands = Commands("station-01", "a/b", 4, self._restart)

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


def test_a_station_remembers_so_many_commands_and_no_more() -> None:
    station = Station()
    for number in range(100):
        station.hear("identify", f"c{number}")
    assert len(station.commands._answers) == 64
