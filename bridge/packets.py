"""MQTT packets of versions 3.1.1 and 5, as bytes and back; no sockets here.

Section numbers refer to the OASIS standard "MQTT Version 5.0"; those of "MQTT Version 3.1.1" are the same but for
details. What a PUBLISH carries besides topic and payload stays in its written form: a broker passes it on.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bridge import properties
from bridge.malformed import MalformedPacketError
from bridge.properties import Properties, read_binary, read_text, write_length

__all__ = ["MalformedPacketError"]

CONNECT, CONNACK, PUBLISH, PUBACK = 1, 2, 3, 4
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = 8, 9, 10, 11
PINGREQ, PINGRESP, DISCONNECT, AUTH = 12, 13, 14, 15

V3, V5 = 4, 5

# CONNACK return codes of MQTT 3.1.1 (3.2.2.3 there).
ACCEPTED, WRONG_PROTOCOL, BAD_IDENTIFIER, UNAVAILABLE, NOT_AUTHORIZED = 0, 1, 2, 3, 5

PINGRESP_PACKET = bytes((PINGRESP << 4, 0))
REFUSED_SUBSCRIPTION = 0x80


class Reason:
    """Reason codes of MQTT 5 (2.4)."""

    SUCCESS = 0x00
    NORMAL_DISCONNECT = 0x00
    DISCONNECT_WITH_WILL = 0x04
    NO_SUBSCRIPTION_EXISTED = 0x11
    UNSPECIFIED = 0x80
    MALFORMED = 0x81
    PROTOCOL_ERROR = 0x82
    UNSUPPORTED_VERSION = 0x84
    CLIENT_ID_INVALID = 0x85
    NOT_AUTHORIZED = 0x87
    SERVER_UNAVAILABLE = 0x88
    SHUTTING_DOWN = 0x8B
    BAD_AUTHENTICATION_METHOD = 0x8C
    KEEP_ALIVE_TIMEOUT = 0x8D
    SESSION_TAKEN_OVER = 0x8E
    TOPIC_FILTER_INVALID = 0x8F
    TOPIC_NAME_INVALID = 0x90
    TOPIC_ALIAS_INVALID = 0x94
    PACKET_TOO_LARGE = 0x95
    QUOTA_EXCEEDED = 0x97
    ADMINISTRATIVE_ACTION = 0x98
    PAYLOAD_FORMAT_INVALID = 0x99
    QOS_NOT_SUPPORTED = 0x9B
    SUBSCRIPTION_IDS_NOT_SUPPORTED = 0xA1


# How MQTT 3.1.1 says in a CONNACK what MQTT 5 says.
_RETURN_CODES = {
    Reason.SUCCESS: ACCEPTED,
    Reason.UNSUPPORTED_VERSION: WRONG_PROTOCOL,
    Reason.CLIENT_ID_INVALID: BAD_IDENTIFIER,
    Reason.SERVER_UNAVAILABLE: UNAVAILABLE,
}


class Packet(NamedTuple):
    """A packet's type, its flags and what follows the fixed header."""

    kind: int
    flags: int
    body: bytes


@dataclass(frozen=True)
class Will:
    """What the broker publishes for a client that vanishes (3.1.2.5).

    ``properties`` are those of the message, as `bridge.properties.write` writes them; ``expiry`` is in seconds,
    None for never; ``delay`` is in seconds.
    """

    topic: str
    payload: bytes
    qos: int
    retain: bool = False
    properties: bytes = b""
    expiry: int | None = None
    delay: int = 0


@dataclass(frozen=True)
class Connect:
    """A CONNECT packet; ``keep_alive`` in seconds, 0 for none.

    ``clean_start`` is MQTT 3.1.1's clean session, too. ``level`` is the protocol's level, of a packet with any
    other than 4 or 5 nothing else is known.
    """

    client_id: str
    clean_start: bool
    keep_alive: int
    will: Will | None
    level: int = V3
    user_name: str | None = None
    password: bytes | None = None
    properties: Properties = field(default_factory=dict)

    @property
    def supported(self) -> bool:
        """Whether the client speaks a version that is spoken here."""
        return self.level in (V3, V5)


