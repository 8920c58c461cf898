"""One client's connection: its packets, and what it may do."""

import asyncio
import hashlib
import json
import logging
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, cast
from urllib.parse import unquote

from cryptography import x509
from cryptography.x509.oid import NameOID

from bridge import packets, properties
from bridge.authorizers import RefusedError
from bridge.broker import commands
from bridge.broker import limits as aws
from bridge.broker.limits import MOST_PACKET_BYTES, MOST_PAYLOAD_BYTES, Limits
from bridge.broker.message import Message, expiry, publish_packet
from bridge.broker.sessions import Session, Subscription
from bridge.broker.spool import Stored
from bridge.packets import MalformedPacketError, Reason
from bridge.policies import Connection as PolicyConnection
from bridge.presence import Connected
from bridge.tls import server_name
from bridge.topics import (
    ANSWER_PROPERTY,
    DATA_PLANE_READY_TOPIC,
    FROM_PREFIX,
    READY_TOPIC,
    SHARED_PREFIX,
    TO_PREFIX,
    open_to_clients,
    split_shared,
)

if TYPE_CHECKING:
    from bridge.broker.server import Broker, Identity
    from bridge.broker.visitors import Visitor

log = logging.getLogger(__name__)

CONNECT_SECONDS = 20
# Allowed or not is remembered for the life of the connection, as on AWS; for so many questions.
_MOST_REMEMBERED = 256
# More than this is not held back until the event loop's next turn.
_MOST_UNSENT_BYTES = 65_536


class Transport(Protocol):
    """What a connection needs of asyncio's transports, and of a WebSocket."""

    def write(self, data: bytes | bytearray) -> None:
        """Send."""

    def close(self) -> None:
        """Close when all is sent."""

    def abort(self) -> None:
        """Close at once."""

    def is_closing(self) -> bool:
        """Return whether it is closed, or about to be."""

    def pause_reading(self) -> None:
        """Take no more from the peer for now."""

    def resume_reading(self) -> None:
        """Take from the peer again."""


