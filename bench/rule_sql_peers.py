"""Run the table of rule SQL cases through ministack's rule engine, and print its score beside ours.

    .venv/bin/python bench/rule_sql_peers.py [--ministack-python PATH] [--verbose]

ministack lives in an environment of its own (it pins botocore), so its part runs there as a child process. What is
called is what its MQTT broker calls for a publish: `_rule_event` for SELECT, `_eval_where` for WHERE, its topic
matching for FROM, and `_validate_rule_sql` for what it refuses. The clock, the account and other facts of the message
that it has no parameter for are not held against it: such cases are left out of both scores.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bridge import NOT_FIRED, RuleSqlError, evaluate  # noqa: E402
from tests.unit.bridge.sql.cases import CASES, Case, Refused  # noqa: E402
from tests.unit.bridge.sql.cases import NOT_FIRED as EXPECTS_NONE  # noqa: E402

DEFAULT_PYTHON = ROOT / ".testbed/venvs/embedded/bin/python"

# What ministack's environment runs: cases as JSON on stdin, answers as JSON on stdout.
CHILD = r"""
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


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--ministack-python", type=Path, default=DEFAULT_PYTHON, help="a Python that has ministack"
    )
    parser.add_argument("--verbose", action="store_true", help="print every case that ministack gets wrong")
    options = parser.parse_args()
    if not options.ministack_python.exists():
        print(
            f"error: {options.ministack_python} is missing: run `make up ENGINE=embedded` once, or name a Python that"
            " has ministack with --ministack-python",
            file=sys.stderr,
        )
        return 2
    cases = [case for case in CASES if not case.more.keys() - {"client_id"}]
    answers = ministack_answers(options.ministack_python, cases)
    score(cases, answers, verbose=options.verbose)
    return 0


def ministack_answers(python: Path, cases: list[Case]) -> list[dict[str, Any]]:
    """What ministack makes of each case: refused, fired or not, payload or bytes, or its own exception."""
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
            [python, "-c", CHILD],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env={**os.environ, "TMPDIR": folder, "LOG_LEVEL": "ERROR"},
        )
    if done.returncode:
        raise SystemExit(f"error: ministack's engine could not be run: {done.stderr.strip()[-500:]}")
    answers: list[dict[str, Any]] = json.loads(done.stdout.strip().splitlines()[-1])
    return answers


def our_answer(case: Case) -> dict[str, Any]:
    """The same form of answer from the bridge."""
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
    """Whether an answer is what the reference says."""
    if isinstance(case.expected, Refused):
        return "refused" in answer
    if case.expected is EXPECTS_NONE:
        return answer.get("fired") is False
    if isinstance(case.expected, bytes):
        return answer.get("bytes") == base64.b64encode(case.expected).decode()
    return "payload" in answer and same(answer["payload"], case.expected)


def same(left: object, other: object) -> bool:
    """Equal as JSON: 1 and 1.0 are, 1 and true are not."""
    if isinstance(left, dict) and isinstance(other, dict):
        return left.keys() == other.keys() and all(same(left[key], other[key]) for key in left)
    if isinstance(left, list) and isinstance(other, list):
        return len(left) == len(other) and all(map(same, left, other))
    return left == other and isinstance(left, bool) == isinstance(other, bool)


def score(cases: list[Case], answers: list[dict[str, Any]], *, verbose: bool) -> None:
    """Print a line a page of the reference, and the sum."""
    pages = Counter(case.page for case in cases)
    theirs = Counter(case.page for case, answer in zip(cases, answers, strict=True) if right(case, answer))
    ours = Counter(case.page for case in cases if right(case, our_answer(case)))
    print(f"{'page':24}{'cases':>7}{'bridge':>8}{'ministack':>11}")
    for page in pages:
        print(f"{page:24}{pages[page]:7}{ours[page]:8}{theirs[page]:11}")
    print(f"{'all':24}{pages.total():7}{ours.total():8}{theirs.total():11}")
    print(
        f"left out, for they need facts that ministack's engine takes no parameter for: {len(CASES) - len(cases)}"
    )
    if verbose:
        for case, answer in zip(cases, answers, strict=True):
            if not right(case, answer):
                print(f"{case.page}: {case.sql}\n    expected {case.expected!r}, ministack {answer}")


if __name__ == "__main__":
    sys.exit(main())
