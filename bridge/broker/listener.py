"""The broker's ports."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable

from bridge.broker.connection import ClientConnection
from bridge.broker.server import Broker

log = logging.getLogger(__name__)

_HANDSHAKE_SECONDS = 20
_BACKLOG = 4096

MakeProtocol = Callable[[], asyncio.Protocol]


class Listener:
    """A port whose connections are made TLS one by one, so that it can be said why one was not."""

    def __init__(self, listening: socket.socket, context: ssl.SSLContext, make: MakeProtocol) -> None:
        """Accept connections; ``make`` makes the protocol of each, once TLS is up."""
        self._listening, self._context, self._make = listening, context, make
        self._handshakes: set[asyncio.Task[None]] = set()
        self._accepting = asyncio.create_task(self._accept())

    def close(self) -> None:
        """Listen no more; connections go on."""
        self._accepting.cancel()
        self._listening.close()

    async def wait_closed(self) -> None:
        """Wait until it listens no more."""
        with contextlib.suppress(asyncio.CancelledError):
            await self._accepting

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(self._listening)
            except OSError as error:
                # Such as no file left to open: clients that end make room.
                log.error("cannot accept a connection: %s", error)  # noqa: TRY400
                await asyncio.sleep(0.1)
                continue
            handshake = asyncio.create_task(self._shake_hands(connection, str(address[0])))
            self._handshakes.add(handshake)
            handshake.add_done_callback(self._handshakes.discard)

    async def _shake_hands(self, connection: socket.socket, address: str) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._make, connection, ssl=self._context, ssl_handshake_timeout=_HANDSHAKE_SECONDS
            )
        except (OSError, ssl.CertificateError) as error:
            log.info("refused a connection from %s: %s", address, _explanation(error))


async def listen_tls(host: str, port: int, context: ssl.SSLContext, make: MakeProtocol) -> Listener:
    """Listen.

    Raises:
        OSError: the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    listening.setblocking(False)
    return Listener(listening, context, make)


def _explanation(error: Exception) -> str:
    """Return what was wrong with a handshake, and what to do."""
    reason = getattr(error, "reason", None) or ""
    if reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        return "it showed no certificate: give the client its device certificate and private key"
    if reason == "CERTIFICATE_VERIFY_FAILED":
        return "its certificate has expired, or is not valid yet: compare its dates with this machine's clock"
    if "UNKNOWN_CA" in reason or "BAD_CERTIFICATE" in reason:
        return "it does not trust our certificate: give the client the deployment's CA"
    if reason in ("HTTP_REQUEST", "WRONG_VERSION_NUMBER"):
        return "it does not speak TLS: connect with mqtts, or with TLS switched on"
    if isinstance(error, ConnectionError | TimeoutError) or not reason:
        return f"the TLS handshake was not finished ({error or type(error).__name__})"
    return f"the TLS handshake failed: {reason}"


async def listen(broker: Broker, host: str, port: int, context: ssl.SSLContext) -> Listener:
    """Start a broker and let it listen for MQTT over TLS; ``context`` must demand a client certificate.

    Raises:
        OSError: the port is taken.
    """
    broker.start()
    return await listen_tls(host, port, context, lambda: ClientConnection(broker))
