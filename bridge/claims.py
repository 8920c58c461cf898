"""Which of two processes keeps an MQTT session that both have: the one that was there before.

Each would end the other's connection for ever, and each message would go to either of them. So each tells, on a topic
of their session, since when it is there; the first word of a connection is retained, for who comes later.
"""

import time
import uuid


class Claim:
    """A process' word of itself, and what it makes of another's."""

    def __init__(self) -> None:
        """Begin now."""
        self._instance, self._made_at = uuid.uuid4().hex, time.time()

    def said(self) -> str:
        """Return the word to publish: which process, since when, and when it says so (seconds, Unix time)."""
        return f"{self._instance} {self._made_at} {time.time()}"

    def own(self, said: str) -> float | None:
        """Return when we said it; None for another's word."""
        found = _read(said)
        return found[2] if found and found[0] == self._instance else None

    def is_outranked(self, said: str) -> bool:
        """Return whether another process said it that was there before us, and still is: no predecessor's last word."""
        found = _read(said)
        return bool(found and found[0] != self._instance and found[1] < self._made_at < found[2])


def _read(said: str) -> tuple[str, float, float] | None:
    instance, *times = said.split(" ")
    # A process of before November 2026 told less.
    return (instance, float(times[0]), float(times[1])) if len(times) == 2 else None
