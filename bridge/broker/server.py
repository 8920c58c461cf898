"""The broker: sessions, and what goes from one to the other."""

import asyncio
import base64
import json
import logging
import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import quote

from bridge import packets
from bridge.broker.attendance import Attendance
from bridge.broker.limits import TRUSTED, Limits
from bridge.broker.message import Message, expired, expiry
from bridge.broker.retained import RetainedMessages
from bridge.broker.sessions import NEVER, Session, Subscription, folder_of, read_all
from bridge.broker.shared import Group
from bridge.broker.spool import Stored
from bridge.broker.subscribers import Subscribers
from bridge.broker.visits import Visits
from bridge.packets import Reason
from bridge.policies import Policies
from bridge.presence import Connected, next_version
from bridge.topics import FROM_PREFIX, SHARED_PREFIX, UNKNOWN_CERTIFICATE_TOPIC

if TYPE_CHECKING:
    from bridge.broker.connection import ClientConnection

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Identity:
    """Who is at the other end: a registered, active certificate, or somebody with credentials of the account.

    ``principal`` is the certificate's id, or what stands for the credentials. ``trusted`` may do everything, and on
    the broker's own topics, too; ``root`` may do what AWS lets clients do. Who a custom authorizer let in is asked
    about again after ``refresh_after`` seconds, and is sent away after ``disconnect_after``.
    """

    principal: str
    common_name: str
    things: tuple[str, ...]
    policies: Policies
    trusted: bool = False
    root: bool = False
    disconnect_after: float | None = None
    refresh_after: float | None = None


class Guard(Protocol):
    """Says who a certificate is."""

    async def identify(self, certificate_id: str, common_name: str) -> Identity | None:
        """Return the identity, or None if the certificate is unknown or inactive."""


class _Route(NamedTuple):
    """A session that a topic goes to, and how."""

    session: Session
    subscription: Subscription


class _Plan(NamedTuple):
    """Where a topic goes."""

    routes: list[_Route]
    groups: list[Group]


class _Waiting(NamedTuple):
    """A will that is published when its time has come."""

    due: float
    connection: "ClientConnection"
    will: packets.Will


@lru_cache(maxsize=100_000)
def _vouched(publisher: str) -> str:
    # Asked for every message; quoting takes a tenth of all that a message costs.
    return f"{FROM_PREFIX}{quote(publisher, safe='')}/"


def _more(message: Message) -> bytes:
    # Most have nothing more, and this is asked for every message and subscriber.
    if not message.properties and message.expires_at is None:
        return b""
    return message.more(retain=False)


