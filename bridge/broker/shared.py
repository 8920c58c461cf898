"""Shared subscriptions: groups of clients of which one gets each message.

"Shared subscriptions" of mqtt.html in the AWS IoT Core developer guide: a random member that is online; where none is
and one of them has a persistent session, QoS 1 messages wait for the next that comes.
"""

import random
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from bridge.broker.sessions import Session
from bridge.broker.spool import Spool, Stored
from bridge.topics import matcher, split_shared

# No client id begins with $, so no session has this folder.
FOLDER = "$groups"


class Group:
    """The clients of one ``$share/<name>/<topic filter>``, and what waits for them."""

    def __init__(self, key: str, folder: Path) -> None:
        """Read back what waits.

        Args:
            key: the subscription as clients name it.
            folder: of the broker's sessions.
        """
        self.key = key
        split = split_shared(key)
        assert split is not None  # noqa: S101  # whoever subscribes is asked first
        self.matches = matcher(split[1])
        self.members: dict[str, Session] = {}
        self._folder = folder / FOLDER / quote(key, safe="")
        self._queue = Spool(self._folder) if self._folder.is_dir() else None

    def online(self, topic: str) -> list[Session]:
        """Return the members that can take a message of the topic now, in random order."""
        found = [
            session
            for session in self.members.values()
            if session.connection
            and not session.connection.congested
            and session.connection.may("iot:Receive", f"topic/{topic}")
        ]
        random.shuffle(found)
        return found

    @property
    def queues(self) -> bool:
        """Whether messages wait while nobody is online."""
        return any(session.persistent for session in self.members.values())

    def keep(self, topic: bytes, payload: bytes, more: bytes) -> None:
        """Let a message wait.

        Raises:
            OSError: it could not be written down.
        """
        if self._queue is None:
            self._queue = Spool(self._folder)
        self._queue.append(topic, payload, more)

    def take(self) -> Iterator[Stored]:
        """Yield what waits; a message is gone when the next is asked for."""
        while self._queue is not None and self._queue.waiting:
            entry = self._queue.waiting[0]
            yield self._queue.read(entry)
            self._queue.waiting.popleft()
            self._queue.done(entry)

    def close(self) -> None:
        """Close the file."""
        if self._queue is not None:
            self._queue.close()

    def remove(self) -> None:
        """Delete what waits: the last member has left."""
        if self._queue is not None:
            self._queue.remove()
            self._folder.rmdir()