class Publish(NamedTuple):
    """A PUBLISH packet; ``packet_id`` is 0 at QoS 0.

    ``properties`` are those that belong to the message, as `bridge.properties.write` writes them; ``expiry`` is in
    seconds, None for never; ``alias`` is 0 for none.
    """

    topic: str
    payload: bytes
    qos: int
    packet_id: int
    retain: bool = False
    properties: bytes = b""
    expiry: int | None = None
    alias: int = 0


class Filter(NamedTuple):
    """A topic filter of a SUBSCRIBE with its options (3.8.3.1); ``retain_handling`` is 0, 1 or 2."""

    topic_filter: str
    qos: int
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0


def take_packet(buffer: bytearray, limit: int) -> Packet | None:
    """Take one whole packet from the front of ``buffer``, or None if it is not all there.

    Raises:
        MalformedPacketError: the length is no length, or over ``limit`` bytes.
    """
    length, shift, position = 0, 0, 1
    while True:
        if position >= len(buffer):
            return None
        byte = buffer[position]
        length |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            break
        shift += 7
        if shift > 21:
            raise MalformedPacketError("a remaining length of more than four bytes")
    if length > limit:
        raise MalformedPacketError(
            f"a packet of {length} bytes, over the limit of {limit}", Reason.PACKET_TOO_LARGE
        )
    end = position + length
    if len(buffer) < end:
        return None
    head = buffer[0]
    body = bytes(buffer[position:end])
    del buffer[:end]
    return Packet(head >> 4, head & 0x0F, body)


def parse_connect(body: bytes) -> Connect:
    """Read a CONNECT packet (3.1)."""
    protocol, position = read_text(body, 0)
    if len(body) < position + 4:
        raise MalformedPacketError("a CONNECT that ends early")
    level, flags, keep_alive = struct.unpack_from("!BBH", body, position)
    position += 4
    if protocol != "MQTT" or level not in (V3, V5):
        return Connect("", True, 0, None, level if protocol == "MQTT" else 0)
    if flags & 0x01:
        raise MalformedPacketError("a CONNECT with its reserved flag set")
    if flags & 0x38 and not flags & 0x04:
        raise MalformedPacketError("a CONNECT with a will's QoS or retain, and no will")
    if level == V3 and flags & 0xC0 == 0x40:
        raise MalformedPacketError("a CONNECT with a password and no user name")
    found: dict[int, Any] = {}
    if level == V5:
        found, position = properties.read(body, position, properties.OF_CONNECT)
        _check_connect(found)
    client_id, position = read_text(body, position)
    will, position = _will(body, position, flags, level) if flags & 0x04 else (None, position)
    user_name = password = None
    if flags & 0x80:
        user_name, position = read_text(body, position)
    if flags & 0x40:
        password, position = read_binary(body, position)
    if position != len(body):
        raise MalformedPacketError("a CONNECT with something behind its end")
    return Connect(client_id, bool(flags & 0x02), keep_alive, will, level, user_name, password, found)


def _check_connect(found: dict[int, Any]) -> None:
    for kind, name in (
        (properties.RECEIVE_MAXIMUM, "receive maximum"),
        (properties.MAXIMUM_PACKET, "maximum packet size"),
    ):
        if found.get(kind) == 0:
            raise MalformedPacketError(f"a {name} of 0", Reason.PROTOCOL_ERROR)
    if any(found.get(kind, 0) > 1 for kind in (properties.REQUEST_PROBLEM, properties.REQUEST_RESPONSE)):
        raise MalformedPacketError("a request for information that is neither 0 nor 1", Reason.PROTOCOL_ERROR)
    if properties.AUTHENTICATION_DATA in found and properties.AUTHENTICATION_METHOD not in found:
        raise MalformedPacketError("authentication data without a method", Reason.PROTOCOL_ERROR)


