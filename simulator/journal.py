"""The journal: what stations did of what their operators wanted, one JSON line each, for the audit."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from simulator.ledger import LedgerError

_encode = msgspec.json.Encoder().encode
# A run's journal is beside its ledger, under the ledger's name with this ending.
SUFFIX = ".operations"


class Journal:
    """Appends to a file, each line at once: a command that was carried out must be in it, whatever comes next."""

    def __init__(self, path: Path | None) -> None:
        """Make the file; with ``path`` None none is kept.

        Raises:
            LedgerError: the file cannot be written.
        """
        self._path = path
        self._append(b"")

    @classmethod
    def beside(cls, ledger: Path | None) -> "Journal":
        """Make the journal of the run that has this ledger."""
        return cls(ledger.with_suffix(SUFFIX) if ledger else None)

    def follows(
        self, station_id: str, version: int, settings: Mapping[str, Any], refused: Mapping[str, str]
    ) -> None:
        """Note what a station does as of a version of its shadow, and what it refused of that.

        Raises:
            LedgerError: it could not be written.
        """
        self._note("follows", station_id, version=version, settings=settings, refused=refused)

    def carries_out(self, station_id: str, command_id: str, command: str) -> None:
        """Note a command that a station carries out.

        Raises:
            LedgerError: it could not be written.
        """
        self._note("carries out", station_id, command_id=command_id, command=command)

    def _note(self, did: str, station_id: str, **what: Any) -> None:
        if self._path:
            at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            self._append(_encode({"did": did, "station_id": station_id, "at": at, **what}) + b"\n")

    def _append(self, line: bytes) -> None:
        try:
            if self._path:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("ab") as file:
                    file.write(line)
        except OSError as error:
            raise LedgerError(
                f"The journal {self._path} cannot be written, so it is not complete: {error}"
            ) from error
