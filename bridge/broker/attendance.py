"""Who is connected, on disk: after a kill the broker can say who is gone."""

from pathlib import Path

import msgspec

from bridge.presence import Connected

# Lines of clients that are gone again, before the file is written anew.
_STALE_LINES = 10_000


class _Line(msgspec.Struct, array_like=True):
    """A client that came, or (without a certificate) one that went."""

    client_id: str
    certificate_id: str = ""
    address: str = ""
    version: int = 0
    session: str = ""


class Attendance:
    """A journal with a line for each client that comes or goes."""

    def __init__(self, path: Path) -> None:
        """Read what a broker before us left behind: those who are in it were never seen to leave."""
        self._path = path
        self.present: dict[str, Connected] = {}
        self._stale = 0
        for line in path.read_bytes().splitlines() if path.is_file() else ():
            try:
                self._apply(msgspec.json.decode(line, type=_Line))
            except msgspec.DecodeError:
                continue  # the kill cut the last line
        self._write_anew()

    def came(self, client: Connected) -> None:
        """Note that a client is connected."""
        self._append(
            _Line(client.client_id, client.certificate_id, client.address, client.version, client.session)
        )

    def went(self, client_id: str) -> None:
        """Note that a client is connected no more."""
        self._append(_Line(client_id))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _append(self, line: _Line) -> None:
        self._apply(line)
        self._file.write(msgspec.json.encode(line) + b"\n")
        if self._stale > _STALE_LINES:
            self._file.close()
            self._write_anew()

    def _apply(self, line: _Line) -> None:
        if line.certificate_id:
            self.present[line.client_id] = Connected(
                line.client_id, line.certificate_id, line.address, line.version, line.session
            )
        else:
            self.present.pop(line.client_id, None)
            self._stale += 2

    def _write_anew(self) -> None:
        partial = self._path.with_suffix(".partial")
        partial.write_bytes(
            b"".join(
                msgspec.json.encode(
                    _Line(one.client_id, one.certificate_id, one.address, one.version, one.session)
                )
                + b"\n"
                for one in self.present.values()
            )
        )
        partial.rename(self._path)
        self._stale = 0
        # Unbuffered: a line is with the operating system when `came` returns.
        self._file = self._path.open("ab", buffering=0)
