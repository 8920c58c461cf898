"""The table of rule SQL cases through ministack's rule engine, with its score beside ours.

ministack lives in an environment of its own (it pins botocore), so its part runs there as a child process. What is
called is what its MQTT broker calls for a publish: `_rule_event` for SELECT, `_eval_where` for WHERE, its topic
matching for FROM, and `_validate_rule_sql` for what it refuses. The clock, the account and other facts of the message
that it has no parameter for are not held against it: such cases are left out of both scores.
"""

import base64
import json
import os
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from typing import Any

from bridge import NOT_FIRED, RuleSqlError, evaluate
from testbed.engines.embedded import ministack_command
from testbed.errors import TestbedError
from tests.unit.bridge.sql.cases import CASES, Case, Refused
from tests.unit.bridge.sql.cases import NOT_FIRED as EXPECTS_NONE

_ANSWER_SECONDS = 300

# What ministack's environment runs: cases as JSON on stdin, answers as JSON on stdout.
_CHILD = r"""
import base64, json, sys
from ministack.services import iot

def answer(case):
    sql, topic, payload = case["sql"], case["topic"], base64.b64decode(case["payload"])
    if iot._validate_rule_sql(sql):
        return {"refused": True}
    if topic.startswith("$aws/rules/"):
        topic = topic[len("$aws/rules/"):].partition("/")[2]
    elif not iot._subscription_matches(iot._rule_topic_filter(sql), topic):
        return {"fired": False}
    message = iot._rule_message(payload)
    event = iot._rule_event(sql, topic, payload, case["client_id"], message=message)
    if event is iot._MISSING:
        return {"fired": False}
    where = iot._rule_where_clause(sql)
    if where and not iot._eval_where(where, topic, payload, message, case["client_id"]):
        return {"fired": False}
    if isinstance(event, (bytes, bytearray)):
        return {"bytes": base64.b64encode(event).decode()}
    return {"payload": event}

answers = []
for case in json.load(sys.stdin):
    try:
        answers.append(answer(case))
    except Exception as error:
        answers.append({"error": repr(error)[:200]})
json.dump(answers, sys.stdout, default=repr)
"""


def run(say: Callable[[str], None], *, verbose: bool = False) -> dict[str, int]:
    """Ask both engines every case and print a line a page of AWS's reference, and the sum.

    Args:
        say: prints a line.
        verbose: print every case that ministack gets wrong, too.

    Returns:
        The number of ``cases``, and how many of them ``bridge`` and ``ministack`` got right.

    Raises:
        TestbedError: ministack's engine could not be run.
    """
    cases = [case for case in CASES if not case.more.keys() - {"client_id"}]
    answers = ministack_answers(cases)
    pages = Counter(case.page for case in cases)
    theirs = Counter(case.page for case, answer in zip(cases, answers, strict=True) if right(case, answer))
    ours = Counter(case.page for case in cases if right(case, our_answer(case)))
    say(f"{'page':24}{'cases':>7}{'bridge':>8}{'ministack':>11}")
    for page in pages:
        say(f"{page:24}{pages[page]:7}{ours[page]:8}{theirs[page]:11}")
    say(f"{'all':24}{pages.total():7}{ours.total():8}{theirs.total():11}")
    say(
        f"left out, for they need facts that ministack's engine takes no parameter for: {len(CASES) - len(cases)}"
    )
    for case, answer in zip(cases, answers, strict=True):
        if verbose and not right(case, answer):
            say(f"{case.page}: {case.sql}\n    expected {case.expected!r}, ministack {answer}")
    return {"cases": pages.total(), "bridge": ours.total(), "ministack": theirs.total()}


def ministack_answers(cases: list[Case]) -> list[dict[str, Any]]:
    """Return what ministack makes of each case: refused, fired or not, payload or bytes, or its own exception.

    Raises:
        TestbedError: its engine could not be run.
    """
    asked = [
        {
            "sql": case.sql,
            "topic": case.topic,
            "payload": base64.b64encode(case.raw).decode(),
            "client_id": case.more.get("client_id"),
        }
        for case in cases
    ]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [ministack_command()[0], "-c", _CHILD],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            timeout=_ANSWER_SECONDS,
            check=False,
            env={**os.environ, "TMPDIR": folder, "LOG_LEVEL": "ERROR"},
        )
    if done.returncode:
        raise TestbedError(
            f"ministack's engine could not be run: {done.stderr.strip()[-500:]}",
            "Look at bench/rule_sql_peers.py.",
        )
    answers: list[dict[str, Any]] = json.loads(done.stdout.strip().splitlines()[-1])
    return answers


def our_answer(case: Case) -> dict[str, Any]:
    """Return the bridge's answer in the same form."""
    try:
        outgoing = evaluate(case.sql, case.topic, case.raw, **case.more)
    except RuleSqlError:
        return {"refused": True}
    if outgoing is NOT_FIRED:
        return {"fired": False}
    if isinstance(outgoing, bytes):
        return {"bytes": base64.b64encode(outgoing).decode()}
    return {"payload": outgoing}


def right(case: Case, answer: dict[str, Any]) -> bool:
    """Return whether an answer is what the reference says."""
    if isinstance(case.expected, Refused):
        return "refused" in answer
    if case.expected is EXPECTS_NONE:
        return answer.get("fired") is False
    if isinstance(case.expected, bytes):
        return answer.get("bytes") == base64.b64encode(case.expected).decode()
    return "payload" in answer and same(answer["payload"], case.expected)


def same(left: object, other: object) -> bool:
    """Return whether both are equal as JSON: 1 and 1.0 are, 1 and true are not."""
    if isinstance(left, dict) and isinstance(other, dict):
        return left.keys() == other.keys() and all(same(left[key], other[key]) for key in left)
    if isinstance(left, list) and isinstance(other, list):
        return len(left) == len(other) and all(map(same, left, other))
    return left == other and isinstance(left, bool) == isinstance(other, bool)
