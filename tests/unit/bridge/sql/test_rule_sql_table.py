"""The table in cases.py, run through the public entry point."""

import json

import pytest

import bridge
from tests.unit.bridge.sql.cases import CASES, NOT_FIRED, Case, Refused


def _same(left, right) -> bool:
    """Compare as JSON: numbers by value, and True is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return left == right


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_engine_gives_what_the_reference_says(case: Case):
    if isinstance(case.expected, Refused):
        with pytest.raises(bridge.RuleSqlError) as refusal:
            bridge.compile_rule(case.sql, version=case.more.get("version", "2016-03-23"))
        assert case.expected.holding in str(refusal.value)
        assert "\n" not in str(refusal.value)
        return
    outgoing = bridge.evaluate(case.sql, case.topic, case.raw, **case.more)
    if case.expected is NOT_FIRED:
        assert outgoing is bridge.NOT_FIRED
        return
    assert outgoing is not bridge.NOT_FIRED
    assert _same(outgoing, case.expected), outgoing
    if not isinstance(outgoing, bytes):
        assert _same(json.loads(json.dumps(outgoing)), outgoing)


def test_the_table_names_every_function():
    """A function without a case is a function nobody checked."""
    from bridge.sql.functions import CALLS, FUNCTIONS, NOWHERE

    text = " ".join(case.sql.lower() for case in CASES)
    assert [name for name in {*FUNCTIONS, *CALLS, *NOWHERE} if f"{name}(" not in text] == []
