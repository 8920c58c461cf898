"""The broker's ports."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Mapping

from bridge.broker.connection import ClientConnection
from bridge.broker.hello import offered_protocols
from bridge.broker.server import Broker

log = logging.getLogger(__name__)

_HANDSHAKE_SECONDS = 20
_BACKLOG = 4096
# Where there is no file left to open.
_PAUSE_SECONDS = 0.1
# A record of TLS and its head.
_MOST_HELLO_BYTES = 5 + 2**14

MakeProtocol = Callable[[], asyncio.Protocol]


class Listener:
    """A port whose connections are made TLS one by one, so that it can be said why one was not."""

    def __init__(
        self,
        listening: socket.socket,
        context: ssl.SSLContext,
        make: MakeProtocol,
        others: Mapping[str, ssl.SSLContext],
    ) -> None:
        """Accept connections.

        Args:
            listening: the port.
            context: of TLS.
            make: makes the protocol of each connection, once TLS is up.
            others: contexts for clients that offer a protocol of this name (ALPN).
        """
        self._listening, self._context, self._make, self._others = listening, context, make, others
        self._handshakes: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._listen()

    def close(self) -> None:
        """Listen no more; connections go on."""
        self._loop.remove_reader(self._listening)
        if self._pause:
            self._pause.cancel()
        self._listening.close()

    def _listen(self) -> None:
        # Once for all connections: asyncio's sock_accept begins and ends it for each, 7 % of a connect's cost here.
        self._pause = None
        self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        try:
            connection, address = self._listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # it has gone again
        except OSError as error:
            # Such as no file left to open: clients that end make room.
            log.error("cannot accept a connection: %s", error)  # noqa: TRY400
            self._loop.remove_reader(self._listening)
            self._pause = self._loop.call_later(_PAUSE_SECONDS, self._listen)
            return
        connection.setblocking(False)
        handshake = self._loop.create_task(self._shake_hands(connection, str(address[0])))
        self._handshakes.add(handshake)
        handshake.add_done_callback(self._handshakes.discard)

    async def _shake_hands(self, connection: socket.socket, address: str) -> None:
        try:
            context = await self._choose(connection) if self._others else self._context
            await self._loop.connect_accepted_socket(
                self._make, connection, ssl=context, ssl_handshake_timeout=_HANDSHAKE_SECONDS
            )
        except (OSError, ssl.CertificateError) as error:
            log.info("refused a connection from %s: %s", address, _explanation(error))

    async def _choose(self, connection: socket.socket) -> ssl.SSLContext:
        async with asyncio.timeout(_HANDSHAKE_SECONDS):
            offered = await _offered(connection)
        return next((self._others[name] for name in offered if name in self._others), self._context)


async def _offered(connection: socket.socket) -> tuple[str, ...]:
    """Return what a client offers in ALPN, without taking anything from the connection."""
    loop = asyncio.get_running_loop()
    while True:
        readable = asyncio.Event()
        loop.add_reader(connection, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(connection)
        data = connection.recv(_MOST_HELLO_BYTES, socket.MSG_PEEK)
        found = offered_protocols(data) if data else ()
        if found is not None:
            return found
        await asyncio.sleep(0.01)  # for the rest of it: what is there stays readable


async def listen_tls(
    host: str,
    port: int,
    context: ssl.SSLContext,
    make: MakeProtocol,
    others: Mapping[str, ssl.SSLContext] | None = None,
) -> Listener:
    """Listen; see `Listener`.

    Raises:
        OSError: the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    listening.setblocking(False)
    return Listener(listening, context, make, others or {})


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