class Broker:
    """An MQTT broker on one event loop."""

    def __init__(
        self,
        guard: Guard,
        folder: Path,
        *,
        required_clients: Collection[str] = (),
        limits: Limits | None = None,
    ) -> None:
        """Read back the persistent sessions and the retained messages in ``folder``.

        Args:
            guard: says who may connect.
            folder: of the persistent sessions.
            required_clients: until the sessions of all these clients have subscriptions, nobody else gets in: a
                message for which there is no subscriber yet would be acknowledged and lost.
            limits: of clients that are not trusted; AWS's, if None.
        """
        self._guard = guard
        self._folder = folder
        self._required_clients = frozenset(required_clients)
        self._limits = limits or Limits()
        self._plans: dict[str, _Plan] = {}
        self.sessions: dict[str, Session] = {}
        # Those with subscriptions: few, where the sessions of a fleet that only publishes are thousands.
        self._subscribers: dict[str, Session] = {}
        self._index = Subscribers()
        self._groups: dict[str, Group] = {}
        self._wills: dict[str, _Waiting] = {}
        self.connections: set[ClientConnection] = set()
        self._versions: dict[str, int] = {}
        self._visits = Visits()
        self._attendance = Attendance(folder / "attendance.ndjson")
        self.retained = RetainedMessages(folder / "retained.journal")
        now = time.monotonic()
        for session in read_all(folder):
            session.gone_at = now
            self.sessions[session.client_id] = self._subscribers[session.client_id] = session
            for key in session.subscriptions:
                self._index.add(session.client_id, key)
                if key.startswith(SHARED_PREFIX):
                    self._group(key).members[session.client_id] = session
        # Whoever was connected when the last broker was killed is so no more.
        for client in list(self._attendance.present.values()):
            self._versions[client.client_id] = client.version
            self._announce(client, client.disconnected("SERVER_ERROR"))
            self._attendance.went(client.client_id)

    def start(self) -> None:
        """Begin to look for what is due: silent connections, delayed wills, sessions that end."""
        self._sweeper = asyncio.create_task(self._sweep())

    def close(self) -> None:
        """Drop all connections and close the files."""
        self._sweeper.cancel()
        for connection in list(self.connections):
            connection.end(Reason.SHUTTING_DOWN, "SERVER_INITIATED_DISCONNECT")
        # Now, as the event loop tells of lost connections when the files are closed.
        for connection in list(self.connections):
            self.closed(connection)
        for session in self.sessions.values():
            if session.queue:
                session.queue.close()
        for group in self._groups.values():
            group.close()
        self.retained.close()
        self._attendance.close()

    # --- what connections ask ------------------------------------------------

    async def identify(self, certificate_id: str, common_name: str) -> Identity | None:
        """Return what `Guard.identify` returns."""
        return await self._guard.identify(certificate_id, common_name)

    def tell_of_unknown(self, certificate: bytes, address: str, server_name: str) -> None:
        """Tell the data plane of a certificate (DER) that is not registered and ACTIVE: its CA may be registered."""
        told = {
            "certificate": base64.b64encode(certificate).decode(),
            "address": address,
            "serverName": server_name,
        }
        self.route(Message(UNKNOWN_CERTIFICATE_TOPIC, json.dumps(told).encode(), 1, ""))

    def limits_of(self, identity: Identity) -> Limits:
        """Return the limits of somebody's connections."""
        return TRUSTED if identity.trusted else self._limits

    def limit_publishes(self, per_second: int) -> None:
        """Let clients that connect from now on publish so many messages a second; 0 for as many as they like."""
        self._limits = replace(self._limits, publishes=per_second)

    @property
    def ready(self) -> bool:
        """Whether all required clients have their subscriptions."""
        return all(client_id in self._subscribers for client_id in self._required_clients)

    def ready_for(self, client_id: str) -> bool:
        """Return whether this client may come in yet."""
        return client_id in self._required_clients or self.ready

    def open_session(
        self, connection: "ClientConnection", client_id: str, *, clean_start: bool, expiry: int
    ) -> bool:
        """Attach a connection to its session; the same client's older connection is closed.

        Args:
            connection: whose CONNECT is accepted.
            client_id: of the client.
            clean_start: whether an older session is discarded.
            expiry: of the session, in seconds; see `Session`.

        Returns:
            Whether there was a session before.
        """
        session = self.sessions.get(client_id)
        if session and session.connection:
            older = session.connection
            older.end(Reason.SESSION_TAKEN_OVER, "DUPLICATE_CLIENTID")
            self.closed(older)
            session = self.sessions.get(client_id)
        if session and clean_start:
            self._discard(session)
            session = None
        self._settle_will(client_id, publish=session is None)
        present = session is not None
        if session is None:
            session = Session(client_id, expiry, folder_of(self._folder, client_id))
            self.sessions[client_id] = session
        elif session.expiry != expiry:
            self.change_expiry(session, expiry)
        session.connection = connection
        connection.session = session
        if not connection.trusted:
            self._visits.came(connection, session)
        self._came(connection)
        return present

    def change_expiry(self, session: Session, expiry: int) -> None:
        """Let a session outlive its connection for another time, in seconds."""
        session.expiry = expiry
        if session.subscriptions and session.persistent:
            session.save()

    def resume(self, session: Session) -> None:
        """Send what waits for a client that has just come back."""
        self.pump(session)
        for key in session.subscriptions:
            if key.startswith(SHARED_PREFIX):
                self._drain(self._groups[key])

    def closed(self, connection: "ClientConnection") -> None:
        """Keep or discard the session of a connection that has ended, publish its will, tell of it."""
        session = connection.session
        if session is None or session.connection is not connection:
            return
        session.connection = None
        session.gone_at = time.monotonic()
        # What was sent and not acknowledged is sent again, in order, before anything newer.
        session.again.extendleft(reversed(list(session.inflight.values())))
        session.inflight.clear()
        if connection.will and not connection.said_goodbye:
            delay = min(connection.will.delay, session.expiry)
            if delay:
                due = session.gone_at + delay
                self._wills[session.client_id] = _Waiting(due, connection, connection.will)
            else:
                self._publish_will(connection, connection.will)
        self._visits.went(connection, session)
        self._went(connection)
        if not session.persistent:
            self._discard(session)

    def subscribe(self, session: Session, topic_filter: str, subscription: Subscription) -> bool:
        """Add a subscription, which outlives the broker if the session does; return whether it is new."""
        new = topic_filter not in session.subscriptions
        session.subscribe(topic_filter, subscription)
        self._index.add(session.client_id, topic_filter)
        if topic_filter.startswith(SHARED_PREFIX):
            self._group(topic_filter).members[session.client_id] = session
        self._subscriptions_changed(session)
        return new

    def unsubscribe(self, session: Session, topic_filter: str) -> bool:
        """Remove a subscription; return whether there was one."""
        found = session.unsubscribe(topic_filter)
        self._index.remove(session.client_id, (topic_filter,))
        if found and topic_filter.startswith(SHARED_PREFIX):
            self._leave(session, topic_filter)
        self._subscriptions_changed(session)
        return found

    def send_retained(self, session: Session, topic_filter: str, qos: int, *, wildcards: bool) -> None:
        """Send a new subscriber the retained messages of its filter.

        AWS IoT sends none for a filter with wildcards ("MQTT retained messages" of mqtt.html); trusted clients, with
        ``wildcards``, get those, too, and are told when each one came.
        """
        if not wildcards and ("+" in topic_filter or "#" in topic_filter):
            return
        for message in self.retained.matching(topic_filter, tell_when=wildcards):
            if session.connection and session.connection.may("iot:Receive", f"topic/{message.topic}"):
                stored = Stored(message.topic.encode(), message.payload, message.more(retain=True))
                self._give(session, stored, min(message.qos, qos))

    def drain(self, topic_filter: str) -> None:
        """Give what waits for a shared subscription to a member that has just joined."""
        self._drain(self._groups[topic_filter])

    def publish(self, message: Message) -> None:
        """Keep a message if it is to be retained, and route it. When this returns it is on disk.

        Raises:
            OSError: it could not be written down.
        """
        if message.retain:
            self.retained.keep(message)
        self.route(message)

    def route(self, message: Message) -> None:
        """Give a message to all that subscribe to its topic. When this returns it is safe with each.

        Raises:
            OSError: it could not be written down for one of them.
        """
        self._deliver(message.topic, message)
        self._deliver(_vouched(message.publisher) + message.topic, message)

    def pump(self, session: Session, fresh: Stored | None = None) -> None:
        """Send what waits, as far as the window allows.

        Args:
            session: whose messages.
            fresh: the one message that waits, where it was queued just now: it need not be read back.
        """
        connection, queue = session.connection, session.queue
        if connection is None or queue is None:
            return
        while (
            len(session.inflight) < connection.window
            and not connection.congested
            and (session.again or queue.waiting)
        ):
            duplicate = bool(session.again)
            entry = session.again.popleft() if duplicate else queue.waiting.popleft()
            known = None if duplicate else fresh
            stored = known or queue.read(entry)  # type: ignore[arg-type]  # an entry of this very queue
            if stored.more and expired(stored, time.time()):
                self._delivered(session, entry)
                continue
            packet_id = session.take_packet_id()
            session.inflight[packet_id] = entry
            if not connection.send(stored, qos=1, packet_id=packet_id, duplicate=duplicate):
                self._delivered(session, session.inflight.pop(packet_id))

    def acknowledged(self, session: Session, packet_id: int) -> None:
        """Note that the subscriber has a message."""
        entry = session.inflight.pop(packet_id, None)
        if entry is not None:
            self._delivered(session, entry)
            self.pump(session)

    def disconnect_certificates(self, certificate_ids: set[str]) -> None:
        """Close the connections of certificates that were deactivated."""
        for connection in list(self.connections):
            if connection.identity and connection.identity.principal in certificate_ids:
                log.info("closing %s: its certificate is not active any more", connection.name)
                connection.end(Reason.NOT_AUTHORIZED, "FORBIDDEN_ACCESS")

    def connected_certificates(self) -> dict[str, list["ClientConnection"]]:
        """Return the connections of clients that showed a certificate, by its id; without the testbed's own."""
        found: dict[str, list[ClientConnection]] = {}
        for connection in self.connections:
            identity = connection.identity
            if identity and connection.has_certificate and not identity.trusted:
                found.setdefault(identity.principal, []).append(connection)
        return found

    def describe(self, client_id: str, *, sockets: bool) -> dict[str, Any] | None:
        """Return what the API's GetConnection tells, or None for a client that is not known."""
        return self._visits.describe(client_id, self._session_of_others(client_id), sockets=sockets)

    def subscriptions(self, client_id: str) -> list[dict[str, Any]] | None:
        """Return what the API's ListSubscriptions tells, or None for a client without a session."""
        session = self._session_of_others(client_id)
        if session is None:
            return None
        return [
            {"topicFilter": topic_filter, "qos": subscription.qos}
            for topic_filter, subscription in session.subscriptions.items()
        ]

    def _session_of_others(self, client_id: str) -> Session | None:
        """Return a client's session, unless it is one of the testbed's own: those are nobody's business."""
        session = self.sessions.get(client_id)
        if client_id in self._required_clients or (
            session is not None and session.connection is not None and session.connection.trusted
        ):
            return None
        return session

    def disconnect(self, client_id: str, *, clean_session: bool, prevent_will: bool) -> bool:
        """Do what the API's DeleteConnection does; return whether there was a connection or a session."""
        session = self._session_of_others(client_id)
        if session is None:
            return False
        connection = session.connection
        if clean_session:
            session.expiry = 0
        if connection is not None:
            if prevent_will:
                connection.will = None
            connection.end(Reason.ADMINISTRATIVE_ACTION, "API_INITIATED_DISCONNECT")
            self.closed(connection)
        elif clean_session:
            self._discard(session)
            self._settle_will(client_id, publish=not prevent_will)
        return True

    # --- inside --------------------------------------------------------------

    def tell(self, client_id: str, message: Message) -> None:
        """Give one client a message, if it subscribes to its topic.

        Raises:
            OSError: it could not be written down.
        """
        session = self.sessions.get(client_id)
        if session is None:
            return
        matching = self._index.matching(message.topic).get(client_id, ())
        granted = [session.subscriptions[topic_filter].qos for topic_filter in matching]
        may = session.connection is None or session.connection.may("iot:Receive", f"topic/{message.topic}")
        if granted and may:
            stored = Stored(message.topic.encode(), message.payload, message.more(retain=False))
            self._give(session, stored, min(message.qos, max(granted)))

    def _deliver(self, topic: str, message: Message) -> None:
        plan = self._plans.get(topic)
        if plan is None:
            plan = self._find_plan(topic)
            if len(self._plans) > 100_000:
                self._plans.clear()
            self._plans[topic] = plan
        if not plan.routes and not plan.groups:
            return
        encoded, payload = topic.encode(), message.payload
        plain = Stored(encoded, payload, _more(message))
        for session, subscription in plan.routes:
            connection = session.connection
            if connection and not (connection.trusted or connection.may("iot:Receive", f"topic/{topic}")):
                continue
            if subscription.no_local and session.client_id == message.publisher:
                continue
            stored = plain
            if message.retain and subscription.retain_as_published:
                stored = Stored(encoded, payload, message.more(retain=True))
            self._give(session, stored, min(message.qos, subscription.qos))
        for group in plan.groups:
            self._give_one(group, topic, plain, message.qos)

    def _give(self, session: Session, stored: Stored, qos: int, shared: str = "") -> None:
        if qos and session.queue is not None:
            fresh = None if session.queue.waiting else stored
            session.queue.append(*stored)
            if shared and not session.persistent and session.queue.waiting:
                session.shared[session.queue.waiting[-1].number] = shared
            self.pump(session, fresh)
        elif session.connection and not session.connection.congested:
            # At QoS 0 nothing is promised; and memory is not for who does not read.
            session.connection.send(stored, qos=0)

    def _give_one(self, group: Group, topic: str, stored: Stored, qos: int) -> None:
        online = group.online(topic)
        if online:
            chosen = online[0]
            granted = chosen.subscriptions[group.key].qos
            self._give(chosen, stored, min(qos, granted), shared=group.key)
        elif qos and group.queues:
            group.keep(*stored)

    def _drain(self, group: Group) -> None:
        for stored in group.take():
            online = group.online(stored.topic.decode())
            if not online:
                return
            chosen = online[0]
            self._give(chosen, stored, chosen.subscriptions[group.key].qos, shared=group.key)

    def _delivered(self, session: Session, entry: object) -> None:
        if session.queue is not None:
            session.queue.done(entry)  # type: ignore[arg-type]  # an entry of this very queue
        if session.shared:
            session.shared.pop(entry.number, None)  # type: ignore[attr-defined]

    def _find_plan(self, topic: str) -> _Plan:
        routes = []
        for client_id, topic_filters in self._index.matching(topic).items():
            session = self._subscribers[client_id]
            granted = [session.subscriptions[topic_filter] for topic_filter in topic_filters]
            subscription = Subscription(
                max(one.qos for one in granted),
                all(one.no_local for one in granted),
                any(one.retain_as_published for one in granted),
            )
            routes.append(_Route(session, subscription))
        return _Plan(routes, [group for group in self._groups.values() if group.matches(topic)])

    def _subscriptions_changed(self, session: Session) -> None:
        self._plans.clear()
        if session.subscriptions:
            self._subscribers[session.client_id] = session
        else:
            self._subscribers.pop(session.client_id, None)

    def _group(self, key: str) -> Group:
        if key not in self._groups:
            self._groups[key] = Group(key, self._folder)
        return self._groups[key]

    def _leave(self, session: Session, key: str) -> None:
        group = self._groups[key]
        group.members.pop(session.client_id, None)
        if not group.members:
            group.remove()
            del self._groups[key]
            self._plans.clear()

    def _discard(self, session: Session) -> None:
        self.sessions.pop(session.client_id, None)
        self._subscribers.pop(session.client_id, None)
        self._index.remove(session.client_id, session.subscriptions)
        if session.subscriptions:
            self._plans.clear()
        unread: list[tuple[str, Stored]] = []
        if session.shared and session.queue is not None:
            unread = [
                (session.shared[entry.number], session.queue.read(entry))
                for entry in session.waiting()
                if entry.number in session.shared
            ]
        for key in session.subscriptions:
            if key.startswith(SHARED_PREFIX):
                self._leave(session, key)
        session.remove()
        for key, stored in unread:
            if key in self._groups:
                self._give_one(self._groups[key], stored.topic.decode(), stored, 1)

    def _publish_will(self, connection: "ClientConnection", will: packets.Will) -> None:
        if not connection.may_publish(will.topic, retain=will.retain):
            log.info("the will of %s is not published: its policies do not allow it", connection.name)
            return
        publisher = connection.session.client_id if connection.session else ""
        message = Message(
            will.topic, will.payload, will.qos, publisher, will.retain, will.properties, expiry(will.expiry)
        )
        try:
            self.publish(message)
        except OSError:
            log.exception("the will of %s could not be written down", connection.name)

    def _settle_will(self, client_id: str, *, publish: bool) -> None:
        """Publish a will that waits because its session has ended, or forget it because the client is back."""
        waiting = self._wills.pop(client_id, None)
        if waiting and publish:
            self._publish_will(waiting.connection, waiting.will)

    def _came(self, connection: "ClientConnection") -> None:
        identity, session = connection.identity, connection.session
        if identity is None or session is None or identity.trusted:
            return
        if set(session.client_id) & {"#", "+"}:
            return  # "Client IDs that contain # or + do not receive lifecycle events."
        version = next_version(self._versions.get(session.client_id, 0))
        self._versions[session.client_id] = version
        connection.presence = Connected(session.client_id, identity.principal, connection.address, version)
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
            self.route(Message(topic, payload, 1, client.client_id))
        except OSError:
            log.exception("a presence event could not be written down")

    async def _sweep(self) -> None:
        """Do once a second what is due."""
        while True:
            await asyncio.sleep(1)
            now = time.monotonic()
            for connection in list(self.connections):
                connection.tick(now)
            for client_id in [one for one, waiting in self._wills.items() if now >= waiting.due]:
                self._settle_will(client_id, publish=True)
            for session in [one for one in self.sessions.values() if one.connection is None]:
                if session.expiry != NEVER and now >= session.gone_at + session.expiry:
                    self._settle_will(session.client_id, publish=True)
                    self._discard(session)
