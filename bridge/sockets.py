"""The TLS socket of the bridge's own MQTT clients."""

import ssl
from typing import Any

_AT_ONCE = 64 * 1024


class DrainingSocket(ssl.SSLSocket):
    """Goes on reading when the other end has died: what it had sent before may be acknowledged already.

    Mosquitto sends a message on before it acknowledges it, but keeps it in memory alone. A failed write would make
    paho close the connection with such messages unread.
    """

    _received, _read = b"", 0

    def send(self, data: Any, flags: int = 0) -> int:
        """Send, or leave it to reading to find that the connection has ended."""
        try:
            return super().send(data, flags)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return len(data)  # reading finds the end

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Return up to so many bytes; paho asks for a packet in three or four pieces, and most are here already."""
        if self._read == len(self._received):
            self._received, self._read = super().recv(max(buflen, _AT_ONCE), flags), 0
        found = self._received[self._read : self._read + buflen]
        self._read += len(found)
        return found

    def pending(self) -> int:
        """Return how many bytes are here already, so that nobody waits for more before they are read.

        TLS itself holds none back: `recv` asks for more than the 16 KiB of its longest record.
        """
        return len(self._received) - self._read
