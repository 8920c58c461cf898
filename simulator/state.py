"""What stations keep over a restart of the simulator: settings, firmware, and the commands that were carried out."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from simulator.options import FleetError

# How long another process of the fleet may write.
_PATIENCE_SECONDS = 60
_TABLES = """
CREATE TABLE IF NOT EXISTS settings (station TEXT PRIMARY KEY, settings BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS firmware (
    station TEXT PRIMARY KEY, version TEXT NOT NULL, before TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS commands (
    station TEXT NOT NULL, id TEXT NOT NULL, answer BLOB NOT NULL, expires_at REAL NOT NULL, PRIMARY KEY (station, id)
) WITHOUT ROWID;
"""


class StateFile:
    """A SQLite file, which several processes of a fleet may share.

    It has one row a station in each table, and one for each command whose time is not over. Written without
    ``fsync`` at each commit: it outlives the process, as a station's memory does, and not a power cut.
    """

    def __init__(self, path: Path | None) -> None:
        """Open or make it; without ``path`` things are kept as long as the program runs.

        Raises:
            FleetError: the file cannot be read or written.
        """
        self._path = path
        with self._told():
            if path:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path or ":memory:", timeout=_PATIENCE_SECONDS, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(_TABLES)

    def known(self, station_id: str) -> dict[str, Any]:
        """Return the settings that a station had last; empty if nobody set any."""
        with self._told():
            row = self._db.execute(
                "SELECT settings FROM settings WHERE station = ?", (station_id,)
            ).fetchone()
        found: dict[str, Any] = msgspec.json.decode(row[0]) if row else {}
        return found

    def keep(self, station_id: str, settings: Mapping[str, Any]) -> None:
        """Write down what was set at a station, beside what was set before; nothing where that is the same.

        Raises:
            FleetError: they could not be written.
        """
        known = self.known(station_id)
        if known == {**known, **settings}:
            return
        with self._told():
            self._db.execute(
                "INSERT OR REPLACE INTO settings VALUES (?, ?)",
                (station_id, msgspec.json.encode({**known, **settings})),
            )

    def firmware(self, station_id: str) -> tuple[str, str] | None:
        """Return which version a station has and which it had before; None if it has what it was made with."""
        with self._told():
            found: tuple[str, str] | None = self._db.execute(
                "SELECT version, before FROM firmware WHERE station = ?", (station_id,)
            ).fetchone()
        return found

    def installs(self, station_id: str, version: str, before: str) -> None:
        """Write down that a station has another version.

        Raises:
            FleetError: it could not be written.
        """
        with self._told():
            self._db.execute(
                "INSERT OR REPLACE INTO firmware VALUES (?, ?, ?)", (station_id, version, before)
            )

    def answer(self, station_id: str, command_id: str) -> bytes | None:
        """Return what a station answered to a command, or None if it has not carried it out."""
        with self._told():
            row = self._db.execute(
                "SELECT answer FROM commands WHERE station = ? AND id = ?", (station_id, command_id)
            ).fetchone()
        return row[0] if row else None

    def carries_out(
        self, station_id: str, command_id: str, answer: bytes, expires_at: datetime, now: datetime
    ) -> None:
        """Write down that a station carries out a command; forget those that would not be taken any more.

        Raises:
            FleetError: it could not be written.
        """
        with self._told():
            self._db.execute("DELETE FROM commands WHERE expires_at < ?", (now.timestamp(),))
            self._db.execute(
                "INSERT INTO commands VALUES (?, ?, ?, ?)",
                (station_id, command_id, answer, expires_at.timestamp()),
            )

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise FleetError(f"What stations keep cannot be kept in {self._path}: {error}") from error
