"""Who published? Mosquitto does not tell a subscriber; often the policies leave only one answer.

Where a policy lets every client publish to topics with its own name in them (``t/${iot:ClientId}/x``), and no other
statement lets anybody else publish there, the topic names its publisher.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_NAMES = (
    "${iot:ClientId}",
    "${iot:Connection.Thing.ThingName}",
    "${iot:Thing.ThingName}",
    "${iot:Certificate.Subject.CommonName}",
)
_VARIABLE = re.compile(r"\$\{[^}]*\}")


@dataclass(frozen=True)
class Publishers:
    """Topics that name their publisher, as patterns with a group, and all others that somebody may publish to."""

    naming: tuple[re.Pattern[str], ...] = ()
    open: tuple[re.Pattern[str], ...] = ()

    @classmethod
    def of(cls, documents: Iterable[Mapping[str, Any]]) -> "Publishers":
        """Work them out from all policies' documents."""
        naming: set[str] = set()
        others: set[str] = set()
        for resource in _publish_resources(documents):
            pattern = _pattern(resource)
            (naming if "(?P<name>" in pattern else others).add(pattern)
        compiled = [
            tuple(re.compile(text, re.DOTALL) for text in sorted(texts)) for texts in (naming, others)
        ]
        return cls(*compiled)

    def publisher(self, topic: str) -> str | None:
        """Return the one client that may publish to the topic; None if it is not one."""
        if any(pattern.fullmatch(topic) for pattern in self.open):
            return None
        names = {found["name"] for pattern in self.naming if (found := pattern.fullmatch(topic))}
        return names.pop() if len(names) == 1 else None


def _publish_resources(documents: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for document in documents:
        for statement in _listed(document.get("Statement", [])):
            if statement.get("Effect") != "Allow":
                continue
            actions = [str(action).lower() for action in _listed(statement.get("Action", "*"))]
            if not any(action in ("*", "iot:*", "iot:publish") or "*" in action for action in actions):
                continue
            for resource in _listed(statement.get("Resource", "*")):
                yield "*" if resource == "*" else str(resource).split(":", 5)[-1]


def _pattern(resource: str) -> str:
    """Return a regular expression of the topics of a resource; with a group where the client's own name stands."""
    text = resource.removeprefix("topic/")
    levels = text.split("/")
    own = next((place for place, level in enumerate(levels) if level in _NAMES), None)
    parts = []
    for place, level in enumerate(levels):
        if place == own:
            parts.append("(?P<name>[^/]+)")
        elif level in _NAMES:
            parts.append("(?P=name)")
        else:
            # Any other variable may be anything.
            wild = _VARIABLE.sub("*", level)
            parts.append("".join({"*": ".*", "?": "."}.get(sign, re.escape(sign)) for sign in wild))
    return "/".join(parts)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
