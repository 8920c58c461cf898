"""What `GetConnection` tells of a client: its connection, or its last one for half an hour."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bridge.broker.connection import ClientConnection
    from bridge.broker.sessions import Session

# "This information is available for 30 minutes after the client disconnects" (GetConnection of the API reference).
_REMEMBERED_SECONDS = 30 * 60


@dataclass
class Visit:
    """One connection of a client; the times are in epoch milliseconds, ``gone`` is None while it lasts."""

    thing: str | None
    keep_alive: int
    source: tuple[str, int]
    target: tuple[str, int]
    expiry: int
    came: int
    gone: int | None = None
    reason: str = ""


class Visits:
    """The last connection of each client, by client id; those that have ended stand in the order of their ends."""

    def __init__(self) -> None:
        """Know of nobody."""
        self._present: dict[str, Visit] = {}
        self._gone: dict[str, Visit] = {}

    def came(self, connection: "ClientConnection", session: "Session") -> None:
        """Note a connection that has its session."""
        self._gone.pop(session.client_id, None)
        source, target = connection.addresses
        self._present[session.client_id] = Visit(
            connection.thing, connection.keep_alive, source, target, session.expiry, _now()
        )

    def went(self, connection: "ClientConnection", session: "Session") -> None:
        """Note the end of a connection, and forget the ends of half an hour ago."""
        visit = self._present.pop(session.client_id, None)
        now = _now()
        if visit is not None:
            visit.gone, visit.reason, visit.expiry = now, connection.reason, session.expiry
            self._gone[session.client_id] = visit
        while self._gone:
            oldest = next(iter(self._gone))
            if (self._gone[oldest].gone or 0) > now - _REMEMBERED_SECONDS * 1000:
                break
            del self._gone[oldest]

    def describe(self, client_id: str, session: "Session | None", *, sockets: bool) -> dict[str, Any] | None:
        """Return the members of GetConnection's answer, or None for a client that is not known.

        Args:
            client_id: of the client.
            session: what the broker keeps for it; a session that an earlier broker left has no visit.
            sockets: whether addresses and ports are told.
        """
        visit = self._present.get(client_id) or self._gone.get(client_id)
        if visit is None and session is None:
            return None
        expiry = session.expiry if session is not None else visit.expiry if visit is not None else 0
        found: dict[str, Any] = {
            "clientId": client_id,
            "connected": visit is not None and visit.gone is None,
            "cleanSession": not expiry,
            "sessionExpiry": expiry,
        }
        if visit is None:
            return found
        found["keepAliveDuration"] = visit.keep_alive
        if visit.thing is not None:
            found["thingName"] = visit.thing
        if visit.gone is None:
            found["connectedSince"] = visit.came
        else:
            found |= {"disconnectedSince": visit.gone, "disconnectReason": visit.reason}
        if sockets:
            found |= dict(zip(("sourceIp", "sourcePort"), visit.source, strict=True))
            found |= dict(zip(("targetIp", "targetPort"), visit.target, strict=True))
        return found


def _now() -> int:
    return time.time_ns() // 1_000_000
