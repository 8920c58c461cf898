"""Take out of a record what differs from run to run, so that what is left may be compared."""

import re
from collections.abc import Mapping
from typing import Any

_PLACES = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "<time>"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<uuid>"),
    (re.compile(r"\b[0-9a-f]{40,64}\b"), "<digest>"),
    (re.compile(r"https?://[^/\s\"']+(/_aws/execute-api/[a-z0-9]+)?"), "<url>"),
    (re.compile(r"\b\d{12}\b"), "<account>"),
    (re.compile(r"dt=\d{4}-\d\d-\d\d/hour=\d\d"), "dt=<date>/hour=<hour>"),
    (re.compile(r"\b1[5-9]\d{11}\b"), "<ms>"),
    (re.compile(r"\b1[5-9]\d{8}\b"), "<seconds>"),
)
# Names whose values are a run's own whatever they look like.
_FIELDS = {
    "cloudwatchTraceId",
    "request_id",
    "principalId",
    "sourceIp",
    "connection_at",
    "connection_version",
    "x-request-id",
    "next_token",
}


def settled(value: Any, names: Mapping[str, str]) -> Any:
    """Return a JSON ``value`` with times, ids, addresses and accounts replaced by what they are.

    Args:
        value: any JSON.
        names: further texts to replace, with what stands in for each: the run's id, the topic root.
    """
    if isinstance(value, dict):
        return {
            settled(name, names): f"<{name}>"
            if name in _FIELDS and entry is not None
            else settled(entry, names)
            for name, entry in value.items()
        }
    if isinstance(value, list):
        return [settled(entry, names) for entry in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        text = _settled_text(str(value), names)
        return value if text == str(value) else text
    return _settled_text(str(value), names)


def _settled_text(text: str, names: Mapping[str, str]) -> str:
    for known, stand_in in names.items():
        text = text.replace(known, stand_in)
    for pattern, name in _PLACES:
        text = pattern.sub(name, text)
    return text
