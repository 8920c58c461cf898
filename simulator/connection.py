"""One station's MQTT connection: a non-blocking socket on the event loop, and a device's half of MQTT 3.1.1.

paho-mqtt carried this first; docs/decisions/0005-mqtt-client.md has the figures that replaced it.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from simulator import packets
from simulator.credentials import Credentials

_READ_BYTES = 65_536
# What a non-blocking socket says that cannot go on; TLS may want to read to write, and the other way round.
_NOT_YET = (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError)
# What may wait for the socket before `backlogged` says stop. At QoS 1 the fleet's window is narrower.
_BACKLOG_BYTES = 65_536


@dataclass(frozen=True)
class Endpoint:
    """Where to connect: ``certificates`` holds ``<station id>.crt`` and ``.key``; ``keep_alive`` in seconds.

    Without ``certificates`` the connection is plain TCP: no AWS IoT takes it, but brokers to measure do.
    ``region`` is what ledgers call it; empty where there is one alone.
    """

    host: str
    port: int
    ca: Path | None
    certificates: Path | None
    keep_alive: int = 60
    region: str = ""


class ConnectionRefusedByBrokerError(OSError):
    """The broker answered, and does not want this client."""


class Identities:
    """Makes TLS sockets, each with its own station's certificate, from one context.

    A context a station would be half of its memory. OpenSSL copies a context's certificate into every
    connection it makes and "changes applied to ctx do not propagate to already existing SSL objects"
    (SSL_CTX_use_certificate(3)), so one context can be given station after station's.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        """Load the authority.

        Raises:
            OSError: it cannot be read.
        """
        self._endpoint = endpoint
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if endpoint.certificates:
            self._context.load_verify_locations(endpoint.ca)
        self._credentials = Credentials(self._context)

    def wrap(self, plain: socket.socket, station_id: str) -> socket.socket:
        """Make a TLS socket over ``plain``, before its handshake. No await between loading and wrapping.

        Raises:
            OSError: the station's certificate or key cannot be read, or do not fit each other.
        """
        folder = self._endpoint.certificates
        if folder is None:
            return plain
        self._credentials.load(folder / f"{station_id}.crt", folder / f"{station_id}.key")
        return self._context.wrap_socket(
            plain, server_hostname=self._endpoint.host, do_handshake_on_connect=False
        )


class Connection:
    """A connection from CONNECT to its end; a new one is made to connect again."""

    __slots__ = (
        "_acknowledged",
        "_descriptor",
        "_drained",
        "_endpoint",
        "_greeted",
        "_gulping",
        "_heard",
        "_identities",
        "_in",
        "_keeper",
        "_loop",
        "_lost",
        "_next_packet_id",
        "_out",
        "_pending",
        "_pinged",
        "_scheduled",
        "_socket",
        "_spoke_at",
        "_station_id",
        "_subscribed",
        "_writing",
    )

    def __init__(
        self,
        station_id: str,
        endpoint: Endpoint,
        identities: Identities,
        *,
        acknowledged: Callable[[Sequence[int]], None],
        lost: Callable[[], None],
        drained: Callable[[], None] = lambda: None,
        heard: Callable[[str, bytes], None] = lambda _topic, _payload: None,
        subscribed: Callable[[bytes], None] = lambda _codes: None,
    ) -> None:
        """Connect to nothing yet.

        Args:
            station_id: client id, and name of the certificate.
            endpoint: where.
            identities: of all stations.
            acknowledged: called with packet identifiers when the broker has them.
            lost: called once when an established connection ends without `close` or `abort`; never from
                within `publish`.
            drained: called when the socket took what was published: there is room again if it was `backlogged`.
            heard: called with topic and payload of what was subscribed to; it is acknowledged after that.
            subscribed: called with SUBACK's return codes (3.9.3).
        """
        self._station_id = station_id
        self._endpoint = endpoint
        self._identities = identities
        self._acknowledged, self._lost, self._drained = acknowledged, lost, drained
        self._heard, self._subscribed = heard, subscribed
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._pending: Callable[[], int] = lambda: 0
        self._descriptor = -1
        self._in = bytearray()
        self._out = bytearray()
        self._gulping = self._scheduled = self._writing = False
        self._greeted: asyncio.Future[None] | None = None
        self._keeper: asyncio.TimerHandle | None = None
        self._spoke_at = 0.0
        self._pinged = False
        self._next_packet_id = 1

    async def connect(self, seconds: float = 30) -> None:
        """Connect and wait for the broker's answer.

        Raises:
            OSError: nobody answered, TLS failed, or the broker refused; TimeoutError is one, too.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._open()
                self._greeted = self._loop.create_future()
                self._loop.add_reader(self._descriptor, self._readable)
                self._out += packets.connect(self._station_id, self._endpoint.keep_alive)
                self._flush()
                await self._greeted
        except BaseException:
            self.abort()
            raise
        self._greeted = None
        if self._socket is None:
            # It ended between the broker's welcome and now.
            raise ConnectionResetError("the broker closed the connection at once")
        if self._endpoint.keep_alive:
            self._keeper = self._loop.call_later(self._endpoint.keep_alive / 2, self._keep_alive)

    async def reach(self, seconds: float) -> None:
        """Connect and shake hands, and close without a word of MQTT.

        Raises:
            OSError: nobody answered in time, or TLS failed.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._open()
        finally:
            self.abort()

    @property
    def ended(self) -> bool:
        """Whether it is over, or not begun."""
        return self._socket is None

    def publish(self, topic: packets.Topic, payloads: Sequence[bytes], qos: int) -> Sequence[int]:
        """Send; returns the packet identifiers that `acknowledged` will be called with (all 0 at QoS 0).

        What is published in one turn of the event loop goes out in one piece: a call of the system, and a
        TLS record, cost more than a message.
        """
        packet_ids = self._packet_ids(len(payloads)) if qos else (0,) * len(payloads)
        self._send(topic.publish(payloads, packet_ids))
        return packet_ids

    def subscribe(self, filters: Sequence[str]) -> None:
        """Ask for messages at QoS 1, up to 8 filters (AWS IoT's limit of a request); `subscribed` has the answer."""
        self._send(packets.subscribe(filters, self._packet_ids(1)[0]))

    def _send(self, data: bytes) -> None:
        self._out += data
        if not (self._scheduled or self._writing):
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def _packet_ids(self, count: int) -> Sequence[int]:
        first = self._next_packet_id
        if first + count > 65_535:
            # The next round: far more have passed than may be unacknowledged.
            first = 1
        self._next_packet_id = first + count
        return range(first, first + count)

    def gulp(self, count: int) -> None:
        """Wake up only when ``count`` acknowledgements must have come (0: for each answer).

        For those that publish as fast as they are acknowledged: a wake-up costs more than an acknowledgement.
        ``count`` acknowledgements are at least this many bytes, however the broker packs them into records.
        """
        self._gulping = count > 0
        if self._socket is not None:
            record = packets.LEAST_RECORD_BYTES if isinstance(self._socket, ssl.SSLSocket) else 0
            size = count * packets.PUBACK_BYTES + record if count else 1
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)

    @property
    def backlogged(self) -> bool:
        """Whether the socket does not take what was published: publish no more until ``drained``."""
        return len(self._out) > _BACKLOG_BYTES

    @property
    def unsent(self) -> bool:
        """Whether something published has not reached the socket yet."""
        return bool(self._out)

    def close(self) -> None:
        """Say goodbye and close."""
        if self._socket is not None:
            self._out += packets.DISCONNECT
            self._flush()
        self.abort()

    def abort(self) -> None:
        """Close without goodbye."""
        taken, self._socket = self._socket, None
        if self._keeper:
            self._keeper.cancel()
        if taken is not None:
            self._loop.remove_reader(self._descriptor)
            self._loop.remove_writer(self._descriptor)
            taken.close()

    # --- opening -------------------------------------------------------------

    async def _open(self) -> None:
        endpoint = self._endpoint
        failure = OSError(f"{endpoint.host} has no address")
        for family, _, _, _, address in await self._loop.getaddrinfo(
            endpoint.host, endpoint.port, type=socket.SOCK_STREAM
        ):
            plain = socket.socket(family, socket.SOCK_STREAM)
            try:
                plain.setblocking(False)
                await self._loop.sock_connect(plain, address)
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                opened = self._identities.wrap(plain, self._station_id)
            except OSError as error:
                plain.close()
                failure = error
                continue
            except BaseException:
                plain.close()
                raise
            self._socket, self._descriptor = opened, opened.fileno()
            if isinstance(opened, ssl.SSLSocket):
                self._pending = opened.pending
                await self._shake_hands(opened)
            return
        raise failure

    async def _shake_hands(self, secured: ssl.SSLSocket) -> None:
        while True:
            try:
                secured.do_handshake()
            except ssl.SSLWantReadError:
                await self._until(self._loop.add_reader, self._loop.remove_reader)
            except ssl.SSLWantWriteError:
                await self._until(self._loop.add_writer, self._loop.remove_writer)
            else:
                return

    async def _until(
        self, watch: Callable[[int, Callable[[], object]], None], unwatch: Callable[[int], object]
    ) -> None:
        ready: asyncio.Future[None] = self._loop.create_future()

        def proceed() -> None:
            if not ready.done():
                ready.set_result(None)

        watch(self._descriptor, proceed)
        try:
            await ready
        finally:
            unwatch(self._descriptor)

    # --- the open connection -------------------------------------------------

    def _flush(self) -> None:
        self._scheduled = False
        if self._socket is None:
            return
        self._spoke_at = self._loop.time()
        try:
            while self._out:
                del self._out[: self._socket.send(self._out)]
        except _NOT_YET:
            if not self._writing:
                self._writing = True
                self._loop.add_writer(self._descriptor, self._flush)
        except OSError as error:
            self._ended(error)
            return
        else:
            if self._writing:
                self._writing = False
                self._loop.remove_writer(self._descriptor)
        if not self.backlogged:
            self._drained()

    def _readable(self) -> None:
        data, failure = b"", None
        try:
            while self._socket is not None:
                more = self._socket.recv(_READ_BYTES)
                if not more:
                    failure = OSError("the broker closed the connection")
                    break
                data += more
                # TLS may hold more than the socket shows, and gives a record at a time.
                if not (self._pending() or self._gulping):
                    break
        except _NOT_YET:
            pass
        except OSError as error:
            failure = error
        try:
            if data:
                self._take(data)
        except packets.ProtocolError as error:
            failure = error
        if failure:
            self._ended(failure)

    def _take(self, data: bytes) -> None:
        if not self._in and (acknowledged := packets.take_pubacks(data)):
            self._acknowledged(acknowledged)
            return
        self._in += data
        for kind, flags, body in packets.take(self._in):
            if kind == packets.PUBACK:
                self._acknowledged((int.from_bytes(body[:2]),))
            elif kind == packets.PUBLISH:
                topic, payload, packet_id = packets.message(flags, body)
                self._heard(topic, payload)
                if packet_id:
                    self._send(packets.puback(packet_id))
            elif kind == packets.SUBACK:
                self._subscribed(body[2:])
            elif kind == packets.PINGRESP:
                self._pinged = False
            elif kind == packets.CONNACK and self._greeted and not self._greeted.done():
                fault = packets.refusal(body)
                if fault is None:
                    self._greeted.set_result(None)
                else:
                    self._greeted.set_exception(
                        ConnectionRefusedByBrokerError(f"the broker refused: {fault}")
                    )

    def _keep_alive(self) -> None:
        """End what does not answer, and speak if nothing else did, twice in a keep-alive (3.1.2.10)."""
        if self._pinged:
            self._ended(TimeoutError("the broker does not answer PINGREQ"))
            return
        half = self._endpoint.keep_alive / 2
        idle = self._loop.time() - self._spoke_at
        if idle >= half:
            self._pinged, idle = True, 0.0
            self.gulp(0)
            self._out += packets.PINGREQ
            self._flush()
        if self._socket is not None:
            self._keeper = self._loop.call_later(half - idle, self._keep_alive)

    def _ended(self, error: OSError) -> None:
        if self._socket is None:
            return
        self.abort()
        if self._greeted is None:
            # Not at once: this may be inside `publish`, whose caller has not noted the message yet.
            self._loop.call_soon(self._lost)
        elif not self._greeted.done():
            self._greeted.set_exception(error)
