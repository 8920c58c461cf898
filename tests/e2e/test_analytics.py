"""The saved queries, through Athena and through DuckDB over the same objects."""

import itertools
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest

from testbed.archive import query, reader, saved
from testbed.archive.results import Rows
from testbed.archive.saved import Days
from testbed.deploy.deployment import Deployment
from testbed.errors import TestbedError
from tests import archives

# Nothing else in the archive was received then.
FIRST, LAST = date(2026, 2, 3), date(2026, 2, 4)


@pytest.fixture(scope="module")
def stored(deployment: Deployment) -> Iterator[list[dict[str, Any]]]:
    """Archive the lines of those days; take them out again, for no table knows their stations."""
    s3, bucket = deployment.client("s3"), deployment.outputs.telemetry_bucket_name
    lines = archives.messages(FIRST)
    before = set(reader.objects(s3, bucket))
    archives.store(s3, bucket, lines)
    yield lines
    for key in set(reader.objects(s3, bucket)) - before:
        if any(f"dt={day}" in key for day in (FIRST, LAST)):
            s3.delete_object(Bucket=bucket, Key=key)


def ask(deployment: Deployment, name: str, through: query.Through = "duckdb") -> Rows:
    return query.run(deployment, saved.load(name), Days(FIRST, LAST), through)


def once(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """List each message as it was received first, with the time that it was said at."""
    first: dict[str, dict[str, Any]] = {}
    for line in sorted(lines, key=lambda line: line["_received_at"]):
        said = datetime.fromisoformat(line["timestamp"].upper()).astimezone(UTC)
        first.setdefault(line["message_id"], line | {"said": said})
    return list(first.values())


@pytest.mark.parametrize("name", saved.names())
def test_athena_and_duckdb_give_the_same_rows(
    deployment: Deployment, stored: list[dict[str, Any]], name: str
) -> None:
    if not deployment.outputs.analytics_database:
        with pytest.raises(TestbedError, match="no Athena"):
            ask(deployment, name, "athena")
        return
    through_duckdb = ask(deployment, name)
    assert stored
    assert through_duckdb.rows
    assert ask(deployment, name, "athena") == through_duckdb


def test_availability_is_counted_once_a_message(deployment: Deployment, stored: list[dict[str, Any]]) -> None:
    hours: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in once(stored):
        hours[f"{line['said']:%Y-%m-%d %H:00}"].append(line)
    expected = [
        (
            hour,
            len({line["station_id"] for line in lines}),
            len(lines),
            round(100 * sum(line["battery_available"] > 0 for line in lines) / len(lines), 2),
            round(sum(line["battery_available"] for line in lines) / len(lines), 2),
            min(line["battery_available"] for line in lines),
        )
        for hour, lines in sorted(hours.items())
    ]
    rows = ask(deployment, "availability_by_hour").rows
    assert [row[:3] for row in rows] == [row[:3] for row in expected]
    for found, wanted in zip(rows, expected, strict=True):
        assert found[3:] == pytest.approx(wanted[3:], abs=0.011)


def test_duplicates_are_receipts_and_not_copies_in_the_archive(
    deployment: Deployment, stored: list[dict[str, Any]]
) -> None:
    """A batch that was tried again archives lines twice, and a station that publishes again does too: not the same."""
    for station, messages, duplicated, extra, late, worst in ask(deployment, "duplicate_and_late").rows:
        own = [line for line in stored if line["station_id"] == station]
        lateness = [line["_received_at"] / 1000 - line["said"].timestamp() for line in once(own)]
        assert messages == len(once(own))
        assert extra == len(own) - len(once(own))
        assert duplicated == extra
        assert late == sum(seconds >= 60 for seconds in lateness)
        assert worst == pytest.approx(max(lateness), abs=0.1)
        assert extra > 0 < late


def test_swaps_are_the_counters_steps(deployment: Deployment, stored: list[dict[str, Any]]) -> None:
    days: dict[str, int] = defaultdict(int)
    for station in {line["station_id"] for line in stored}:
        own = sorted(
            (line for line in once(stored) if line["station_id"] == station), key=lambda line: line["said"]
        )
        for before, after in itertools.pairwise(own):
            step = after["swaps_total"] - before["swaps_total"]
            days[f"{after['said']:%Y-%m-%d}"] += step if step >= 0 else after["swaps_total"]
    rows = ask(deployment, "swaps_a_day").rows
    assert {row[0]: row[2] for row in rows} == days
    assert {row[1] for row in rows} == {3}


def test_an_unknown_query_is_refused_with_what_there_is() -> None:
    with pytest.raises(TestbedError, match=r"There are: .*swaps_a_day"):
        saved.load("swaps")


def test_days_without_data_give_no_rows(deployment: Deployment) -> None:
    days = Days(date(2026, 1, 2), date(2026, 1, 2))
    assert query.run(deployment, saved.load("swaps_a_day"), days, "duckdb").rows == []
