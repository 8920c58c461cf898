"""Records are compared without what differs from run to run, and every gap is found."""

import json
from pathlib import Path

from testbed.drills.parity import compare
from testbed.drills.parity.volatile import settled

RECORDS = Path(__file__).parents[3] / "parity"


def test_what_differs_from_run_to_run_is_taken_out() -> None:
    first = {
        "topic": "ev-swap/stations/run1-a/telemetry",
        "at": "2026-11-23T18:13:45.197Z",
        "n": 1795457627151,
        "id": "run1-a",
        "next_token": "x",
        "kept": [1, 2.5],
    }
    second = {
        "topic": "of/another/root/run2-a/telemetry",
        "at": "2027-01-01T00:00:00Z",
        "n": 1799999999999,
        "id": "run2-a",
        "next_token": "y",
        "kept": [1, 2.5],
    }
    one = settled(first, {"run1": "<run>", "ev-swap/stations": "<topic root>"})
    assert one == settled(second, {"run2": "<run>", "of/another/root": "<topic root>"})
    assert (one["kept"], one["topic"]) == ([1, 2.5], "<topic root>/<run>-a/telemetry")


def test_a_difference_of_any_kind_is_a_gap() -> None:
    old = {"a": [1, {"b": "x"}], "gone": None, "same": True}
    new = {"a": [1, {"b": "y"}], "new": 0, "same": True}
    places = {gap.place for gap in compare.gaps(old, new, "one two")}
    assert places == {"a > 1 > b", "gone", "new"}
    assert [gap.place for gap in compare.gaps({"a": [1]}, {"a": [1, 2]}, "one two")] == ["a"]


def test_every_gap_of_the_published_records_is_explained_and_in_the_table() -> None:
    recorded, seen = (
        json.loads((RECORDS / f"{name}.json").read_text()) for name in ("embedded", "localstack")
    )
    found = compare.gaps(recorded, seen, "embedded localstack")
    assert found
    assert not [gap for gap in found if not gap.reason]
    published = (RECORDS.parents[1] / "docs" / "parity.md").read_text()
    assert compare.table(found, "embedded", "localstack") in published
