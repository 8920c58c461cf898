"""The TLS socket of the bridge's own MQTT clients."""

import ssl
from typing import Any


class DrainingSocket(ssl.SSLSocket):
    """Goes on reading when the other end has died: what it had sent before may be acknowledged already.

    Mosquitto sends a message on before it acknowledges it, but keeps it in memory alone. A failed write would make
    paho close the connection with such messages unread.
    """

    def send(self, data: Any, flags: int = 0) -> int:
        """Send, or leave it to reading to find that the connection has ended."""
        try:
            return super().send(data, flags)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return len(data)  # reading finds the end
