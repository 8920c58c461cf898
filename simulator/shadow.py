"""A station's side of its classic device shadow: what it asks, hears and reports. No network here.

Topics and documents are those of "Device Shadow MQTT topics" and "Device Shadow service documents" (AWS IoT
developer guide).
"""

from collections.abc import Callable
from typing import Any

import msgspec

from simulator.journal import Journal
from simulator.settings import Settings, apply
from simulator.state import StateFile

_encode = msgspec.json.Encoder().encode
_NOT_FOUND = 404


class Shadow:
    """Follows the desired settings of one station, and reports what became of them."""

    __slots__ = (
        "_file",
        "_journal",
        "_prefix",
        "_refused",
        "_said",
        "_station_id",
        "_version",
        "changed",
        "settings",
    )

    def __init__(
        self,
        station_id: str,
        interval: float,
        file: StateFile,
        journal: Journal,
        changed: Callable[[Settings], None] = lambda _: None,
    ) -> None:
        """Begin with what the file has of the station.

        Args:
            station_id: whose.
            interval: seconds between two messages, where nothing else was set.
            file: where settings are kept over a restart.
            journal: what notes which settings the station follows.
            changed: called with the settings when they have changed.
        """
        self._station_id, self._file, self._journal, self.changed = station_id, file, journal, changed
        self._prefix = f"$aws/things/{station_id}/shadow"
        self._version = 0
        self._refused: dict[str, str] = {}
        # What the shadow may have under "refused": a merge keeps what is not taken away by name.
        self._said: set[str] = set()
        self.settings, _ = apply(Settings(interval), file.known(station_id))

    @property
    def filters(self) -> tuple[str, ...]:
        """What to subscribe to before asking."""
        return tuple(f"{self._prefix}/{name}" for name in ("update/delta", "get/accepted", "get/rejected"))

    def ask(self) -> str:
        """Return the topic where an empty message asks for the whole shadow, as a new connection does."""
        self._version = 0
        return f"{self._prefix}/get"

    @property
    def update_topic(self) -> str:
        """Where a report goes."""
        return f"{self._prefix}/update"

    def hear(self, topic: str, payload: bytes) -> bytes | None:
        """Take a message of the shadow service.

        Returns:
            The report to publish, or None where there is nothing new to report.
        """
        name = topic.removeprefix(f"{self._prefix}/")
        said = _document(payload)
        state = _object(said.get("state"))
        # At QoS 1 an answer may come late, and again: what a later version said since holds.
        if name == "get/accepted" and said.get("version", 0) >= self._version:
            self._version = said.get("version", 0)
            self._follow(_object(_object(state.get("desired")).get("settings")))
            self._note()
            reported = _object(state.get("reported"))
            refused = _object(reported.get("refused"))
            self._said |= refused.keys()
            known = (reported.get("settings"), refused)
            return None if known == self._state() else self.report()
        if name == "get/rejected" and said.get("code") == _NOT_FOUND:
            self._note()
            return self.report()
        # Deltas may come late and out of order: the developer guide says to discard older versions.
        if name == "update/delta" and said.get("version", 0) > self._version:
            self._version = said["version"]
            before = self._state()
            self._follow(_object(state.get("settings")))
            # A refused setting stays in the delta, which every report would call forth again.
            if before == self._state():
                return None
            self._note()
            return self.report()
        return None

    def report(self) -> bytes:
        """Return the update document with all settings, and what was refused with its reasons."""
        refused = dict.fromkeys(self._said) | self._refused if self._refused else None
        self._said = set(self._refused)
        reported = {"settings": msgspec.structs.asdict(self.settings), "refused": refused}
        return bytes(_encode({"state": {"reported": reported}}))

    def _state(self) -> tuple[dict[str, Any], dict[str, str]]:
        return msgspec.structs.asdict(self.settings), self._refused

    def _note(self) -> None:
        self._journal.follows(self._station_id, self._version, *self._state())

    def _follow(self, desired: dict[str, Any]) -> None:
        before = self.settings
        self.settings, self._refused = apply(before, desired)
        # Before it takes effect. Only what was set: another --interval counts for who has none set.
        taken = {name: value for name, value in desired.items() if name not in self._refused}
        self._file.keep(self._station_id, taken)
        if self.settings != before:
            self.changed(self.settings)


def _document(payload: bytes) -> dict[str, Any]:
    try:
        return _object(msgspec.json.decode(payload))
    except msgspec.DecodeError:
        return {}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
