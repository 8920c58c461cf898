"""The broker: connections, sessions and what goes from one to the other."""

import asyncio
import hashlib
import json
import logging
import ssl
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast
from urllib.parse import quote, unquote

from cryptography import x509
from cryptography.x509.oid import NameOID

from bridge import packets
from bridge.broker.attendance import Attendance
from bridge.broker.spool import Entry, Spool
from bridge.packets import MalformedPacketError
from bridge.policies import Connection as PolicyConnection
from bridge.policies import Policies
from bridge.presence import Connected, next_version
from bridge.topics import FROM_PREFIX, READY_TOPIC, filter_fault, matcher, open_to_clients

log = logging.getLogger(__name__)

# AWS IoT's limit of a message is 128 KiB of payload; topic and header come on top.
MAX_PAYLOAD_BYTES = 128 * 1024
_MAX_PACKET_BYTES = MAX_PAYLOAD_BYTES + 1024

# Unacknowledged messages a subscriber may have. A bridge that sends in batches of ten from several threads
# wants hundreds; 65,535 is the protocol's end.
_WINDOW = 1000

_CONNECT_SECONDS = 20


@dataclass(frozen=True)
class Identity:
    """Who is at the other end: a registered, active certificate. ``trusted`` may do everything."""

    certificate_id: str
    common_name: str
    things: tuple[str, ...]
    policies: Policies
    trusted: bool = False


class Guard(Protocol):
    """Says who a certificate is."""

    async def identify(self, certificate_id: str, common_name: str) -> Identity | None:
        """The identity, or None if the certificate is unknown or inactive."""


@dataclass
class Session:
    """What the broker keeps for a client: subscriptions, and messages on their way to it."""

    client_id: str
    persistent: bool
    spool: Spool | None = None
    subscriptions: dict[str, int] = field(default_factory=dict)
    matchers: dict[str, Callable[[str], bool]] = field(default_factory=dict)
    connection: "ClientConnection | None" = None
    inflight: dict[int, Entry] = field(default_factory=dict)
    again: deque[Entry] = field(default_factory=deque)
    next_packet_id: int = 1

    def take_packet_id(self) -> int:
        """A packet identifier that is not in use."""
        while self.next_packet_id in self.inflight:
            self.next_packet_id = self.next_packet_id % 65535 + 1
        taken = self.next_packet_id
        self.next_packet_id = taken % 65535 + 1
        return taken


