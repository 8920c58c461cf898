"""A station's half of MQTT 3.1.1, as bytes and back; no sockets here.

Section numbers refer to the OASIS standard "MQTT Version 3.1.1".
"""

import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache

CONNACK, PUBLISH, PUBACK, SUBACK, PINGRESP = 2, 3, 4, 9, 13
# A code of SUBACK from which on it is a refusal (3.9.3).
FAILURE = 0x80
PINGREQ = bytes((0xC0, 0))
DISCONNECT = bytes((0xE0, 0))
# PUBACK's first two bytes: type 4, two bytes follow.
_PUBACK_HEAD = 0x4002
PUBACK_BYTES = 4
# What the shortest TLS record adds: 5 bytes of header and 16 of authentication tag (RFC 8446, 5.2; RFC 7905).
LEAST_RECORD_BYTES = 21

# CONNACK return codes (3.2.2.3).
_REFUSALS = {
    1: "it does not speak MQTT 3.1.1",
    2: "it does not accept this client id",
    3: "it is not available",
    4: "bad user name or password",
    5: "this client is not authorized",
}


class ProtocolError(OSError):
    """What the broker sent is no MQTT."""


def connect(client_id: str, keep_alive: int) -> bytes:
    """Build a CONNECT packet with a clean session (3.1); ``keep_alive`` in seconds."""
    name = client_id.encode()
    variable = b"\x00\x04MQTT\x04\x02" + keep_alive.to_bytes(2)
    return _packet(0x10, variable + len(name).to_bytes(2) + name)


class Topic:
    """A topic that is published to again and again."""

    __slots__ = ("_field",)

    def __init__(self, topic: str) -> None:
        """Encode it once."""
        encoded = topic.encode()
        self._field = len(encoded).to_bytes(2) + encoded

    def publish(self, payloads: Iterable[bytes], packet_ids: Iterable[int]) -> bytes:
        """Build PUBLISH packets (3.3), one for each payload: QoS 1, or QoS 0 where the identifier is 0."""
        topic = self._field
        parts: list[bytes] = []
        size = len(topic)
        for payload, packet_id in zip(payloads, packet_ids, strict=False):
            if packet_id:
                parts += (_head(0x32, size + 2 + len(payload)), topic, packet_id.to_bytes(2), payload)
            else:
                parts += (_head(0x30, size + len(payload)), topic, payload)
        return b"".join(parts)


def subscribe(filters: Sequence[str], packet_id: int) -> bytes:
    """Build a SUBSCRIBE packet (3.8) for QoS 1."""
    encoded = [topic_filter.encode() for topic_filter in filters]
    parts = [len(each).to_bytes(2) + each + b"\x01" for each in encoded]
    return _packet(0x82, packet_id.to_bytes(2) + b"".join(parts))


def puback(packet_id: int) -> bytes:
    """Build a PUBACK packet (3.4)."""
    return bytes((PUBACK << 4, 2)) + packet_id.to_bytes(2)


def message(flags: int, body: bytes) -> tuple[str, bytes, int]:
    """Read a PUBLISH packet (3.3): topic, payload, and the identifier to acknowledge, 0 at QoS 0.

    Raises:
        ProtocolError: it is none.
    """
    begin = 2 + int.from_bytes(body[:2])
    packet_id = int.from_bytes(body[begin : begin + 2]) if flags & 0x06 else 0
    try:
        topic = body[2:begin].decode()
    except UnicodeDecodeError as error:
        raise ProtocolError("the broker sent a topic that is no UTF-8") from error
    return topic, body[begin + 2 if flags & 0x06 else begin :], packet_id


def refusal(connack: bytes) -> str | None:
    """Say why a CONNACK packet refuses (3.2.2.3), or None if it does not."""
    if len(connack) != 2:
        return "with a CONNACK that is none"
    return _REFUSALS.get(connack[1], f"code {connack[1]}") if connack[1] else None


def take(buffer: bytearray) -> list[tuple[int, int, bytes]]:
    """Take all whole packets from the front of ``buffer``, as (type, flags, what follows the fixed header).

    Raises:
        ProtocolError: a length that is none.
    """
    found = []
    start, end = 0, len(buffer)
    while True:
        length, shift, position = 0, 0, start + 1
        while position < end:
            byte = buffer[position]
            length |= (byte & 0x7F) << shift
            position += 1
            if byte < 0x80:
                break
            shift += 7
            if shift > 21:
                raise ProtocolError("the broker sent a length of more than four bytes")
        else:
            break
        if position + length > end:
            break
        found.append((buffer[start] >> 4, buffer[start] & 0x0F, bytes(buffer[position : position + length])))
        start = position + length
    del buffer[:start]
    return found


def take_pubacks(data: bytes) -> Sequence[int] | None:
    """Read the packet identifiers in ``data`` if it holds whole PUBACK packets (3.4) and nothing else.

    That is nearly always so when many are on their way; anything else is for `take`.
    """
    if len(data) % 4:
        return None
    numbers = struct.unpack(f">{len(data) // 2}H", data)
    return numbers[1::2] if numbers[::2].count(_PUBACK_HEAD) == len(data) // 4 else None


def _packet(head: int, body: bytes) -> bytes:
    return _head(head, len(body)) + body


@lru_cache(maxsize=4096)
def _head(head: int, size: int) -> bytes:
    """Build the fixed header (2.2), once for each size: a station's messages come in few."""
    length = bytearray()
    while True:
        size, digit = divmod(size, 128)
        length.append(digit | (0x80 if size else 0))
        if not size:
            return bytes((head,)) + length
