"""Takes out of a record what differs from run to run, so that what is left may be compared."""

import re
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


def settled(value: Any, run: str) -> Any:
    """``value`` with the run's id, times, ids, addresses and accounts replaced by what they are."""
    if isinstance(value, dict):
        return {
            settled(name, run): f"<{name}>" if name in _FIELDS and entry is not None else settled(entry, run)
            for name, entry in value.items()
        }
    if isinstance(value, list):
        return [settled(entry, run) for entry in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        text = _settled_text(str(value), run)
        return value if text == str(value) else text
    return _settled_text(str(value), run)


def _settled_text(text: str, run: str) -> str:
    text = text.replace(run, "<run>")
    for pattern, name in _PLACES:
        text = pattern.sub(name, text)
    return text
