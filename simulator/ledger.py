"""The ledger: what the broker acknowledged, one JSON line a message."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec

_encode = msgspec.json.Encoder().encode


class LedgerError(Exception):
    """The ledger cannot be written, so it would not be complete: the run must stop and say so."""


class Ledger:
    """Appends to a file; buffered, and written down at least every second by `flush`."""

    def __init__(self, path: Path | None) -> None:
        """Open the ledger; with ``path`` None none is kept.

        Raises:
            LedgerError: the file cannot be opened.
        """
        self.path = path
        self._unwritten = bytearray()
        try:
            if path:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0) if path else None
        except OSError as error:
            raise LedgerError(f"The ledger {path} cannot be opened: {error}") from error

    @property
    def kept(self) -> bool:
        """Whether there is a file at all."""
        return self._file is not None

    def add(
        self, message_id: str, station_id: str, sequence: int, timestamp: str, *, region: str = ""
    ) -> None:
        """Note a message that was acknowledged, and by which ``region`` where there are two."""
        if self._file is None:
            return
        line = {
            "message_id": message_id,
            "station_id": station_id,
            "sequence": sequence,
            "timestamp": timestamp,
            "acked_at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
        if region:
            line["region"] = region
        self._unwritten += _encode(line)
        self._unwritten += b"\n"

    def flush(self) -> None:
        """Write down what is noted.

        Raises:
            LedgerError: it could not be written, by a full disk for instance. What was not is kept, to the
                byte: if there is room again the next flush goes on in the middle of the line.
        """
        try:
            while self._unwritten and self._file is not None:
                del self._unwritten[: self._file.write(self._unwritten) or 0]
        except OSError as error:
            raise LedgerError(
                f"The ledger {self.path} cannot be written, so it is not complete: {error}"
            ) from error

    def close(self) -> None:
        """Flush and close.

        Raises:
            LedgerError: as `flush`.
        """
        try:
            self.flush()
        finally:
            if self._file:
                self._file.close()
