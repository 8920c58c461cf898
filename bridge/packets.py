"""MQTT 3.1.1 packets, as bytes and back; no sockets here.

Section numbers refer to the OASIS standard "MQTT Version 3.1.1".
"""

import struct
from dataclasses import dataclass
from typing import NamedTuple

CONNECT, CONNACK, PUBLISH, PUBACK = 1, 2, 3, 4
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = 8, 9, 10, 11
PINGREQ, PINGRESP, DISCONNECT = 12, 13, 14

# CONNACK return codes (3.2.2.3).
ACCEPTED, WRONG_PROTOCOL, BAD_IDENTIFIER, UNAVAILABLE, NOT_AUTHORIZED = 0, 1, 2, 3, 5

PINGRESP_PACKET = bytes((PINGRESP << 4, 0))
REFUSED_SUBSCRIPTION = 0x80


class MalformedPacketError(Exception):
    """The peer does not speak MQTT 3.1.1; its connection must be closed (4.8)."""


class Packet(NamedTuple):
    """A packet's type, its flags and what follows the fixed header."""

    kind: int
    flags: int
    body: bytes


@dataclass(frozen=True)
class Will:
    """What the broker publishes for a client that vanishes (3.1.2.5)."""

    topic: str
    payload: bytes
    qos: int


@dataclass(frozen=True)
class Connect:
    """A CONNECT packet; ``keep_alive`` in seconds, 0 for none."""

    client_id: str
    clean_session: bool
    keep_alive: int
    will: Will | None
    supported: bool


@dataclass(frozen=True, slots=True)
class Publish:
    """A PUBLISH packet; ``packet_id`` is 0 at QoS 0."""

    topic: str
    payload: bytes
    qos: int
    packet_id: int


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
        raise MalformedPacketError(f"a packet of {length} bytes, over the limit of {limit}")
    end = position + length
    if len(buffer) < end:
        return None
    head = buffer[0]
    body = bytes(buffer[position:end])
    del buffer[:end]
    return Packet(head >> 4, head & 0x0F, body)


def parse_connect(body: bytes) -> Connect:
    """Read a CONNECT packet (3.1)."""
    protocol, position = _text(body, 0)
    if len(body) < position + 4:
        raise MalformedPacketError("a CONNECT that ends early")
    level, flags, keep_alive = struct.unpack_from("!BBH", body, position)
    position += 4
    if protocol != "MQTT" or level != 4:
        return Connect("", True, 0, None, False)
    client_id, position = _text(body, position)
    will = None
    if flags & 0x04:
        topic, position = _text(body, position)
        payload, position = _binary(body, position)
        will = Will(topic, payload, (flags >> 3) & 0x03)
    # A user name and password may follow; identity is the certificate's, so they are not read.
    return Connect(client_id, bool(flags & 0x02), keep_alive, will, True)


def parse_publish(flags: int, body: bytes) -> Publish:
    """Read a PUBLISH packet (3.3)."""
    topic, position = _text(body, 0)
    qos = (flags >> 1) & 0x03
    packet_id = 0
    if qos:
        packet_id = parse_packet_id(body, position)
        position += 2
    if not topic or "+" in topic or "#" in topic:
        raise MalformedPacketError("a PUBLISH to a topic with wildcards, or to none")
    return Publish(topic, body[position:], qos, packet_id)


def parse_packet_id(body: bytes, position: int = 0) -> int:
    """Read a packet identifier (2.3.1)."""
    if len(body) < position + 2:
        raise MalformedPacketError("a packet without its identifier")
    number = int.from_bytes(body[position : position + 2])
    if number == 0:
        raise MalformedPacketError("packet identifier 0")
    return number


def parse_subscribe(body: bytes) -> tuple[int, list[tuple[str, int]]]:
    """Read a SUBSCRIBE packet (3.8): its identifier, and topic filters with the wished QoS."""
    packet_id, position, filters = parse_packet_id(body), 2, []
    while position < len(body):
        topic_filter, position = _text(body, position)
        if position >= len(body):
            raise MalformedPacketError("a SUBSCRIBE without a QoS")
        filters.append((topic_filter, body[position] & 0x03))
        position += 1
    if not filters:
        raise MalformedPacketError("a SUBSCRIBE to nothing")
    return packet_id, filters


def parse_unsubscribe(body: bytes) -> tuple[int, list[str]]:
    """Read an UNSUBSCRIBE packet (3.10)."""
    packet_id, position, filters = parse_packet_id(body), 2, []
    while position < len(body):
        topic_filter, position = _text(body, position)
        filters.append(topic_filter)
    return packet_id, filters


def connack(code: int, *, session_present: bool = False) -> bytes:
    """Build a CONNACK packet (3.2)."""
    return bytes((CONNACK << 4, 2, int(session_present), code))


def puback(packet_id: int) -> bytes:
    """Build a PUBACK packet (3.4)."""
    return struct.pack("!BBH", PUBACK << 4, 2, packet_id)


def suback(packet_id: int, codes: list[int]) -> bytes:
    """Build a SUBACK packet (3.9)."""
    return _packet(SUBACK << 4, packet_id.to_bytes(2) + bytes(codes))


def unsuback(packet_id: int) -> bytes:
    """Build an UNSUBACK packet (3.11)."""
    return struct.pack("!BBH", UNSUBACK << 4, 2, packet_id)


def publish(topic: bytes, payload: bytes, *, qos: int, packet_id: int = 0, duplicate: bool = False) -> bytes:
    """Build a PUBLISH packet (3.3); ``topic`` is UTF-8 already."""
    head = PUBLISH << 4 | (0x08 if duplicate else 0) | qos << 1
    identifier = packet_id.to_bytes(2) if qos else b""
    return _packet(head, len(topic).to_bytes(2) + topic + identifier + payload)


def _packet(head: int, body: bytes) -> bytes:
    length, size = bytearray(), len(body)
    while True:
        size, digit = divmod(size, 128)
        length.append(digit | (0x80 if size else 0))
        if not size:
            break
    return bytes((head,)) + length + body


def _text(body: bytes, position: int) -> tuple[str, int]:
    raw, position = _binary(body, position)
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise MalformedPacketError("text that is not UTF-8") from error
    if "\0" in text:
        raise MalformedPacketError("text with a null character")
    return text, position


def _binary(body: bytes, position: int) -> tuple[bytes, int]:
    start = position + 2
    end = start + int.from_bytes(body[position:start])
    if len(body) < end or start > len(body):
        raise MalformedPacketError("a field that ends early")
    return body[start:end], end