class ClientConnection(asyncio.Protocol):
    """One client's connection."""

    def __init__(
        self, broker: "Broker", identity: "Identity | None" = None, visitor: "Visitor | None" = None
    ) -> None:
        """Wait for a CONNECT packet; who is there shows its certificate, unless it is known already or a visitor."""
        self._broker = broker
        self._transport: Transport | None = None
        self._certificate = b""
        self._visitor = visitor
        # When a custom authorizer's word ends, and when it is asked again.
        self._until = self._refresh_at = float("inf")
        self._refreshing: asyncio.Task[None] | None = None
        self._buffer = bytearray()
        self._unsent = bytearray()
        self._connecting: asyncio.Task[None] | None = None
        self.session: Session | None = None
        self.identity = identity
        self._limits = Limits()
        self._policy_connection: PolicyConnection | None = None
        self._allowed: dict[tuple[str, str], bool] = {}
        # Topics that it has published to: nothing is asked about them again.
        self._own_topics: set[str] = set()
        self.will: packets.Will | None = None
        self.said_goodbye = False
        self.reason = "CONNECTION_LOST"
        self.presence: Connected | None = None
        self._congested = False
        self.address = self._server_name = ""
        self.addresses: tuple[tuple[str, int], tuple[str, int]] = (("", 0), ("", 0))
        self.keep_alive = 0  # as the client asked, in seconds
        self._silence = float(CONNECT_SECONDS)
        self.deadline = time.monotonic() + self._silence
        self._level = packets.V3
        self.window = self._limits.in_flight
        self._most_bytes = 0  # as the client said; 0 for no limit
        self._aliases: dict[int, str] = {}
        self._allowance, self._counted_at = float(self._limits.burst), time.monotonic()
        self._told_of_rate = False

    # --- asyncio's side ------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember who is there: TLS is up, and the peer has shown that it has its certificate's key."""
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(Transport, transport)
        ends = [transport.get_extra_info(end) or ("", 0) for end in ("peername", "sockname")]
        self.addresses = (ends[0][:2], ends[1][:2])
        self.address = ends[0][0]
        self._server_name = server_name(transport)
        if self.identity is None and self._visitor is None:
            self._certificate = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        self._broker.connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Take whole packets from what arrived."""
        if self._transport is None or self._transport.is_closing():
            return
        self._buffer += data
        if self.session:
            # Before that CONNECT_SECONDS are for all of the CONNECT, not for each byte of it.
            self.deadline = time.monotonic() + self._silence
        self._drain()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        """End the session's connection, for whichever reason it is gone."""
        self._broker.connections.discard(self)
        for task in (self._connecting, self._refreshing):
            if task:
                task.cancel()
        self._broker.closed(self)

    def pause_writing(self) -> None:
        """Send no more: the peer does not read as fast as we write."""
        self._congested = True

    def resume_writing(self) -> None:
        """Send again."""
        self._congested = False
        if self.session:
            self._broker.resume(self.session)

    # --- the broker's side ---------------------------------------------------

    @property
    def congested(self) -> bool:
        """Whether what is written now would only wait in memory."""
        return self._congested

    @property
    def name(self) -> str:
        """The client's id, or where it comes from."""
        return self.session.client_id if self.session else self.address

    @property
    def thing(self) -> str | None:
        """The thing of the client's certificate: the one of its client id's name, or the only one."""
        things = self.identity.things if self.identity else ()
        if self.session is not None and self.session.client_id in things:
            return self.session.client_id
        return things[0] if len(things) == 1 else None

    @property
    def trusted(self) -> bool:
        """Whether the client is one of the testbed's own."""
        return self.identity is not None and self.identity.trusted

    @property
    def has_certificate(self) -> bool:
        """Whether the client showed one."""
        return bool(self._certificate)

    def follow(self, identity: "Identity") -> None:
        """Take what the registry says of the client's certificate now; its subscriptions stay, as on AWS."""
        known = self.identity
        if known is None or self._policy_connection is None:
            return
        if (known.policies, known.things) == (identity.policies, identity.things):
            return
        log.info("what %s may do has changed", self.name)
        self.identity = replace(known, policies=identity.policies, things=identity.things)
        self._policy_connection = replace(self._policy_connection, things=identity.things)
        self._forget_answers()

    def send(self, stored: Stored, *, qos: int, packet_id: int = 0, duplicate: bool = False) -> bool:
        """Send a message; return False for one that is longer than the client takes."""
        packet = publish_packet(stored, self._level, qos=qos, packet_id=packet_id, duplicate=duplicate)
        if self._most_bytes and len(packet) > self._most_bytes:
            log.info("a message to %s is dropped: %s takes no packet so long", stored.topic, self.name)
            return False
        self._write(packet)
        return True

    def end(self, reason: int, event: str) -> None:
        """Close the connection at once; an MQTT 5 client is told the reason.

        Args:
            reason: a reason code of MQTT 5.
            event: the reason in AWS's lifecycle event.
        """
        self.reason = event
        if self._transport is None:
            return
        if self._level == packets.V5 and self.session is not None and not self._congested:
            self._write(packets.disconnect(reason))
            self._close()
        else:
            self._flush()
            self._transport.abort()

    def tick(self, now: float) -> None:
        """Do what is due at this time of the monotonic clock, which is asked once a second."""
        if now > self.deadline:
            # Silent for one and a half keep-alives (MQTT 5.0, 3.1.2.10), or it never said CONNECT.
            self.end(Reason.KEEP_ALIVE_TIMEOUT, "MQTT_KEEP_ALIVE_TIMEOUT")
        elif now > self._until:
            log.info("closing %s: its authorizer's disconnectAfterInSeconds are over", self.name)
            self.end(Reason.NOT_AUTHORIZED, "CUSTOMAUTH_TTL_EXPIRATION")
        elif now > self._refresh_at:
            self._refresh_at = float("inf")
            self._refreshing = asyncio.create_task(self._refresh())

    def may(self, action: str, resource: str) -> bool:
        """Return whether the connection's policies allow it."""
        identity = self.identity
        if identity is None or self._policy_connection is None:
            return False
        if identity.trusted or identity.root:
            return True
        known = self._allowed.get((action, resource))
        if known is None:
            known = identity.policies.allow(action, resource, self._policy_connection)
            if len(self._allowed) < _MOST_REMEMBERED and not identity.policies.needs_time:
                self._allowed[action, resource] = known
        return known

    def may_publish(self, topic: str, *, retain: bool = False) -> bool:
        """Return whether the client may publish to the topic.

        Of topics with ``$`` in front only those of AWS's services that take requests are open, and not for retained
        messages; the others are the broker's own, whatever a policy says: presence events, and "$from/..." with which
        it vouches for a publisher.
        """
        if not self.trusted and not open_to_clients(topic):
            return False
        if retain and not (
            (self.trusted or not topic.startswith("$")) and self.may("iot:RetainPublish", f"topic/{topic}")
        ):
            return False
        return self.may("iot:Publish", f"topic/{topic}")

    def _forget_answers(self) -> None:
        """Ask the policies anew from now on."""
        self._allowed.clear()
        self._own_topics.clear()

    def _refusal(self, action: str, resource: str) -> str:
        """Return why `may` is false."""
        if self.identity is None or self._policy_connection is None:
            return "nobody knows who it is"
        return self.identity.policies.refusal(action, resource, self._policy_connection)

    # --- packets -------------------------------------------------------------

    def _write(self, data: bytes) -> None:
        """Send what is written in one turn of the event loop in one piece.

        A TLS record and a call of the system cost more than a packet: a tenth of the broker's time while a fleet
        connects, of which the bridge is told.
        """
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent += data
        if len(self._unsent) > _MOST_UNSENT_BYTES:
            self._flush()

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, bytearray()
        if unsent and self._transport:
            self._transport.write(unsent)

    def _close(self) -> None:
        """Close when all is sent."""
        self._flush()
        if self._transport:
            self._transport.close()

    def _drain(self) -> None:
        try:
            while self._connecting is None and (
                packet := packets.take_packet(self._buffer, MOST_PACKET_BYTES)
            ):
                self._take(packet)
        except MalformedPacketError as error:
            log.info("closing %s: it sent %s", self.name, error)
            self.end(error.reason, "CLIENT_ERROR")
        except OSError as error:
            # Not acknowledged: the client sends it again when there is room.
            log.error("closing %s: its message could not be written down: %s", self.name, error)  # noqa: TRY400
            self.end(Reason.UNSPECIFIED, "SERVER_ERROR")

    def _take(self, packet: packets.Packet) -> None:
        session = self.session
        if self._transport is None or self._transport.is_closing():
            return
        if session is None:
            if packet.kind != packets.CONNECT or packet.flags:
                raise MalformedPacketError("something else before CONNECT")
            connect = packets.parse_connect(packet.body)
            self.deadline = time.monotonic() + self._silence
            # What it sends before it is let in waits with the peer, not in memory.
            self._transport.pause_reading()
            self._connecting = asyncio.create_task(self._connect(connect))
            return
        match packet.kind:
            case packets.PUBLISH:
                self._publish(session, packets.parse_publish(packet.flags, packet.body, self._level))
            case packets.PUBACK if packet.flags == 0:
                self._broker.acknowledged(session, packets.parse_packet_id(packet.body))
            case packets.PINGREQ if packet.flags == 0:
                self._write(packets.PINGRESP_PACKET)
            case packets.SUBSCRIBE if packet.flags == 2:
                self._subscribe(session, *packets.parse_subscribe(packet.body, self._level))
            case packets.UNSUBSCRIBE if packet.flags == 2:
                self._unsubscribe(session, *packets.parse_unsubscribe(packet.body, self._level))
            case packets.DISCONNECT if packet.flags == 0:
                self._goodbye(session, *packets.parse_disconnect(packet.body, self._level))
            case packets.CONNECT:
                raise MalformedPacketError("a second CONNECT", Reason.PROTOCOL_ERROR)
            case _:
                raise MalformedPacketError(
                    f"a packet of type {packet.kind} with flags {packet.flags}", Reason.PROTOCOL_ERROR
                )

    async def _connect(self, connect: packets.Connect) -> None:
        client_id = connect.client_id or f"$GEN/{uuid.uuid4()}"
        try:
            reason = await self._decide(connect, client_id)
        except Exception:
            # The registry does not answer: that is no reason to let anybody in.
            log.exception("cannot identify %s", client_id)
            reason = Reason.SERVER_UNAVAILABLE
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.resume_reading()
        if reason != Reason.SUCCESS:
            self._write(packets.connack(reason, connect.level))
            self._close()
            return
        said, expiry_seconds = self._agree(connect, client_id)
        self.will = connect.will
        present = self._broker.open_session(
            self, client_id, clean_start=connect.clean_start, expiry=expiry_seconds
        )
        self._write(packets.connack(Reason.SUCCESS, connect.level, said, session_present=present))
        self._connecting = None
        assert self.session is not None  # noqa: S101  # open_session has just set it
        self._broker.resume(self.session)
        self._drain()

    def _agree(self, connect: packets.Connect, client_id: str) -> tuple[dict[int, object], int]:
        """Settle what applies to the connection.

        Returns:
            What the CONNACK says of it, and the session's expiry in seconds.
        """
        asked, limits = connect.properties, self._limits
        self.keep_alive = connect.keep_alive
        alive = aws.keep_alive(connect.keep_alive)
        self._silence = 1.5 * alive
        self.deadline = time.monotonic() + self._silence
        self._level = connect.level
        self.window = min(asked.get(properties.RECEIVE_MAXIMUM, 0xFFFF), limits.in_flight)
        self._most_bytes = asked.get(properties.MAXIMUM_PACKET, 0)
        self._allowance = float(limits.burst)
        if connect.level != packets.V5:
            return {}, 0 if connect.clean_start else limits.session
        wished = asked.get(properties.SESSION_EXPIRY, 0)
        seconds = min(wished, limits.session)
        said: dict[int, object] = {
            properties.RECEIVE_MAXIMUM: limits.in_flight,
            properties.MAXIMUM_QOS: 1,
            properties.RETAIN_AVAILABLE: 1,
            properties.MAXIMUM_PACKET: MOST_PACKET_BYTES,
            properties.TOPIC_ALIAS_MAXIMUM: limits.topic_aliases,
            properties.WILDCARDS_AVAILABLE: 1,
            properties.SUBSCRIPTION_IDS_AVAILABLE: 0,
            properties.SHARED_AVAILABLE: 1,
        }
        if seconds != wished:
            said[properties.SESSION_EXPIRY] = seconds
        if alive != connect.keep_alive:
            said[properties.SERVER_KEEP_ALIVE] = alive
        if not connect.client_id:
            said[properties.ASSIGNED_CLIENT_ID] = client_id
        return said, seconds

    async def _decide(self, connect: packets.Connect, client_id: str) -> int:
        """Return `Reason.SUCCESS`, or why the client does not get in."""
        if not connect.supported:
            log.info("refused %s: it speaks neither MQTT 3.1.1 nor MQTT 5", self.address)
            return Reason.UNSUPPORTED_VERSION
        fault = aws.client_id_fault(connect.client_id)
        if not connect.client_id and not connect.clean_start and connect.level == packets.V3:
            fault = "a client that wants its session kept must give a client id"
        if fault:
            log.info("refused %s: %s", self.address, fault)
            return Reason.CLIENT_ID_INVALID
        if properties.AUTHENTICATION_METHOD in connect.properties:
            log.info("refused %s: AWS IoT has no enhanced authentication", client_id)
            return Reason.BAD_AUTHENTICATION_METHOD
        refusal = await self._identify(connect, client_id)
        if refusal is None and connect.will:
            refusal = self._will_fault(connect.will, client_id)
        if refusal is not None:
            return refusal
        if not self._broker.ready_for(client_id):
            log.info("refused %s: the rules engine is not connected yet; try again", client_id)
            return Reason.SERVER_UNAVAILABLE
        return Reason.SUCCESS

    async def _admit_visitor(self, visitor: "Visitor") -> bool:
        """Have a custom authorizer say who it is; return whether it lets the client in."""
        try:
            self.identity = await visitor.admit(visitor.shown)
        except RefusedError as error:
            log.info("refused %s: %s", visitor.shown.client_id or self.address, error)
            return False
        self._refresh_at = time.monotonic() + (self.identity.refresh_after or float("inf"))
        return True

    async def _refresh(self) -> None:
        """Ask a custom authorizer again: its policies may be others by now."""
        assert self._visitor is not None  # noqa: S101  # nobody else's time comes
        try:
            admitted = await self._admit_visitor(self._visitor)
        except Exception:
            log.exception("cannot ask the authorizer of %s again", self.name)
            admitted = False
        self._forget_answers()
        if not admitted:
            # "If failures occur during custom authentication, AWS IoT Core terminates the connection."
            self.end(Reason.NOT_AUTHORIZED, "AUTH_ERROR")

    async def _identify(self, connect: packets.Connect, client_id: str) -> int | None:
        """Find out who it is; return why it does not get in, or None."""
        certificate = None
        if self.identity is None and self._visitor is not None:
            shown = replace(
                self._visitor.shown,
                username=connect.user_name,
                password=connect.password,
                client_id=connect.client_id,
            )
            self._visitor = replace(self._visitor, shown=shown)
            if not await self._admit_visitor(self._visitor):
                return Reason.NOT_AUTHORIZED
        elif self.identity is None:
            certificate_id = hashlib.sha256(self._certificate).hexdigest()
            certificate = x509.load_der_x509_certificate(self._certificate)
            self.identity = await self._broker.identify(certificate_id, _common_name(certificate))
            if self.identity is None:
                log.info(
                    "refused %s: certificate %s is not registered and ACTIVE: register it (aws iot"
                    " create-keys-and-certificate, register-certificate-without-ca) or activate it (aws iot"
                    " update-certificate --new-status ACTIVE)",
                    client_id,
                    certificate_id,
                )
                self._broker.tell_of_unknown(self._certificate, self.address, self._server_name)
                return Reason.NOT_AUTHORIZED
        identity = self.identity
        assert identity is not None  # noqa: S101  # all others were refused
        self._until = time.monotonic() + (identity.disconnect_after or float("inf"))
        self._limits = self._broker.limits_of(identity)
        asks_for = (
            ("PersistentConnect", self._keeps_session(connect)),
            ("LastWill", connect.will is not None),
        )
        self._policy_connection = PolicyConnection(
            client_id,
            identity.common_name,
            identity.things,
            certificate,
            source_ip=self.address,
            connect_attributes=tuple(name for name, asked in asks_for if asked),
            last_will_topic=connect.will.topic if connect.will else None,
            domain_name=self._server_name,
        )
        resource = f"client/{client_id}"
        if not self.may("iot:Connect", resource):
            log.info("refused %s: %s", client_id, self._refusal("iot:Connect", resource))
            return Reason.NOT_AUTHORIZED
        return None

    @staticmethod
    def _keeps_session(connect: packets.Connect) -> bool:
        """Return whether the client asks for a persistent session."""
        if connect.level == packets.V5:
            return bool(connect.properties.get(properties.SESSION_EXPIRY, 0))
        return not connect.clean_start

    def _will_fault(self, will: packets.Will, client_id: str) -> int | None:
        if will.qos > 1:
            log.info("refused %s: its will is of QoS 2, which AWS IoT does not have", client_id)
            return Reason.QOS_NOT_SUPPORTED
        fault = aws.topic_fault(will.topic)
        if not self.trusted and not open_to_clients(will.topic):
            fault = "the topic is AWS's own"
        if fault:
            log.info("refused %s: the topic of its will is not accepted: %s", client_id, fault)
            return Reason.TOPIC_NAME_INVALID
        return None

    def _goodbye(self, session: Session, reason: int, expiry_seconds: int | None) -> None:
        if expiry_seconds is not None:
            if expiry_seconds and not session.expiry:
                raise MalformedPacketError(
                    "a session expiry in a DISCONNECT after none in the CONNECT", Reason.PROTOCOL_ERROR
                )
            self._broker.change_expiry(session, min(expiry_seconds, self._limits.session))
        self.said_goodbye = reason != Reason.DISCONNECT_WITH_WILL
        self.reason = "CLIENT_INITIATED_DISCONNECT"
        self._close()

    def _publish(self, session: Session, packet: packets.Publish) -> None:
        if packet.qos > 1:
            raise MalformedPacketError(
                "a message of QoS 2, which AWS IoT does not have: publish at QoS 1", Reason.QOS_NOT_SUPPORTED
            )
        if len(packet.payload) > MOST_PAYLOAD_BYTES:
            raise MalformedPacketError("a payload over 128 KiB", Reason.PACKET_TOO_LARGE)
        topic = self._topic_of(packet) if packet.alias else packet.topic
        if self._limits.publishes and not self._within_rate():
            self._refuse(packet, Reason.QUOTA_EXCEEDED)
            return
        publisher = session.client_id
        if self.trusted:
            if self._command(topic, packet):
                return
            if topic.startswith(FROM_PREFIX):
                quoted, _, topic = topic.removeprefix(FROM_PREFIX).partition("/")
                publisher = unquote(quoted)
        if (topic not in self._own_topics or packet.retain) and not self._permitted(packet, topic):
            return
        self._broker.publish(
            Message(
                topic,
                packet.payload,
                packet.qos,
                publisher,
                packet.retain,
                packet.properties,
                expiry(packet.expiry),
            )
        )
        if packet.qos:
            self._write(packets.puback(packet.packet_id))

    def _topic_of(self, packet: packets.Publish) -> str:
        if packet.alias > self._limits.topic_aliases:
            raise MalformedPacketError(
                f"topic alias {packet.alias}, over the {self._limits.topic_aliases} that AWS IoT has",
                Reason.TOPIC_ALIAS_INVALID,
            )
        if packet.topic:
            self._aliases[packet.alias] = packet.topic
        elif packet.alias not in self._aliases:
            raise MalformedPacketError("a topic alias that stands for nothing", Reason.PROTOCOL_ERROR)
        return packet.topic or self._aliases[packet.alias]

    def _within_rate(self) -> bool:
        """Return whether a publish is within the limit of a second."""
        rate = self._limits.publishes
        now = time.monotonic()
        self._allowance = min(float(self._limits.burst), self._allowance + (now - self._counted_at) * rate)
        self._counted_at = now
        if self._allowance >= 1:
            self._allowance -= 1
            return True
        if not self._told_of_rate:
            self._told_of_rate = True
            log.warning(
                "%s publishes more than %d messages a second: AWS IoT discards what is over, and so it is here."
                " Publish more slowly, or over more connections",
                self.name,
                rate,
            )
        return False

    def _forbid(self, packet: packets.Publish, topic: str) -> None:
        resource = f"topic/{topic}"
        if not open_to_clients(topic):
            why = "the topic is AWS's own"
        elif packet.retain and topic.startswith("$"):
            why = "no message to a reserved topic is retained"
        elif self.may("iot:Publish", resource):
            why = self._refusal("iot:RetainPublish", resource)
        else:
            why = self._refusal("iot:Publish", resource)
        log.info("%s may not publish to %s: %s", self.name, topic, why)
        self._refuse(packet, Reason.NOT_AUTHORIZED)

    def _refuse(self, packet: packets.Publish, reason: int) -> None:
        """Refuse a message: with MQTT 5 in its acknowledgement, else by closing the connection, as AWS IoT does.

        What is over the rate is discarded without a word at MQTT 3.1.1 and QoS 0.
        """
        if self._level == packets.V5 and packet.qos:
            self._write(packets.puback(packet.packet_id, reason))
        elif reason == Reason.NOT_AUTHORIZED:
            self.end(reason, "FORBIDDEN_ACCESS")

    def _tell_other(self, topic: str, packet: packets.Publish) -> None:
        quoted, _, topic = topic.removeprefix(TO_PREFIX).partition("/")
        message = Message(topic, packet.payload, packet.qos, self.name, properties=packet.properties)
        self._broker.tell(unquote(quoted), message)
        if packet.qos:
            self._write(packets.puback(packet.packet_id))

    def _permitted(self, packet: packets.Publish, topic: str) -> bool:
        """Return whether AWS's limits and the policies allow a message; refuse it, if not."""
        if not self.trusted and (fault := aws.topic_fault(topic)):
            raise MalformedPacketError(f"a message to {topic}: {fault}", Reason.TOPIC_NAME_INVALID)
        if not self.may_publish(topic, retain=packet.retain):
            self._forbid(packet, topic)
            return False
        if ("iot:Publish", f"topic/{topic}") in self._allowed:
            self._own_topics.add(topic)
        return True

    def _command(self, topic: str, packet: packets.Publish) -> bool:
        """Do what a trusted client tells the broker; return whether the message is no message to anybody else."""
        if not self._broker.ready and topic not in (READY_TOPIC, DATA_PLANE_READY_TOPIC):
            # The rules are not there yet: unacknowledged, the message comes again.
            log.info("closing %s: another required client is not there yet", self.name)
            self.end(Reason.SERVER_UNAVAILABLE, "SERVER_ERROR")
            return True
        if topic.startswith(TO_PREFIX):
            self._tell_other(topic, packet)
            return True
        if not commands.is_command(topic):
            return False
        try:
            options = json.loads(packet.payload or b"{}")
        except ValueError as error:
            raise MalformedPacketError(
                f"what is not JSON to {topic}", Reason.PAYLOAD_FORMAT_INVALID
            ) from error
        answer = json.dumps(commands.carry_out(self._broker, topic, options))
        if packet.qos:
            found = {properties.USER: [(ANSWER_PROPERTY, answer)]} if self._level == packets.V5 else None
            self._write(packets.puback(packet.packet_id, found=found))
        return True

    def _subscribe(self, session: Session, packet_id: int, filters: list[packets.Filter]) -> None:
        if len(filters) > self._limits.filters:
            raise MalformedPacketError(
                f"a SUBSCRIBE with {len(filters)} topic filters: AWS IoT takes {self._limits.filters} at a time",
                Reason.QUOTA_EXCEEDED,
            )
        if any(asked.qos > 1 for asked in filters):
            raise MalformedPacketError(
                "a SUBSCRIBE at QoS 2, which AWS IoT does not have: subscribe at QoS 1",
                Reason.QOS_NOT_SUPPORTED,
            )
        codes, granted = [], []
        for asked in filters:
            refusal = self._subscription_refusal(session, asked)
            codes.append(asked.qos if refusal is None else refusal)
            if refusal is None:
                subscription = Subscription(asked.qos, asked.no_local, asked.retain_as_published)
                granted.append((asked, self._broker.subscribe(session, asked.topic_filter, subscription)))
        self._write(packets.suback(packet_id, codes, self._level))
        for asked, new in granted:
            if asked.topic_filter.startswith(SHARED_PREFIX):
                self._broker.drain(asked.topic_filter)
            elif asked.retain_handling == 0 or (asked.retain_handling == 1 and new):
                self._broker.send_retained(session, asked.topic_filter, asked.qos, wildcards=self.trusted)

    def _subscription_refusal(self, session: Session, asked: packets.Filter) -> int | None:
        """Return the reason code with which a subscription is refused, or None."""
        topic_filter = asked.topic_filter
        fault = None if self.trusted else aws.subscription_fault(topic_filter)
        if fault:
            log.info("refused a subscription of %s to %s: %s", self.name, topic_filter, fault)
            return Reason.TOPIC_FILTER_INVALID
        shared = split_shared(topic_filter) if topic_filter.startswith(SHARED_PREFIX) else None
        if shared and asked.no_local:
            raise MalformedPacketError("a shared subscription with no local", Reason.PROTOCOL_ERROR)
        new = topic_filter not in session.subscriptions
        if new and len(session.subscriptions) >= self._limits.subscriptions:
            log.info(
                "refused a subscription of %s to %s: AWS IoT allows %d a connection",
                self.name,
                topic_filter,
                self._limits.subscriptions,
            )
            return Reason.QUOTA_EXCEEDED
        hidden = (shared[1] if shared else topic_filter).startswith(FROM_PREFIX)
        resource = f"topicfilter/{topic_filter}"
        if not self.trusted and (hidden or not self.may("iot:Subscribe", resource)):
            why = "the topic is the broker's own" if hidden else self._refusal("iot:Subscribe", resource)
            log.info("refused a subscription of %s to %s: %s", self.name, topic_filter, why)
            return Reason.NOT_AUTHORIZED
        return None

    def _unsubscribe(self, session: Session, packet_id: int, filters: list[str]) -> None:
        codes = [
            Reason.SUCCESS if self._broker.unsubscribe(session, one) else Reason.NO_SUBSCRIPTION_EXISTED
            for one in filters
        ]
        self._write(packets.unsuback(packet_id, codes, self._level))


def _common_name(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""
