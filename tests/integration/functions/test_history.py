"""The hot window: what the telemetry handler keeps in it, and what the API gives of it."""

import itertools
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.functions import faults
from tests.integration.functions.conftest import NOW, Cloud
from tests.integration.functions.test_api import call
from tests.unit.functions.samples import envelope, payload, sqs_event, telemetry

HISTORY = "/stations/station-01/history"


def said(moment: str, name: str = "station-01", **fields: Any) -> str:
    """Make a message of 2025-11-23, in its envelope."""
    return envelope(payload(name, timestamp=f"2025-11-23T{moment}Z", **fields), name)


def kept(cloud: Cloud, station: str = "station-01") -> list[str]:
    """List the message ids of a station's points, by interval."""
    return [point["message_id"] for _, point in sorted(cloud.points(station).items())]


def at(moment: datetime) -> str:
    """Write a time as the API takes it."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def fill(cloud: Cloud, minutes: int) -> list[str]:
    """Let station-01 say something at second 5 of each of the last minutes; returns the times, oldest first."""
    start = NOW.replace(second=5, microsecond=0) - timedelta(minutes=minutes)
    moments = [start + timedelta(minutes=n) for n in range(minutes)]
    bodies = [
        envelope(payload(timestamp=at(moment), message_id=f"m{n}", battery_available=n % 21))
        for n, moment in enumerate(moments)
    ]
    assert cloud.failed(sqs_event(*bodies)) == set()
    return [at(moment) for moment in moments]


def test_a_point_is_the_first_message_of_its_minute_with_all_that_it_said(cloud: Cloud) -> None:
    for moment, name in (("12:00:05", "a"), ("12:00:10", "b"), ("12:01:05", "c"), ("12:01:10", "d")):
        assert cloud.failed(sqs_event(said(moment, message_id=name))) == set()
    assert kept(cloud) == ["a", "c"]
    interval, point = min(cloud.points("station-01").items())
    assert interval == int(datetime(2025, 11, 23, 12, 0, tzinfo=UTC).timestamp())
    assert point == telemetry(message_id="a") | {
        "timestamp": "2025-11-23T12:00:05.000000Z",
        "interval": interval,
        "expires_at": interval + 60 + 24 * 3600,
    }


def test_every_order_of_delivery_keeps_the_same_points(cloud: Cloud) -> None:
    """One message a batch, each delivered twice, in every order."""
    moments = [("12:00:05", "a"), ("12:00:10", "b"), ("12:01:05", "c"), ("12:01:05", "d")]
    for number, order in enumerate(itertools.permutations(moments)):
        station = f"station-{number}"
        for moment, name in (*order, *order):
            assert cloud.failed(sqs_event(said(moment, station, message_id=name))) == set()
        assert kept(cloud, station) == ["a", "c"], order


def test_a_batch_with_many_minutes_of_a_station_keeps_each(cloud: Cloud) -> None:
    """A station sends such a batch after an hour without a connection."""
    rng = random.Random(3)
    bodies = [
        said(f"11:{minute:02}:{second}", message_id=f"{minute}-{second}")
        for minute in range(60)
        for second in (10, 20)
    ]
    rng.shuffle(bodies)
    assert cloud.failed(sqs_event(*bodies)) == set()
    assert kept(cloud) == [f"{minute}-10" for minute in range(60)]


def test_a_late_first_message_beside_a_newer_one_is_not_overlooked(cloud: Cloud) -> None:
    """The table moves within the minute, and yet the batch has an earlier message than the table showed."""
    for batch in ([("12:00:10", "b")], [("12:00:20", "c"), ("12:00:05", "a")]):
        bodies = (said(moment, message_id=name) for moment, name in batch)
        assert cloud.failed(sqs_event(*bodies)) == set()
    assert kept(cloud) == ["a"]


def test_only_a_message_that_may_begin_a_minute_costs_a_write(cloud: Cloud) -> None:
    """That is one a minute in order; the bill is counted so (testbed/cost/bill.py)."""
    writes: list[Any] = []
    with faults.hooked(cloud.dynamodb, "before-call.dynamodb.PutItem", lambda **call: writes.append(call)):
        for minute, second in itertools.product(range(3), range(0, 60, 5)):
            body = said(f"12:0{minute}:{second:02}", message_id=f"{minute}-{second}")
            assert cloud.failed(sqs_event(body)) == set()
    assert len(writes) == 3


def test_a_first_message_that_comes_again_beside_a_newer_one_has_its_point(cloud: Cloud) -> None:
    """The table has it and the history not; then one batch brings it again, with what moves the table on."""
    first, second = said("12:00:05", message_id="a"), said("12:00:06", message_id="b")
    before, after = faults.answer_lost()
    with (
        faults.hooked(cloud.dynamodb, "before-call.dynamodb.UpdateItem", before),
        faults.hooked(cloud.dynamodb, "after-call.dynamodb.UpdateItem", after),
    ):
        assert len(cloud.failed(sqs_event(first))) == 1
    assert kept(cloud) == []
    assert cloud.failed(sqs_event(first, second)) == set()
    assert kept(cloud) == ["a"]


def test_what_the_window_no_longer_covers_is_not_written(cloud: Cloud) -> None:
    """Late data of yesterday goes to the archive alone."""
    old, recent = NOW - timedelta(hours=25), NOW - timedelta(hours=23)
    for moment, name in ((old, "old"), (recent, "recent")):
        body = envelope(payload(timestamp=at(moment), message_id=name))
        assert cloud.failed(sqs_event(body)) == set()
    assert sorted(cloud.archived_ids()) == ["old", "recent"]
    assert kept(cloud) == ["recent"]


def test_a_history_that_fails_is_tried_again(cloud: Cloud) -> None:
    """The next message of the minute does not write the point; the failed one does, when it comes again."""
    first, second = sqs_event(said("12:00:05", message_id="a")), sqs_event(said("12:00:10", message_id="b"))
    with faults.hooked(cloud.dynamodb, "before-call.dynamodb.PutItem", faults.unreachable()):
        assert cloud.failed(first) == {first["Records"][0]["messageId"]}
        assert cloud.failed(second) == set()
    assert kept(cloud) == []
    assert cloud.failed(first) == set()
    assert kept(cloud) == ["a"]


def test_the_api_gives_the_points_oldest_first(cloud: Cloud) -> None:
    fill(cloud, 3)
    status, page, headers = call(cloud, HISTORY)
    assert status == 200
    assert headers["Content-Type"] == "application/json"
    assert (page["station_id"], page["resolution_seconds"], page["window_hours"]) == ("station-01", 60, 24)
    assert [point["message_id"] for point in page["points"]] == ["m0", "m1", "m2"]
    assert (page["count"], page["next_token"]) == (3, None)
    assert page["points"][0] == {
        name: value
        for name, value in min(cloud.points("station-01").items())[1].items()
        if name not in ("station_id", "interval", "expires_at")
    }


@pytest.mark.parametrize("limit", [1, 7, 20, 100])
def test_pages_are_full_and_give_each_point_once(cloud: Cloud, limit: int) -> None:
    fill(cloud, 20)
    seen: list[str] = []
    token: dict[str, str] = {}
    while True:
        status, page, _ = call(cloud, HISTORY, limit=limit, **token)
        assert status == 200
        seen += [point["message_id"] for point in page["points"]]
        if page["next_token"] is None:
            break
        assert page["count"] == limit
        token = {"next_token": page["next_token"]}
    assert seen == [f"m{n}" for n in range(20)]


def test_from_and_to_are_inclusive_and_cut_within_a_minute(cloud: Cloud) -> None:
    times = fill(cloud, 5)
    before = at(datetime.fromisoformat(times[1]) + timedelta(seconds=1))
    for since, until, expected in (
        (times[1], times[3], ["m1", "m2", "m3"]),
        (before, times[3], ["m2", "m3"]),
        (times[4], None, ["m4"]),
        (None, times[0], ["m0"]),
        (at(NOW), None, []),
        (None, "2025-01-01T00:00:00Z", []),
        ("2020-01-01T00:00:00+02:00", None, [f"m{n}" for n in range(5)]),
        ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", [f"m{n}" for n in range(5)]),
    ):
        asked = {"from": since, "to": until}
        status, page, _ = call(cloud, HISTORY, **{name: text for name, text in asked.items() if text})
        assert status == 200, asked
        assert [point["message_id"] for point in page["points"]] == expected, asked


def test_what_has_expired_and_is_still_there_is_not_shown(cloud: Cloud) -> None:
    """DynamoDB takes days to delete it."""
    fill(cloud, 90)
    cloud.hours = 1
    points = call(cloud, HISTORY)[1]["points"]
    assert [point["message_id"] for point in points] == [f"m{n}" for n in range(31, 90)]


def test_a_station_without_recent_points_is_not_unknown(cloud: Cloud) -> None:
    body = envelope(payload(timestamp=at(NOW - timedelta(days=3))))
    assert cloud.failed(sqs_event(body)) == set()
    assert call(cloud, HISTORY)[:1] == (200,)
    assert call(cloud, HISTORY)[1]["points"] == []
    assert call(cloud, "/stations/nobody/history")[0] == 404


@pytest.mark.parametrize(
    "query",
    [
        *({"from": text} for text in ("", "yesterday", "2025-11-23", "2025-11-23T12:00:00", "1763900000")),
        {"to": "2025-13-01T00:00:00Z"},
        {"to": "0001-01-01T00:00:00+14:00"},
        {"from": "2025-11-23T12:00:01Z", "to": "2025-11-23T12:00:00Z"},
        *({"limit": text} for text in ("0", "1501", "x")),
        {"min_batteries": "1"},
        *({"next_token": text} for text in ("", "x", "AAAA")),
    ],
)
def test_a_bad_parameter_is_a_400_that_names_it(cloud: Cloud, query: dict[str, str]) -> None:
    status, problem, headers = call(cloud, HISTORY, **query)
    assert status == 400
    assert headers["Content-Type"] == "application/problem+json"
    assert problem["parameter"] == next(iter(query))


def test_a_token_of_another_listing_is_refused(cloud: Cloud) -> None:
    fill(cloud, 2)
    cloud.invoke(sqs_event(said("12:00:00", "station-02")))
    token = call(cloud, HISTORY, limit=1)[1]["next_token"]
    assert call(cloud, HISTORY, next_token=token)[0] == 200
    assert call(cloud, "/stations", next_token=token)[0] == 400
    assert call(cloud, HISTORY, next_token=call(cloud, "/stations", limit=1)[1]["next_token"])[0] == 400
