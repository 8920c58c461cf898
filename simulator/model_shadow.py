"""A device's classic shadow, followed by a model of the project's own; no network here.

Topics and documents are those of "Device Shadow MQTT topics" and "Device Shadow service documents" (AWS IoT developer
guide).
"""

from collections.abc import Callable
from typing import Any

import msgspec

Document = dict[str, Any]


class ModelShadow:
    """Hands the desired state over to the model, and reports what the model answers; see `simulator.shadow.Shadow`."""

    __slots__ = ("_follow", "_prefix", "_reported", "_version")

    def __init__(self, device: str, follow: Callable[[Document], Document]) -> None:
        """``follow`` takes what is desired, or the part that differs, and returns what to report."""
        self._prefix = f"$aws/things/{device}/shadow"
        self._follow = follow
        self._version = 0
        self._reported: Document | None = None

    @property
    def filters(self) -> tuple[str, ...]:
        """What to subscribe to before asking."""
        return tuple(f"{self._prefix}/{name}" for name in ("update/delta", "get/accepted", "get/rejected"))

    def ask(self) -> str:
        """Return the topic where an empty message asks for the whole shadow, as a new connection does."""
        self._version, self._reported = 0, None
        return f"{self._prefix}/get"

    @property
    def update_topic(self) -> str:
        """Where a report goes."""
        return f"{self._prefix}/update"

    def hear(self, topic: str, payload: bytes) -> bytes | None:
        """Take a message of the shadow service; return the report to publish, None where it would say nothing new."""
        try:
            said = msgspec.json.decode(payload, type=Document)
        except msgspec.DecodeError:
            return None
        name = topic.removeprefix(f"{self._prefix}/")
        if name == "get/rejected":  # there is no shadow yet
            return self._report({})
        state, version = said.get("state") or {}, said.get("version", 0)
        # Deltas may come late and out of order: the developer guide says to discard older versions.
        if version < self._version or (name == "update/delta" and version == self._version):
            return None
        self._version = version
        if name == "update/delta":
            return self._report(state)
        # What the shadow has from an earlier run is no answer of this one.
        return self._report(state.get("desired") or {})

    def _report(self, desired: Document) -> bytes | None:
        reported = self._follow(desired)
        # What the model refuses stays in the delta, which every report would call forth again.
        if reported == self._reported:
            return None
        self._reported = reported
        return msgspec.json.encode({"state": {"reported": reported}})
