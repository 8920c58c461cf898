"""Presence: whether a station is connected, from AWS IoT's lifecycle events."""

from typing import Annotated

import msgspec

# A client's version number starts again at 0 once it was away for about an hour, and the time of an event is good to
# two minutes: so of two events that are at most this much apart the version tells which is later, and of two that are
# further apart the time does.
RESTART_AFTER_MS = 600_000

_Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_999)]
_Version = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_CONNECTIONS = {"connected": "ONLINE", "disconnected": "OFFLINE"}


class Presence(msgspec.Struct, frozen=True):
    """A lifecycle event. ``at``: epoch ms; ``connection`` is None for events that tell nothing of it.

    ``reason``: why a connection ended, in AWS IoT's words (``CONNECTION_LOST``).

    Source: https://docs.aws.amazon.com/iot/latest/developerguide/life-cycle-events.html
    """

    client_id: str
    at: int
    version: int
    connection: str | None
    reason: str | None = None

    def supersedes(self, other: "Presence") -> bool:
        """Return whether this is the later of two events of one client.

        Connect and disconnect of one connection share a version number, and the disconnect is the later one
        whatever the times say. The disconnect of a taken-over connection may come after the connect of the next,
        with a lower number. So the number decides, unless it was reset.
        """
        if self.version == other.version:
            if self.connection == other.connection:
                return self.at > other.at
            if self.connection == "OFFLINE":
                return self.at >= other.at - RESTART_AFTER_MS
            return self.at > other.at + RESTART_AFTER_MS
        if self.version > other.version:
            return self.at >= other.at - RESTART_AFTER_MS
        return self.at > other.at + RESTART_AFTER_MS


class _LifecycleEvent(msgspec.Struct):
    client_id: str = msgspec.field(name="clientId")
    timestamp: _Milliseconds
    event_type: str = msgspec.field(name="eventType")
    version: _Version = msgspec.field(name="versionNumber", default=0)
    reason: str | None = msgspec.field(name="disconnectReason", default=None)


_decoder = msgspec.json.Decoder(_LifecycleEvent)


def read_presence(body: bytes) -> Presence:
    """Read a lifecycle event.

    Raises:
        msgspec.ValidationError: it is not one.
    """
    event = _decoder.decode(body)
    connection = _CONNECTIONS.get(event.event_type)
    return Presence(event.client_id, event.timestamp, event.version, connection, event.reason)
