"""The publisher's half of MQTT 3.1.1, as bytes and back; no sockets here.

Section numbers refer to the OASIS standard "MQTT Version 3.1.1".
"""

CONNACK, PUBACK, PINGRESP = 2, 4, 13
PINGREQ = bytes((0xC0, 0))
DISCONNECT = bytes((0xE0, 0))

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


def publish(topic: bytes, payload: bytes, packet_id: int) -> bytes:
    """Build a PUBLISH packet (3.3): QoS 1, or QoS 0 if ``packet_id`` is 0."""
    head = len(topic).to_bytes(2) + topic
    if packet_id:
        return _packet(0x32, head + packet_id.to_bytes(2) + payload)
    return _packet(0x30, head + payload)


def refusal(connack: bytes) -> str | None:
    """Why a CONNACK packet refuses (3.2.2.3), or None if it does not."""
    if len(connack) != 2:
        return "with a CONNACK that is none"
    return _REFUSALS.get(connack[1], f"code {connack[1]}") if connack[1] else None


def take(buffer: bytearray) -> list[tuple[int, bytes]]:
    """Take all whole packets from the front of ``buffer``, as (type, what follows the fixed header).

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
        found.append((buffer[start] >> 4, bytes(buffer[position : position + length])))
        start = position + length
    del buffer[:start]
    return found


def _packet(head: int, body: bytes) -> bytes:
    size, length = len(body), bytearray()
    while True:
        size, digit = divmod(size, 128)
        length.append(digit | (0x80 if size else 0))
        if not size:
            return bytes((head,)) + length + body