class Broker:
    """An MQTT broker on one event loop."""

    def __init__(self, guard: Guard, folder: Path, *, required_clients: Collection[str] = ()) -> None:
        """Read back the persistent sessions in ``folder``.

        Args:
            guard: says who may connect.
            folder: of the persistent sessions.
            required_clients: until the sessions of all these clients have subscriptions, nobody else gets in: a
                message for which there is no subscriber yet would be acknowledged and lost.
        """
        self._guard = guard
        self._folder = folder
        self._required_clients = frozenset(required_clients)
        self._routes: dict[str, list[tuple[Session, int]]] = {}
        self.sessions: dict[str, Session] = {}
        # Those with subscriptions: few, where the sessions of a fleet that only publishes are thousands.
        self._subscribers: dict[str, Session] = {}
        self.connections: set[ClientConnection] = set()
        self._versions: dict[str, int] = {}
        self._attendance = Attendance(folder / "attendance.ndjson")
        for saved in folder.glob("*/subscriptions.json"):
            client_id = unquote(saved.parent.name)
            session = Session(client_id, True, Spool(saved.parent), json.loads(saved.read_text()))
            session.matchers = {topic_filter: matcher(topic_filter) for topic_filter in session.subscriptions}
            self.sessions[client_id] = self._subscribers[client_id] = session
        # Whoever was connected when the last broker was killed is so no more.
        for client in list(self._attendance.present.values()):
            self._versions[client.client_id] = client.version
            self._announce(client, client.disconnected("SERVER_ERROR"))
            self._attendance.went(client.client_id)

    async def serve(self, host: str, port: int, context: ssl.SSLContext) -> asyncio.Server:
        """Listen; ``context`` must demand a client certificate."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: ClientConnection(self),
            host,
            port,
            ssl=context,
            backlog=4096,
            ssl_handshake_timeout=_CONNECT_SECONDS,
        )
        self._sweeper = asyncio.create_task(self._sweep())
        return server

    def close(self) -> None:
        """Drop all connections and close the spools."""
        self._sweeper.cancel()
        for connection in list(self.connections):
            connection.abort()
        for session in self.sessions.values():
            if session.spool:
                session.spool.close()
        self._attendance.close()

    # --- what connections ask ------------------------------------------------

    async def identify(self, certificate_id: str, common_name: str) -> Identity | None:
        """See `Guard.identify`."""
        return await self._guard.identify(certificate_id, common_name)

    @property
    def ready(self) -> bool:
        """Whether all required clients have their subscriptions."""
        return all(client_id in self._subscribers for client_id in self._required_clients)

    def ready_for(self, client_id: str) -> bool:
        """Return whether this client may come in yet."""
        return client_id in self._required_clients or self.ready

    def open_session(self, connection: "ClientConnection", connect: packets.Connect) -> bool:
        """Attach a connection to its session; the same client's older connection is closed.

        Returns:
            Whether there was a session before.
        """
        session = self.sessions.get(connect.client_id)
        if session and session.connection:
            session.connection.reason = "DUPLICATE_CLIENTID"
            session.connection.abort()
            self.closed(session.connection)
        if session and (connect.clean_session or not session.persistent):
            self._discard(session)
            session = None
        present = session is not None
        if session is None:
            session = Session(connect.client_id, not connect.clean_session)
            self.sessions[connect.client_id] = session
        session.connection = connection
        connection.session = session
        self._came(connection)
        return present

    def closed(self, connection: "ClientConnection") -> None:
        """A connection has ended: keep or discard its session, publish its will, tell of it."""
        session = connection.session
        if session is None or session.connection is not connection:
            return
        session.connection = None
        # What was sent and not acknowledged is sent again, in order, before anything newer.
        session.again.extendleft(reversed(list(session.inflight.values())))
        session.inflight.clear()
        if connection.will and not connection.said_goodbye:
            will = connection.will
            if connection.may_publish(will.topic):
                self.route(will.topic, will.payload, will.qos, session.client_id)
        self._went(connection)
        if not session.persistent:
            self._discard(session)

    def subscribe(self, session: Session, topic_filter: str, qos: int) -> None:
        """Add a subscription; with a persistent session it outlives the broker."""
        session.subscriptions[topic_filter] = qos
        session.matchers[topic_filter] = matcher(topic_filter)
        self._subscriptions_changed(session)

    def unsubscribe(self, session: Session, topic_filter: str) -> None:
        """Remove a subscription."""
        session.subscriptions.pop(topic_filter, None)
        self._subscriptions_changed(session)

    def route(self, topic: str, payload: bytes, qos: int, publisher: str) -> None:
        """Give a message to all that subscribe to its topic. When this returns it is safe with each.

        Raises:
            OSError: it could not be written down for one of them.
        """
        self._deliver(topic, payload, qos)
        self._deliver(f"{FROM_PREFIX}{quote(publisher, safe='')}/{topic}", payload, qos)

    def _deliver(self, topic: str, payload: bytes, qos: int) -> None:
        routes = self._routes.get(topic)
        if routes is None:
            routes = self._find_routes(topic)
            if len(self._routes) > 100_000:
                self._routes.clear()
            self._routes[topic] = routes
        encoded = topic.encode()
        for session, granted in routes:
            if session.connection and not session.connection.may("iot:Receive", f"topic/{topic}"):
                continue
            if session.spool is not None and min(qos, granted) == 1:
                session.spool.append(encoded, payload)
                self.pump(session)
            elif session.connection and not session.connection.congested:
                # Without a persistent session nothing is promised; and memory is not for who does not read.
                packet_id = session.take_packet_id() if min(qos, granted) else 0
                session.connection.write(
                    packets.publish(encoded, payload, qos=min(qos, granted), packet_id=packet_id)
                )

    def pump(self, session: Session) -> None:
        """Send what waits, as far as the window allows."""
        connection, spool = session.connection, session.spool
        if connection is None or spool is None:
            return
        while (
            len(session.inflight) < _WINDOW and not connection.congested and (session.again or spool.waiting)
        ):
            duplicate = bool(session.again)
            entry = session.again.popleft() if duplicate else spool.waiting.popleft()
            topic, payload = spool.read(entry)
            packet_id = session.take_packet_id()
            session.inflight[packet_id] = entry
            connection.write(packets.publish(topic, payload, qos=1, packet_id=packet_id, duplicate=duplicate))

    def acknowledged(self, session: Session, packet_id: int) -> None:
        """The subscriber has a message."""
        entry = session.inflight.pop(packet_id, None)
        if entry is not None and session.spool is not None:
            session.spool.done(entry)
            self.pump(session)

    def disconnect_certificates(self, certificate_ids: set[str]) -> None:
        """Close the connections of certificates that were deactivated."""
        for connection in list(self.connections):
            if connection.identity and connection.identity.certificate_id in certificate_ids:
                connection.reason = "FORBIDDEN_ACCESS"
                connection.abort()

    # --- inside --------------------------------------------------------------

    def _find_routes(self, topic: str) -> list[tuple[Session, int]]:
        found = []
        for session in self._subscribers.values():
            granted = [
                qos
                for topic_filter, qos in session.subscriptions.items()
                if session.matchers[topic_filter](topic)
            ]
            if granted:
                found.append((session, max(granted)))
        return found

    def _subscriptions_changed(self, session: Session) -> None:
        self._routes.clear()
        if session.subscriptions:
            self._subscribers[session.client_id] = session
        else:
            self._subscribers.pop(session.client_id, None)
        if session.persistent:
            folder = self._folder / quote(session.client_id, safe="")
            if session.spool is None:
                session.spool = Spool(folder)
            partial = folder / "subscriptions.partial"
            partial.write_text(json.dumps(session.subscriptions))
            partial.rename(folder / "subscriptions.json")

    def _discard(self, session: Session) -> None:
        self.sessions.pop(session.client_id, None)
        self._subscribers.pop(session.client_id, None)
        if session.subscriptions:
            self._routes.clear()
        if session.spool:
            session.spool.remove()
            folder = self._folder / quote(session.client_id, safe="")
            (folder / "subscriptions.json").unlink(missing_ok=True)

    def _came(self, connection: "ClientConnection") -> None:
        identity, session = connection.identity, connection.session
        if identity is None or session is None or identity.trusted:
            return
        version = next_version(self._versions.get(session.client_id, 0))
        self._versions[session.client_id] = version
        connection.presence = Connected(
            session.client_id, identity.certificate_id, connection.address, version
        )
        self._attendance.came(connection.presence)
        self._announce(connection.presence, connection.presence.connected())

    def _went(self, connection: "ClientConnection") -> None:
        client = connection.presence
        if client is None:
            return
        # Told before it is noted: a kill between the two tells it twice.
        self._announce(client, client.disconnected(connection.reason, by_client=connection.said_goodbye))
        self._attendance.went(client.client_id)

    def _announce(self, client: Connected, event: tuple[str, bytes]) -> None:
        topic, payload = event
        try:
            self.route(topic, payload, 1, client.client_id)
        except OSError:
            log.exception("a presence event could not be written down")

    async def _sweep(self) -> None:
        """Close connections that were silent for one and a half keep-alives (3.1.2.10) or never said CONNECT."""
        while True:
            await asyncio.sleep(1)
            now = time.monotonic()
            for connection in list(self.connections):
                if now > connection.deadline:
                    connection.reason = "MQTT_KEEP_ALIVE_TIMEOUT"
                    connection.abort()


class ClientConnection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, broker: Broker) -> None:
        """Wait for a CONNECT packet."""
        self._broker = broker
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._connecting: asyncio.Task[None] | None = None
        self.session: Session | None = None
        self.identity: Identity | None = None
        self._policy_connection: PolicyConnection | None = None
        self._allowed: dict[tuple[str, str], bool] = {}
        self.will: packets.Will | None = None
        self.said_goodbye = False
        self.reason = "CONNECTION_LOST"
        self.presence: Connected | None = None
        self._congested = False
        self.address = ""
        self._silence = float(_CONNECT_SECONDS)
        self.deadline = time.monotonic() + self._silence

    # --- asyncio's side ------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TLS is up: the peer has shown a certificate of our authority."""
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self.address = (transport.get_extra_info("peername") or ("",))[0]
        self._broker.connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Take whole packets from what arrived."""
        self._buffer += data
        self.deadline = time.monotonic() + self._silence
        self._drain()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        """The connection is gone, for whichever reason."""
        self._broker.connections.discard(self)
        if self._connecting:
            self._connecting.cancel()
        self._broker.closed(self)

    def pause_writing(self) -> None:
        """The peer does not read as fast as we write."""
        self._congested = True

    def resume_writing(self) -> None:
        """There is room again."""
        self._congested = False
        if self.session:
            self._broker.pump(self.session)

    # --- the broker's side ---------------------------------------------------

    @property
    def congested(self) -> bool:
        """Whether what is written now would only wait in memory."""
        return self._congested

    def write(self, data: bytes) -> None:
        """Send."""
        if self._transport:
            self._transport.write(data)

    def abort(self) -> None:
        """Close at once."""
        if self._transport:
            self._transport.abort()

    def may(self, action: str, resource: str) -> bool:
        """Whether the connection's policies allow it. Remembered for the life of the connection, as on AWS."""
        identity = self.identity
        if identity is None or self._policy_connection is None:
            return False
        if identity.trusted:
            return True
        known = self._allowed.get((action, resource))
        if known is None:
            known = identity.policies.allow(action, resource, self._policy_connection)
            if len(self._allowed) < 256 and not identity.policies.needs_time:
                self._allowed[action, resource] = known
        return known

    def may_publish(self, topic: str) -> bool:
        """Whether the client may publish to the topic.

        Of topics with ``$`` in front only those of AWS's services that take requests are open; the others are the
        broker's own, whatever a policy says: presence events, and "$from/..." with which it vouches for a publisher.
        """
        return (self.trusted or open_to_clients(topic)) and self.may("iot:Publish", f"topic/{topic}")

    @property
    def trusted(self) -> bool:
        """Whether the client is one of the testbed's own."""
        return self.identity is not None and self.identity.trusted

    # --- packets -------------------------------------------------------------

    def _drain(self) -> None:
        try:
            while self._connecting is None and (
                packet := packets.take_packet(self._buffer, _MAX_PACKET_BYTES)
            ):
                self._take(packet)
        except MalformedPacketError as error:
            log.info("closing %s: it sent %s", self.address, error)
            self.reason = "CLIENT_ERROR"
            self.abort()
        except OSError as error:
            # Not acknowledged: the client sends it again when there is room.
            log.error("closing %s: its message could not be written down: %s", self.address, error)  # noqa: TRY400
            self.reason = "SERVER_ERROR"
            self.abort()

    def _take(self, packet: packets.Packet) -> None:
        if packet.kind == packets.CONNECT:
            if self.session:
                raise MalformedPacketError("a second CONNECT")
            self._connecting = asyncio.create_task(self._connect(packets.parse_connect(packet.body)))
            return
        session = self.session
        if session is None:
            raise MalformedPacketError("something else before CONNECT")
        match packet.kind:
            case packets.PUBLISH:
                self._publish(session, packets.parse_publish(packet.flags, packet.body))
            case packets.PUBACK:
                self._broker.acknowledged(session, packets.parse_packet_id(packet.body))
            case packets.PINGREQ:
                self.write(packets.PINGRESP_PACKET)
            case packets.SUBSCRIBE:
                self._subscribe(session, *packets.parse_subscribe(packet.body))
            case packets.UNSUBSCRIBE:
                packet_id, filters = packets.parse_unsubscribe(packet.body)
                for topic_filter in filters:
                    self._broker.unsubscribe(session, topic_filter)
                self.write(packets.unsuback(packet_id))
            case packets.DISCONNECT:
                self.said_goodbye, self.reason = True, "CLIENT_INITIATED_DISCONNECT"
                if self._transport:
                    self._transport.close()
            case _:
                raise MalformedPacketError(f"a packet of type {packet.kind}")

    async def _connect(self, connect: packets.Connect) -> None:
        try:
            code = await self._decide(connect)
        except Exception:
            # The registry does not answer: that is no reason to let anybody in.
            log.exception("cannot identify %s", connect.client_id)
            code = packets.UNAVAILABLE
        if self._transport is None or self._transport.is_closing():
            return
        if code != packets.ACCEPTED:
            self.write(packets.connack(code))
            self._transport.close()
            return
        self.will = connect.will
        self._silence = 1.5 * connect.keep_alive if connect.keep_alive else float("inf")
        self.deadline = time.monotonic() + self._silence
        present = self._broker.open_session(self, connect)
        self.write(packets.connack(packets.ACCEPTED, session_present=present))
        self._connecting = None
        assert self.session is not None  # noqa: S101  # open_session has just set it
        self._broker.pump(self.session)
        self._drain()

    async def _decide(self, connect: packets.Connect) -> int:
        if not connect.supported:
            return packets.WRONG_PROTOCOL
        if not connect.client_id:
            return packets.BAD_IDENTIFIER
        certificate_id, common_name, certificate = self._certificate()
        identity = await self._broker.identify(certificate_id, common_name)
        if identity is None:
            log.info(
                "refused %s: its certificate %s is not active here", connect.client_id, certificate_id[:12]
            )
            return packets.NOT_AUTHORIZED
        self.identity = identity
        asks_for = (("PersistentConnect", not connect.clean_session), ("LastWill", connect.will is not None))
        self._policy_connection = PolicyConnection(
            connect.client_id,
            common_name,
            identity.things,
            certificate,
            source_ip=self.address,
            connect_attributes=tuple(name for name, asked in asks_for if asked),
            last_will_topic=connect.will.topic if connect.will else None,
        )
        if not self.may("iot:Connect", f"client/{connect.client_id}"):
            refusal = identity.policies.refusal(
                "iot:Connect", f"client/{connect.client_id}", self._policy_connection
            )
            log.info("refused %s: %s", connect.client_id, refusal)
            return packets.NOT_AUTHORIZED
        return packets.ACCEPTED if self._broker.ready_for(connect.client_id) else packets.UNAVAILABLE

    def _certificate(self) -> tuple[str, str, x509.Certificate]:
        assert self._transport is not None  # noqa: S101  # connected
        der = self._transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        certificate = x509.load_der_x509_certificate(der)
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return hashlib.sha256(der).hexdigest(), str(names[0].value) if names else "", certificate

    def _publish(self, session: Session, message: packets.Publish) -> None:
        if message.qos > 1:
            raise MalformedPacketError("QoS 2, which AWS IoT does not have")
        if len(message.payload) > MAX_PAYLOAD_BYTES:
            raise MalformedPacketError("a payload over 128 KiB")
        if not self.may_publish(message.topic):
            # AWS IoT closes the connection, too.
            self.reason = "FORBIDDEN_ACCESS"
            log.info("closing %s: it may not publish to %s", self._name, message.topic)
            self.abort()
            return
        topic, publisher = message.topic, session.client_id
        if self.trusted:
            if not self._broker.ready and topic != READY_TOPIC:
                # The rules are not there yet: unacknowledged, the message comes again.
                log.info("closing %s: another required client is not there yet", self._name)
                self.abort()
                return
            if topic.startswith(FROM_PREFIX):
                quoted, _, topic = topic.removeprefix(FROM_PREFIX).partition("/")
                publisher = unquote(quoted)
        self._broker.route(topic, message.payload, message.qos, publisher)
        if message.qos:
            self.write(packets.puback(message.packet_id))

    def _subscribe(self, session: Session, packet_id: int, filters: list[tuple[str, int]]) -> None:
        codes = []
        for topic_filter, qos in filters:
            fault = filter_fault(topic_filter)
            if fault:
                raise MalformedPacketError(fault)
            if (self.trusted or not topic_filter.startswith(FROM_PREFIX)) and self.may(
                "iot:Subscribe", f"topicfilter/{topic_filter}"
            ):
                self._broker.subscribe(session, topic_filter, min(qos, 1))
                codes.append(min(qos, 1))
            else:
                log.info("refused a subscription of %s to %s", self._name, topic_filter)
                codes.append(packets.REFUSED_SUBSCRIPTION)
        self.write(packets.suback(packet_id, codes))

    @property
    def _name(self) -> str:
        return self.session.client_id if self.session else self.address
