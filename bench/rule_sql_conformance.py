"""The rule SQL cases as a file that any engine can be held against: docs/rule-sql-conformance.json.

docs/rule-sql.md describes the form. Cases that our own engine refuses for want of a service are left out.
"""

import base64
import json
from collections.abc import Callable
from typing import Any

from bridge.sql.functions import CALLS, NOWHERE
from testbed.paths import REPOSITORY
from tests.unit.bridge.sql.cases import CASES, NOT_FIRED, Case, Refused

PATH = REPOSITORY / "docs" / "rule-sql-conformance.json"
_SERVICES = tuple(f"{name}(" for name in (*CALLS, *NOWHERE))
_NAMES = {
    "account_id": "accountId",
    "client_id": "clientId",
    "now_ms": "timestamp",
    "principal": "principal",
    "source_ip": "sourceIp",
    "trace_id": "traceId",
    "version": "sqlVersion",
}


def document() -> str:
    """Return the file's text: a case a line."""
    lines = [json.dumps(_case(case), ensure_ascii=False, allow_nan=False) for case in cases()]
    return '{"cases": [\n' + ",\n".join(lines) + "\n]}\n"


def cases() -> list[Case]:
    """Return the cases that any engine can be asked."""
    return [
        case
        for case in CASES
        if not any(name in case.sql for name in _SERVICES) and "properties" not in case.more
    ]


def _case(case: Case) -> dict[str, Any]:
    found: dict[str, Any] = {"page": case.page, "sql": case.sql, "topic": case.topic}
    found |= {_NAMES[name]: value for name, value in case.more.items()}
    found |= _payload(case.raw)
    return found | {"expect": _expectation(case)}


def _payload(raw: bytes) -> dict[str, Any]:
    try:
        return {"payload": raw.decode()}
    except UnicodeDecodeError:
        return {"payloadBase64": base64.b64encode(raw).decode()}


def _expectation(case: Case) -> dict[str, Any]:
    if isinstance(case.expected, Refused):
        return {"refused": True}
    if case.expected is NOT_FIRED:
        return {"fires": False}
    if isinstance(case.expected, bytes):
        return {"bytesBase64": base64.b64encode(case.expected).decode()}
    return {"json": case.expected}


def run(say: Callable[[str], None]) -> None:
    """Write the file."""
    PATH.write_text(document())
    say(f"{len(cases())} cases in {PATH.relative_to(REPOSITORY)}")
