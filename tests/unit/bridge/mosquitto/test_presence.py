"""Presence from Mosquitto's log, over restarts of both."""

import json
from pathlib import Path

import pytest

from bridge.broker.attendance import Attendance
from bridge.mosquitto.presence import PresenceLog
from bridge.presence import Connected

CAME = "1795457347: New client connected from 127.0.0.1:50312 as {0} (p2, c1, k60, u'{0}')."


class Log:
    """A log that grows, and its reader."""

    def __init__(self, folder: Path) -> None:
        self.path, self._state = folder / "mosquitto.log", folder / "presence.json"
        self.path.touch()
        self.reader = self.restart()

    def restart(self) -> PresenceLog:
        self.reader = PresenceLog(self.path, self._state, unseen=frozenset({"bridge"}))
        return self.reader

    def write(self, *lines: str, end: str = "\n") -> None:
        with self.path.open("a") as log:
            log.write("\n".join(lines) + end)

    def events(self) -> list[tuple[str, str, str | None]]:
        found = [json.loads(payload) for _, payload in self.reader.events(lambda name: f"cert-{name}")]
        return [(one["clientId"], one["eventType"], one.get("disconnectReason")) for one in found]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("Client a disconnected.", "CLIENT_INITIATED_DISCONNECT"),
        ("Client a closed its connection.", "CONNECTION_LOST"),
        ("Client a disconnected: Connection reset by peer.", "CONNECTION_LOST"),
        ("Client a has exceeded timeout, disconnecting.", "MQTT_KEEP_ALIVE_TIMEOUT"),
        ("Client a already connected, closing old connection.", "DUPLICATE_CLIENTID"),
        ("Client a disconnected due to protocol error.", "CLIENT_ERROR"),
        ("Client a disconnected, not authorised.", "AUTH_ERROR"),
        ("mosquitto version 2.0.11 starting", "SERVER_ERROR"),
    ],
)
def test_who_comes_and_goes_and_why(log: Log, line: str, reason: str) -> None:
    log.write(CAME.format("a"), f"1795457348: {line}")
    assert log.events() == [("a", "connected", None), ("a", "disconnected", reason)]
    log.reader.remember()
    assert log.events() == []


def test_the_bridge_and_internal_clients_come_and_go_without_a_word(log: Log) -> None:
    log.write(
        CAME.format("bridge"),
        "1795457348: Client bridge closed its connection.",
        "1795457348: New client connected from /tmp/s as a (p2, c1, k60).",
        "1795457348: Client a disconnected.",
    )
    assert log.events() == []


def test_what_was_not_remembered_comes_again_and_half_a_line_waits(log: Log) -> None:
    log.write(CAME.format("a"), "1795457348: Client a clo", end="")
    assert log.events() == [("a", "connected", None)]
    log.restart()
    assert log.events() == [("a", "connected", None)]
    log.reader.remember()
    log.write("sed its connection.")
    log.restart()
    assert log.events() == [("a", "disconnected", "CONNECTION_LOST")]


def test_the_journal_of_a_killed_broker_says_who_was_there(tmp_path: Path) -> None:
    path = tmp_path / "attendance.ndjson"
    journal = Attendance(path)
    for name in ("stays", "goes"):
        journal.came(Connected(name, f"cert-{name}", "127.0.0.1", 7, "s"))
    journal.went("goes")
    with path.open("ab") as cut:
        cut.write(b'["hal')
    after = Attendance(path)
    assert after.present == {"stays": Connected("stays", "cert-stays", "127.0.0.1", 7, "s")}
    after.close()
    journal.close()