def _will(body: bytes, position: int, flags: int, level: int) -> tuple[Will, int]:
    found: dict[int, Any] = {}
    if level == V5:
        found, position = properties.read(body, position, properties.OF_WILL)
    topic, position = read_text(body, position)
    payload, position = read_binary(body, position)
    if not topic or "+" in topic or "#" in topic:
        raise MalformedPacketError("a will for a topic with wildcards, or for none")
    delay = found.pop(properties.WILL_DELAY, 0)
    expiry = found.pop(properties.MESSAGE_EXPIRY, None)
    qos = (flags >> 3) & 0x03
    if qos == 3:
        raise MalformedPacketError("a will at QoS 3")
    written = properties.write(found)
    return Will(topic, payload, qos, bool(flags & 0x20), written, expiry, delay), position


def parse_publish(flags: int, body: bytes, level: int = V3) -> Publish:
    """Read a PUBLISH packet (3.3); its topic is empty where an alias stands for it."""
    topic, position = read_text(body, 0)
    qos = (flags >> 1) & 0x03
    packet_id = 0
    if qos:
        if qos == 3:
            raise MalformedPacketError("a PUBLISH at QoS 3")
        packet_id = parse_packet_id(body, position)
        position += 2
    elif flags & 0x08:
        raise MalformedPacketError("a PUBLISH at QoS 0 that says it was sent before")
    written, expiry, alias = b"", None, 0
    if level == V5:
        if position < len(body) and body[position] == 0:
            position += 1
        else:
            found, position = properties.read(body, position, properties.OF_PUBLISH)
            if properties.TOPIC_ALIAS in found:
                alias = found.pop(properties.TOPIC_ALIAS)
                if not alias:
                    raise MalformedPacketError("topic alias 0", Reason.TOPIC_ALIAS_INVALID)
            expiry = found.pop(properties.MESSAGE_EXPIRY, None)
            _check_message(found)
            written = properties.write(found)
    if "+" in topic or "#" in topic or not (topic or alias):
        raise MalformedPacketError(
            "a PUBLISH to a topic with wildcards, or to none", Reason.TOPIC_NAME_INVALID
        )
    return Publish(topic, body[position:], qos, packet_id, bool(flags & 0x01), written, expiry, alias)


def _check_message(found: dict[int, Any]) -> None:
    answer_to = found.get(properties.RESPONSE_TOPIC, "")
    if "+" in answer_to or "#" in answer_to:
        raise MalformedPacketError("a response topic with wildcards", Reason.PROTOCOL_ERROR)
    if found.get(properties.PAYLOAD_FORMAT, 0) > 1:
        raise MalformedPacketError("a payload format that is neither 0 nor 1", Reason.PROTOCOL_ERROR)


def parse_packet_id(body: bytes, position: int = 0) -> int:
    """Read a packet identifier (2.2.1)."""
    if len(body) < position + 2:
        raise MalformedPacketError("a packet without its identifier")
    number = int.from_bytes(body[position : position + 2])
    if number == 0:
        raise MalformedPacketError("packet identifier 0")
    return number


def parse_subscribe(body: bytes, level: int = V3) -> tuple[int, list[Filter]]:
    """Read a SUBSCRIBE packet (3.8): its identifier, and topic filters with their options."""
    packet_id, position, filters = parse_packet_id(body), 2, []
    if level == V5:
        found, position = properties.read(body, position, properties.OF_SUBSCRIBE)
        if properties.SUBSCRIPTION_ID in found:
            raise MalformedPacketError(
                "a subscription identifier, which AWS IoT does not have",
                Reason.SUBSCRIPTION_IDS_NOT_SUPPORTED,
            )
    while position < len(body):
        topic_filter, position = read_text(body, position)
        if position >= len(body):
            raise MalformedPacketError("a SUBSCRIBE without a QoS")
        options = body[position]
        position += 1
        if options & 0x03 == 3 or options & (0xC0 if level == V5 else 0xFC) or options & 0x30 == 0x30:
            raise MalformedPacketError(f"subscription options 0x{options:02x}")
        filters.append(
            Filter(topic_filter, options & 0x03, bool(options & 4), bool(options & 8), (options >> 4) & 0x03)
        )
    if not filters:
        raise MalformedPacketError("a SUBSCRIBE to nothing", Reason.PROTOCOL_ERROR)
    return packet_id, filters


