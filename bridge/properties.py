"""MQTT 5 properties, as bytes and back.

Section numbers refer to the OASIS standard "MQTT Version 5.0".
"""

import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from bridge.malformed import MalformedPacketError

Properties = Mapping[int, Any]

PAYLOAD_FORMAT: Final = 0x01
MESSAGE_EXPIRY: Final = 0x02
CONTENT_TYPE: Final = 0x03
RESPONSE_TOPIC: Final = 0x08
CORRELATION_DATA: Final = 0x09
SUBSCRIPTION_ID: Final = 0x0B
SESSION_EXPIRY: Final = 0x11
ASSIGNED_CLIENT_ID: Final = 0x12
SERVER_KEEP_ALIVE: Final = 0x13
AUTHENTICATION_METHOD: Final = 0x15
AUTHENTICATION_DATA: Final = 0x16
REQUEST_PROBLEM: Final = 0x17
WILL_DELAY: Final = 0x18
REQUEST_RESPONSE: Final = 0x19
REASON: Final = 0x1F
RECEIVE_MAXIMUM: Final = 0x21
TOPIC_ALIAS_MAXIMUM: Final = 0x22
TOPIC_ALIAS: Final = 0x23
MAXIMUM_QOS: Final = 0x24
RETAIN_AVAILABLE: Final = 0x25
USER: Final = 0x26
MAXIMUM_PACKET: Final = 0x27
WILDCARDS_AVAILABLE: Final = 0x28
SUBSCRIPTION_IDS_AVAILABLE: Final = 0x29
SHARED_AVAILABLE: Final = 0x2A

# Which may be in which packet (2.2.2.2), of those that a client sends.
OF_CONNECT = frozenset(
    {
        SESSION_EXPIRY,
        AUTHENTICATION_METHOD,
        AUTHENTICATION_DATA,
        REQUEST_PROBLEM,
        REQUEST_RESPONSE,
        RECEIVE_MAXIMUM,
        TOPIC_ALIAS_MAXIMUM,
        USER,
        MAXIMUM_PACKET,
    }
)
# What belongs to a message and goes on to its subscribers as it came (3.3.2.3).
OF_MESSAGE = frozenset({PAYLOAD_FORMAT, CONTENT_TYPE, RESPONSE_TOPIC, CORRELATION_DATA, USER})
OF_WILL = OF_MESSAGE | {MESSAGE_EXPIRY, WILL_DELAY}
OF_PUBLISH = OF_MESSAGE | {MESSAGE_EXPIRY, TOPIC_ALIAS}
OF_SUBSCRIBE = frozenset({SUBSCRIPTION_ID, USER})
OF_UNSUBSCRIBE = frozenset({USER})
OF_ACKNOWLEDGEMENT = frozenset({REASON, USER})
OF_DISCONNECT = frozenset({SESSION_EXPIRY, REASON, USER})

_BYTES = {
    PAYLOAD_FORMAT,
    REQUEST_PROBLEM,
    REQUEST_RESPONSE,
    MAXIMUM_QOS,
    RETAIN_AVAILABLE,
    WILDCARDS_AVAILABLE,
    SUBSCRIPTION_IDS_AVAILABLE,
    SHARED_AVAILABLE,
}
_SHORTS = {SERVER_KEEP_ALIVE, RECEIVE_MAXIMUM, TOPIC_ALIAS_MAXIMUM, TOPIC_ALIAS}
_LONGS = {MESSAGE_EXPIRY, SESSION_EXPIRY, WILL_DELAY, MAXIMUM_PACKET}
_TEXTS = {CONTENT_TYPE, RESPONSE_TOPIC, ASSIGNED_CLIENT_ID, AUTHENTICATION_METHOD, REASON}
_BINARIES = {CORRELATION_DATA, AUTHENTICATION_DATA}

Reader = Callable[[bytes, int], tuple[Any, int]]
_READERS: dict[int, Reader] = {}


