"""Settings of the stations, kept over a restart of the simulator: a line of JSON a change, the last one counts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from simulator.options import FleetError


class SettingsFile:
    """Appends to a file, each line with one write: several processes of a fleet may share it."""

    def __init__(self, path: Path | None) -> None:
        """Read what is there; without ``path`` settings are kept as long as the program runs.

        Raises:
            FleetError: the file cannot be read or written.
        """
        self._known: dict[str, dict[str, Any]] = {}
        self._path = path
        try:
            if path:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._append(b"")
            for line in path.read_bytes().splitlines() if path else ():
                self._read(line)
        except OSError as error:
            raise FleetError(f"The stations' settings {path} cannot be kept: {error}") from error

    def _read(self, line: bytes) -> None:
        try:
            change = msgspec.json.decode(line)
            self._known[change["station_id"]] = change["settings"]
        except (msgspec.DecodeError, KeyError, TypeError):
            return  # the end of a line that a full disk or a kill cut off

    def known(self, station_id: str) -> dict[str, Any]:
        """Return the settings that a station had last; empty if nobody set any."""
        return self._known.get(station_id, {})

    def keep(self, station_id: str, settings: Mapping[str, Any]) -> None:
        """Write down what was set at a station, beside what was set before; nothing where that is the same.

        Raises:
            FleetError: they could not be written.
        """
        known = self.known(station_id)
        if known == {**known, **settings}:
            return
        self._known[station_id] = {**known, **settings}
        line = msgspec.json.encode({"station_id": station_id, "settings": self._known[station_id]}) + b"\n"
        try:
            self._append(line)
        except OSError as error:
            raise FleetError(f"The stations' settings {self._path} cannot be kept: {error}") from error

    def _append(self, line: bytes) -> None:
        if self._path:
            with self._path.open("ab", buffering=0) as file:
                file.write(line)