def parse_unsubscribe(body: bytes, level: int = V3) -> tuple[int, list[str]]:
    """Read an UNSUBSCRIBE packet (3.10)."""
    packet_id, position, filters = parse_packet_id(body), 2, []
    if level == V5:
        _, position = properties.read(body, position, properties.OF_UNSUBSCRIBE)
    while position < len(body):
        topic_filter, position = read_text(body, position)
        filters.append(topic_filter)
    if not filters:
        raise MalformedPacketError("an UNSUBSCRIBE from nothing", Reason.PROTOCOL_ERROR)
    return packet_id, filters


def parse_disconnect(body: bytes, level: int = V3) -> tuple[int, int | None]:
    """Read a DISCONNECT packet (3.14): its reason, and a new session expiry in seconds or None."""
    if level != V5 or not body:
        return Reason.NORMAL_DISCONNECT, None
    found: dict[int, Any] = {}
    if len(body) > 1:
        found, _ = properties.read(body, 1, properties.OF_DISCONNECT)
    return body[0], found.get(properties.SESSION_EXPIRY)


def connack(
    reason: int, level: int = V3, found: Properties | None = None, *, session_present: bool = False
) -> bytes:
    """Build a CONNACK packet (3.2) that says ``reason``, a code of MQTT 5, in the client's version."""
    if level == V5:
        written = properties.with_length([properties.write(found or {})])
        return _packet(CONNACK << 4, bytes((int(session_present), reason)) + written)
    return bytes((CONNACK << 4, 2, int(session_present), _RETURN_CODES.get(reason, NOT_AUTHORIZED)))


def puback(packet_id: int, reason: int = Reason.SUCCESS, found: Properties | None = None) -> bytes:
    """Build a PUBACK packet (3.4); a ``reason`` other than success, and properties, are MQTT 5's."""
    if found:
        written = properties.with_length([properties.write(found)])
        return _packet(PUBACK << 4, packet_id.to_bytes(2) + bytes((reason,)) + written)
    if reason:
        return struct.pack("!BBHB", PUBACK << 4, 3, packet_id, reason)
    return struct.pack("!BBH", PUBACK << 4, 2, packet_id)


def suback(packet_id: int, codes: Sequence[int], level: int = V3) -> bytes:
    """Build a SUBACK packet (3.9)."""
    if level == V5:
        return _packet(SUBACK << 4, packet_id.to_bytes(2) + b"\0" + bytes(codes))
    said = bytes(min(code, REFUSED_SUBSCRIPTION) for code in codes)
    return _packet(SUBACK << 4, packet_id.to_bytes(2) + said)


def unsuback(packet_id: int, codes: Sequence[int] = (), level: int = V3) -> bytes:
    """Build an UNSUBACK packet (3.11)."""
    if level == V5:
        return _packet(UNSUBACK << 4, packet_id.to_bytes(2) + b"\0" + bytes(codes))
    return struct.pack("!BBH", UNSUBACK << 4, 2, packet_id)


def disconnect(reason: int) -> bytes:
    """Build a DISCONNECT packet (3.14), which a server has in MQTT 5 alone."""
    return bytes((DISCONNECT << 4, 2, reason, 0))


def publish(
    topic: bytes,
    payload: bytes,
    *,
    qos: int,
    packet_id: int = 0,
    duplicate: bool = False,
    retain: bool = False,
    found: bytes | None = None,
) -> bytes:
    """Build a PUBLISH packet (3.3).

    Args:
        topic: as UTF-8.
        payload: of the message.
        qos: 0 or 1.
        packet_id: at QoS 1.
        duplicate: whether it was sent before.
        retain: whether it is a retained message.
        found: MQTT 5's properties with their length in front; None for MQTT 3.1.1.
    """
    head = PUBLISH << 4 | (0x08 if duplicate else 0) | qos << 1 | int(retain)
    identifier = packet_id.to_bytes(2) if qos else b""
    more = found or b""
    length = 2 + len(topic) + len(identifier) + len(more) + len(payload)
    return b"".join(
        (bytes((head,)), write_length(length), len(topic).to_bytes(2), topic, identifier, more, payload)
    )


def _packet(head: int, body: bytes) -> bytes:
    return bytes((head,)) + write_length(len(body)) + body