def read_text(body: bytes, position: int) -> tuple[str, int]:
    """Read a UTF-8 string (1.5.4) and return it with the position behind it."""
    raw, position = read_binary(body, position)
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise MalformedPacketError("text that is not UTF-8") from error
    if "\0" in text:
        raise MalformedPacketError("text with a null character")
    return text, position


def read_binary(body: bytes, position: int) -> tuple[bytes, int]:
    """Read binary data (1.5.6) and return it with the position behind it."""
    start = position + 2
    end = start + int.from_bytes(body[position:start])
    if len(body) < end or start > len(body):
        raise MalformedPacketError("a field that ends early")
    return body[start:end], end


def read_length(body: bytes, position: int) -> tuple[int, int]:
    """Read a variable byte integer (1.5.5) and return it with the position behind it."""
    value = 0
    for shift in (0, 7, 14, 21):
        if position >= len(body):
            raise MalformedPacketError("a field that ends early")
        byte = body[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise MalformedPacketError("a length of more than four bytes")


def write_length(value: int) -> bytes:
    """Write a variable byte integer (1.5.5)."""
    if value < 0x80:
        return bytes((value,))
    if value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    written = bytearray()
    while True:
        value, digit = divmod(value, 128)
        written.append(digit | (0x80 if value else 0))
        if not value:
            return bytes(written)


def write_binary(value: bytes) -> bytes:
    """Write binary data (1.5.6)."""
    return len(value).to_bytes(2) + value


def _read_number(size: int) -> Reader:
    def read(body: bytes, position: int) -> tuple[int, int]:
        end = position + size
        if len(body) < end:
            raise MalformedPacketError("a field that ends early")
        return int.from_bytes(body[position:end]), end

    return read


def _read_pair(body: bytes, position: int) -> tuple[tuple[str, str], int]:
    name, position = read_text(body, position)
    value, position = read_text(body, position)
    return (name, value), position


_READERS.update(dict.fromkeys(_BYTES, _read_number(1)))
_READERS.update(dict.fromkeys(_SHORTS, _read_number(2)))
_READERS.update(dict.fromkeys(_LONGS, _read_number(4)))
_READERS.update(dict.fromkeys(_TEXTS, read_text))
_READERS.update(dict.fromkeys(_BINARIES, read_binary))
_READERS.update({SUBSCRIPTION_ID: read_length, USER: _read_pair})


def read(body: bytes, position: int, allowed: Collection[int]) -> tuple[dict[int, Any], int]:
    """Read a property list with its length (2.2.2) and return it with the position behind it.

    Returns:
        The value of each property; of `USER` a list of pairs, in the order in which they came.

    Raises:
        MalformedPacketError: a property is cut short, comes twice, or is not among the ``allowed``.
    """
    length, position = read_length(body, position)
    found: dict[int, Any] = {}
    if not length:
        return found, position
    end = position + length
    if end > len(body):
        raise MalformedPacketError("properties that end early")
    inside = body[:end]
    while position < end:
        kind = inside[position]
        if kind not in allowed:
            raise MalformedPacketError(f"property 0x{kind:02x}, which does not belong in this packet")
        value, position = _READERS[kind](inside, position + 1)
        if kind == USER:
            found.setdefault(USER, []).append(value)
        elif kind in found:
            raise MalformedPacketError(f"property 0x{kind:02x} twice")
        else:
            found[kind] = value
    return found, position


def write(properties: Properties) -> bytes:
    """Write a property list without its length; the form is that of `read`."""
    written = bytearray()
    for kind, value in properties.items():
        if kind == USER:
            for name, text in value:
                written.append(USER)
                written += write_binary(name.encode()) + write_binary(text.encode())
            continue
        written.append(kind)
        if kind in _BYTES:
            written.append(value)
        elif kind in _SHORTS:
            written += struct.pack("!H", value)
        elif kind in _LONGS:
            written += struct.pack("!I", value)
        elif kind in _TEXTS:
            written += write_binary(value.encode())
        else:
            written += write_binary(value)
    return bytes(written)


def with_length(parts: Sequence[bytes]) -> bytes:
    """Join written properties and put their length in front."""
    joined = b"".join(parts)
    return write_length(len(joined)) + joined
