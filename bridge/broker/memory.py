"""The queue of a session that ends with its connection: messages in memory until they are acknowledged."""

from collections import deque
from typing import NamedTuple

from bridge.broker.spool import Stored

# Nothing is promised to such a session, and memory is not for who does not read.
_MOST = 10_000


class Held(NamedTuple):
    """A waiting message and its number."""

    number: int
    stored: Stored


class MemoryQueue:
    """Does in memory what `bridge.broker.spool.Spool` does on disk; beyond 10,000 messages it drops the newest."""

    def __init__(self) -> None:
        """Nothing waits."""
        self.waiting: deque[Held] = deque()
        self._next_number = 1

    def append(self, topic: bytes, payload: bytes, more: bytes = b"") -> None:
        """Keep a message, if there is room."""
        if len(self.waiting) < _MOST:
            self.waiting.append(Held(self._next_number, Stored(topic, payload, more)))
            self._next_number += 1

    def read(self, entry: Held) -> Stored:
        """Return a waiting message."""
        return entry.stored

    def done(self, entry: Held) -> None:
        """Forget nothing: whoever took it out of ``waiting`` has it."""

    def close(self) -> None:
        """Close nothing."""

    def remove(self) -> None:
        """Delete nothing."""
