"""A message on its way through the broker, and how it is written down and sent."""

import struct
import time
from typing import NamedTuple

from bridge import packets, properties
from bridge.broker.limits import message_expiry
from bridge.broker.spool import Stored

# What a message has beyond topic and payload, as it is written down: flags, when it expires (seconds since 1970),
# its MQTT 5 properties. One that has nothing of these has no such head.
_MORE = struct.Struct("!Bd")
_RETAIN, _EXPIRES = 1, 2


class Message(NamedTuple):
    """A message; ``expires_at`` in seconds since 1970, None for never.

    ``properties`` are as `bridge.properties.write` writes them.
    """

    topic: str
    payload: bytes
    qos: int
    publisher: str
    retain: bool = False
    properties: bytes = b""
    expires_at: float | None = None

    def more(self, *, retain: bool) -> bytes:
        """Return what `Stored.more` is to hold; ``retain`` says whether its flag goes on."""
        if not (retain or self.properties or self.expires_at is not None):
            return b""
        flags = (_RETAIN if retain else 0) | (0 if self.expires_at is None else _EXPIRES)
        return _MORE.pack(flags, self.expires_at or 0.0) + self.properties


def expiry(seconds: int | None) -> float | None:
    """Return when a message expires that asks for so many seconds."""
    return None if seconds is None else time.time() + message_expiry(seconds)


def expired(stored: Stored, now: float) -> bool:
    """Return whether the message has expired at ``now``, in seconds since 1970."""
    if not stored.more:
        return False
    flags, expires_at = _MORE.unpack_from(stored.more)
    return bool(flags & _EXPIRES) and expires_at <= now


def publish_packet(
    stored: Stored, level: int, *, qos: int, packet_id: int = 0, duplicate: bool = False
) -> bytes:
    """Build the PUBLISH packet that carries a stored message to a client of this protocol level."""
    topic, payload, more = stored
    if not more:
        found = b"\0" if level == packets.V5 else None
        return packets.publish(topic, payload, qos=qos, packet_id=packet_id, duplicate=duplicate, found=found)
    flags, expires_at = _MORE.unpack_from(more)
    found = None
    if level == packets.V5:
        parts = [more[_MORE.size :]]
        if flags & _EXPIRES:
            # The time that is left, rounded down: "as soon as the time remaining is 999 ms or less, it will be
            # updated to 0" ("Message expiry" in mqtt.html).
            left = max(int(expires_at - time.time()), 0)
            parts.append(properties.write({properties.MESSAGE_EXPIRY: left}))
        found = properties.with_length(parts)
    return packets.publish(
        topic,
        payload,
        qos=qos,
        packet_id=packet_id,
        duplicate=duplicate,
        retain=bool(flags & _RETAIN),
        found=found,
    )
