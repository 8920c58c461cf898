"""The conformance file is the table of cases, and our engine gives what the file says."""

import base64
import json
from typing import Any

import pytest

import bridge
from bench.rule_sql_conformance import PATH, document

CASES: list[dict[str, Any]] = json.loads(PATH.read_text())["cases"]
FACTS = {
    "accountId": "account_id",
    "clientId": "client_id",
    "timestamp": "now_ms",
    "principal": "principal",
    "sourceIp": "source_ip",
    "traceId": "trace_id",
    "sqlVersion": "version",
}


def test_the_file_is_as_the_command_writes_it() -> None:
    assert PATH.read_text() == document(), "run .venv/bin/python -m bench rule-sql-cases"


def test_our_engine_answers_every_case_of_the_file() -> None:
    """Read nothing but the file, in the form that docs/rule-sql.md describes."""
    wrong = []
    for case in CASES:
        facts = {FACTS[name]: case[name] for name in FACTS if name in case}
        payload = (
            base64.b64decode(case["payloadBase64"]) if "payloadBase64" in case else case["payload"].encode()
        )
        expected = case["expect"]
        try:
            found = bridge.evaluate(case["sql"], case["topic"], payload, **facts)
        except bridge.RuleSqlError:
            answer: dict[str, Any] = {"refused": True}
        else:
            if found is bridge.NOT_FIRED:
                answer = {"fires": False}
            elif isinstance(found, bytes):
                answer = {"bytesBase64": base64.b64encode(found).decode()}
            else:
                answer = {"json": found}
        if answer != expected:
            wrong.append((case["sql"], expected, answer))
    assert not wrong


@pytest.mark.parametrize("name", ["page", "sql", "topic", "expect"])
def test_every_case_has(name: str) -> None:
    assert all(name in case for case in CASES)
