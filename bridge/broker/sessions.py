"""Sessions: what the broker keeps for a client, and what of it outlives the broker."""

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import msgspec

from bridge.broker.memory import MemoryQueue
from bridge.broker.spool import Spool

if TYPE_CHECKING:
    from bridge.broker.connection import ClientConnection

_FILE = "subscriptions.json"
NEVER = 0xFFFFFFFF


class Subscription(msgspec.Struct, frozen=True):
    """What a client asked for with a topic filter (MQTT 5.0, 3.8.3.1)."""

    qos: int
    no_local: bool = False
    retain_as_published: bool = False


class _Saved(msgspec.Struct):
    """A session's file."""

    expiry: int
    subscriptions: dict[str, Subscription]


@dataclass
class Session:
    """What the broker keeps for a client: subscriptions, and messages on their way to it.

    ``expiry`` is how long it outlives its connection, in seconds; 0 for not at all, `NEVER` for ever. ``gone_at`` is
    when its connection ended, by the monotonic clock.
    """

    client_id: str
    expiry: int
    folder: Path
    queue: Spool | MemoryQueue | None = None
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    connection: "ClientConnection | None" = None
    # By packet identifier: Any stands for an entry of whichever queue it is.
    inflight: dict[int, Any] = field(default_factory=dict)
    again: deque[Any] = field(default_factory=deque)
    # Numbers of messages that came by way of a shared subscription, and which: for sessions that end with their
    # connection, so that another member can have them.
    shared: dict[int, str] = field(default_factory=dict)
    next_packet_id: int = 1
    gone_at: float = 0.0

    @property
    def persistent(self) -> bool:
        """Whether the session outlives its connection."""
        return self.expiry > 0

    def take_packet_id(self) -> int:
        """Return a packet identifier that is not in use."""
        while self.next_packet_id in self.inflight:
            self.next_packet_id = self.next_packet_id % 65535 + 1
        taken = self.next_packet_id
        self.next_packet_id = taken % 65535 + 1
        return taken

    def subscribe(self, topic_filter: str, subscription: Subscription) -> None:
        """Add a subscription, or change it."""
        self.subscriptions[topic_filter] = subscription
        self.save()

    def unsubscribe(self, topic_filter: str) -> bool:
        """Remove a subscription; return whether there was one."""
        if self.subscriptions.pop(topic_filter, None) is None:
            return False
        self.save()
        return True

    def save(self) -> None:
        """Write down what outlives the broker; make the queue that a session with subscriptions needs."""
        if not self.persistent:
            self.queue = self.queue or MemoryQueue()
            return
        if self.queue is None:
            self.queue = Spool(self.folder)
        partial = self.folder / "subscriptions.partial"
        partial.write_bytes(msgspec.json.encode(_Saved(self.expiry, self.subscriptions)))
        partial.rename(self.folder / _FILE)

    def remove(self) -> None:
        """Delete what was written down."""
        if self.queue is not None:
            self.queue.remove()
        (self.folder / _FILE).unlink(missing_ok=True)

    def waiting(self) -> Iterator[Any]:
        """Yield the entries that were not acknowledged, oldest first."""
        yield from self.again
        if self.queue is not None:
            yield from self.queue.waiting


def folder_of(folder: Path, client_id: str) -> Path:
    """Return where a client's session is."""
    return folder / quote(client_id, safe="")


def read_all(folder: Path) -> Iterator[Session]:
    """Yield the sessions that an earlier broker left behind."""
    for path in folder.glob(f"*/{_FILE}"):
        saved = _read(path.read_bytes())
        session = Session(unquote(path.parent.name), saved.expiry, path.parent, Spool(path.parent))
        session.subscriptions = saved.subscriptions
        yield session


def _read(written: bytes) -> _Saved:
    document = json.loads(written)
    if "subscriptions" not in document or isinstance(document["subscriptions"], int):
        # As it was before MQTT 5: topic filters with the QoS, of sessions that did not expire.
        found = {topic_filter: Subscription(qos) for topic_filter, qos in document.items()}
        return _Saved(NEVER, found)
    return msgspec.json.decode(written, type=_Saved)
