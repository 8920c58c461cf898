"""The broker's ports."""

import ssl

from bridge.broker.connection import ClientConnection
from bridge.broker.server import Broker
from bridge.broker.tls import Listener, listen_tls


async def listen(broker: Broker, host: str, port: int, context: ssl.SSLContext) -> Listener:
    """Start a broker and let it listen for MQTT over TLS; ``context`` must demand a client certificate.

    Raises:
        OSError: the port is taken.
    """
    broker.start()
    return await listen_tls(host, port, context, lambda: ClientConnection(broker))
