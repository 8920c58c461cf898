"""The telemetry handler against a running emulator: what is stored where."""

import base64
import gzip
import itertools
import json
from typing import Any

import pytest

from telemetry_handler.invocation import NotStoredError
from telemetry_handler.presence import Presence
from telemetry_handler.stations import Move, Stations
from telemetry_handler.telemetry import Telemetry
from tests.integration.conftest import REGION
from tests.integration.functions.conftest import Cloud, payload_of
from tests.unit.functions.samples import NOW_MS, envelope, payload, presence, sqs_event, sqs_record, telemetry

_BATTERY = {"battery_available": 7}


def test_a_batch_becomes_one_archive_object_and_the_stations_latest_states(cloud: Cloud) -> None:
    """A good batch is archived in one object, word for word, and each station shows its newest message."""
    older = payload("station-01", sequence=6, timestamp="2025-11-23T12:13:14Z", message_id="older")
    newest = payload("station-01", note={"unknown": [1, 2.5, None]})
    other = payload("station-02", battery_available=3)

    bodies = (envelope(newest), envelope(older), envelope(other, "station-02", NOW_MS + 5))
    assert cloud.failed(sqs_event(*bodies)) == set()

    ((key, lines),) = cloud.archive().items()
    assert key.startswith("telemetry/dt=2025-11-23/hour=12/")
    own = [{name: value for name, value in line.items() if name[0] != "_"} for line in lines]
    assert sorted(own, key=json.dumps) == sorted(map(json.loads, (older, newest, other)), key=json.dumps)
    assert {line["_received_at"] for line in lines} == {NOW_MS, NOW_MS + 5}
    assert {line["_topic"] for line in lines} == {
        "ev-swap/stations/station-01/telemetry",
        "ev-swap/stations/station-02/telemetry",
    }
    assert all(line["_source_message_id"].startswith("message-") for line in lines)
    assert cloud.item("station-01") == telemetry() | {
        # Telemetry that came through the broker shows that its station is connected.
        "connection": "ONLINE",
        "connection_at": NOW_MS,
        "connection_region": REGION,
        "connection_version": -1,
        "timestamp": "2025-11-23T12:13:19.500000Z",
        "updated_at": "2025-11-23T12:13:20.000000Z",
    }
    second = cloud.item("station-02")
    assert second is not None
    assert second["battery_available"] == 3


def test_a_retried_batch_overwrites_itself_with_the_same_bytes(cloud: Cloud) -> None:
    """The same messages in another order give the same key and the same bytes."""
    event = sqs_event(*(envelope(payload(f"station-{n}"), f"station-{n}") for n in range(20)))
    cloud.invoke(event)
    ((key, _),) = cloud.archive().items()
    before = cloud.body(key)
    event["Records"].reverse()
    cloud.invoke(event)
    assert list(cloud.archive()) == [key]
    assert cloud.body(key) == before
    assert before[4:8] == bytes(4), "gzip's time of writing must not be in it"


def test_the_newest_message_replaces_all_that_an_older_one_showed(cloud: Cloud) -> None:
    """An optional field that the newest message lacks does not survive from an older one."""
    cloud.invoke(sqs_event(envelope(payload(sequence=7))))
    cloud.invoke(sqs_event(envelope(payload(sequence=8, power_kw=..., status=..., message_id="m8"))))
    item = cloud.item("station-01")
    assert item is not None
    assert item["sequence"] == 8
    assert "power_kw" not in item
    assert "status" not in item


def test_the_table_only_moves_forward(cloud: Cloud) -> None:
    """The newest by (timestamp, sequence) stays, in whatever order messages are delivered, one to a batch."""
    for number, order in enumerate(itertools.permutations(range(4))):
        name = f"station-{number}"
        contents = [
            payload(name, sequence=9, timestamp="2025-11-23T12:00:00Z", message_id="a"),
            payload(name, sequence=1, timestamp="2025-11-23T12:00:01Z", message_id="b"),
            payload(name, sequence=2, timestamp="2025-11-23T12:00:01.000Z", message_id="c"),
            payload(name, sequence=3, timestamp="2025-11-23T13:00:00.9+01:00", message_id="z"),
        ]
        for position in order:
            assert cloud.failed(sqs_event(envelope(contents[position], name))) == set()
        item = cloud.item(name)
        assert item is not None
        assert item["message_id"] == "c", order
    assert sorted(cloud.archived_ids()) == sorted("abcz" * 24)


def test_equal_times_and_sequences_end_in_one_state(cloud: Cloud) -> None:
    """Where (timestamp, sequence) cannot tell which is newer, every order of delivery ends the same."""
    contents = [payload(message_id=name, battery_available=n) for n, name in enumerate("abc")]
    shown = set()
    for number, order in enumerate(itertools.permutations(contents)):
        station = f"station-{number}"
        for content in order:
            body = envelope(content.replace(b'"station-01"', f'"{station}"'.encode()), station)
            assert cloud.failed(sqs_event(body)) == set()
        item = cloud.item(station)
        assert item is not None
        shown.add(item["message_id"])
    assert shown == {"c"}


def test_presence_and_telemetry_do_not_overwrite_each_other(cloud: Cloud) -> None:
    """A connection shows beside the telemetry, whichever was written first."""
    for bodies in (
        [presence("station-01", "connected"), envelope(payload("station-01"))],
        [envelope(payload("station-02"), "station-02"), presence("station-02", "connected")],
    ):
        for body in bodies:
            assert cloud.failed(sqs_event(body)) == set()
    for station in ("station-01", "station-02"):
        item = cloud.item(station)
        assert item is not None
        assert item["connection"] == "ONLINE"
        assert item["battery_available"] == 12
        # Who sends telemetry is connected; the event of that came before the first telemetry, and left nothing.
        known = 0 if station == "station-02" else -1
        assert (item["connection_at"], item["connection_version"]) == (NOW_MS, known)


_CONNECT = ("connected", NOW_MS, 3)
_DROP = ("disconnected", NOW_MS + 50, 3)
_DROP_AT_ONCE = ("disconnected", NOW_MS, 3)
_NEXT = ("connected", NOW_MS + 20, 4)
_DROP_EARLY = ("disconnected", NOW_MS - 120_000, 3)
_FIRST, _GONE = ("connected", NOW_MS, 0), ("disconnected", NOW_MS + 10, 0)
_RESTARTED = ("connected", NOW_MS + 3_600_000, 0)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ((_CONNECT, _DROP), "OFFLINE"),
        ((_CONNECT, _DROP_AT_ONCE), "OFFLINE"),
        ((_CONNECT, _DROP, _NEXT), "ONLINE"),  # a take-over: the old connection ends after the new one began
        ((_CONNECT, _DROP, _RESTARTED), "ONLINE"),  # the count began again
        ((_CONNECT, _DROP_EARLY), "OFFLINE"),  # the times of events are good to two minutes
        ((_FIRST, _GONE, _RESTARTED), "ONLINE"),  # at the same number
    ],
)
@pytest.mark.parametrize("in_one_batch", [True, False])
def test_presence_is_of_the_latest_event(
    cloud: Cloud, events: tuple[tuple[str, int, int], ...], expected: str, in_one_batch: bool
) -> None:
    """Lifecycle events in any order, together or apart, leave what the latest said."""
    for number, order in enumerate(itertools.permutations(events)):
        name = f"station-{number}"
        assert cloud.failed(sqs_event(envelope(payload(name), name))) == set()
        bodies = [presence(name, event, at=at, version=version) for event, at, version in order]
        for batch in [bodies] if in_one_batch else [[body] for body in bodies]:
            assert cloud.failed(sqs_event(*batch)) == set()
        item = cloud.item(name)
        assert item is not None
        assert item["connection"] == expected, order


_HERE, _THERE = REGION, "us-east-1"
# A station goes from here to there: events by the region that they are of, which counts its own versions.
_LEFT = (_HERE, _CONNECT)
_CAME = (_THERE, ("connected", NOW_MS + 5_000, 1))
_LEFT_LATE = (_HERE, ("disconnected", NOW_MS + 60_000, 3))
_LEFT_AGAIN = (_THERE, ("disconnected", NOW_MS + 70_000, 1))
_HOME = (_HERE, ("connected", NOW_MS + 70_000 + 1, 9))


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ((_LEFT, _CAME), ("ONLINE", _THERE)),
        ((_LEFT, _CAME, _LEFT_LATE), ("ONLINE", _THERE)),  # the lost region tells of the end when it is back
        ((_LEFT, _CAME, _LEFT_AGAIN), ("OFFLINE", _THERE)),
        ((_CAME, _HOME, _LEFT_AGAIN), ("ONLINE", _HERE)),
        ((_HOME, _CAME), ("ONLINE", _HERE)),  # late
        ((_HOME, _LEFT), ("ONLINE", _HERE)),
    ],
)
def test_presence_is_of_the_region_where_the_station_is(
    cloud: Cloud, events: tuple[tuple[str, tuple[str, int, int]], ...], expected: tuple[str, str]
) -> None:
    """One table of two regions; neither's versions say anything of the other's."""
    regions = {name: Stations(cloud.dynamodb, cloud.name, name) for name in (_HERE, _THERE)}
    regions[_HERE].move_forward(Telemetry("one", "2025-11-23T12:00:00.000000Z", 1, "m-1", _BATTERY), "now")
    for region, (kind, at, version) in events:
        event = Presence("one", at, version, "ONLINE" if kind == "connected" else "OFFLINE")
        regions[region].show_connection(event, "now")
    assert _connection(cloud) == expected


def test_telemetry_by_another_region_shows_the_station_online_there(cloud: Cloud) -> None:
    """Both regions wrote of a move at once, and the end of the old connection won; a late message changes nothing."""
    here, there = (Stations(cloud.dynamodb, cloud.name, name) for name in (_HERE, _THERE))
    first, second, late = (
        Telemetry("one", f"2025-11-23T12:00:0{n}.000000Z", n, f"m-{n}", _BATTERY, NOW_MS + at)
        for n, at in ((1, 0), (2, 2_000), (3, 1_000))
    )
    assert here.move_forward(first, "now").moved
    here.show_connection(Presence("one", NOW_MS + 1_500, 3, "OFFLINE"), "now")
    assert there.move_forward(second, "now") == Move(moved=True, before=first.order)
    assert _connection(cloud) == ("ONLINE", _THERE)
    assert here.move_forward(late, "now").moved
    assert _connection(cloud) == ("ONLINE", _THERE)
    assert there.show_connection(Presence("one", NOW_MS + 3_000, 1, "OFFLINE"), "now")


def test_several_stations_messages_by_another_region_are_left_to_the_write_that_mends(cloud: Cloud) -> None:
    here, there = (Stations(cloud.dynamodb, cloud.name, name) for name in (_HERE, _THERE))
    first, second = (
        [
            Telemetry(name, f"2025-11-23T12:00:0{n}.000000Z", n, f"m-{n}", _BATTERY, NOW_MS)
            for name in ("one", "two")
        ]
        for n in (1, 2)
    )
    assert here.move_all_forward(first, "now") == [None, None]
    assert all(here.move_forward(each, "now").moved for each in first)
    assert there.move_all_forward(second, "now") == [None, None]
    assert here.move_all_forward(second, "now") == [Move(moved=True, before=each.order) for each in first]
    assert here.move_all_forward(first, "now") == [Move(moved=False)] * 2


def _connection(cloud: Cloud) -> tuple[str, str]:
    item = cloud.item("one")
    assert item is not None
    return item["connection"], item["connection_region"]


def test_clients_that_are_no_stations_leave_no_item(cloud: Cloud) -> None:
    """A console's connection and a failed attempt are taken note of, and change nothing."""
    events = (presence("console from berlin", "connected"), presence("station-01", "connect_failed"))
    assert cloud.failed(sqs_event(*events)) == set()
    assert cloud.item("console from berlin") is None
    assert cloud.item("station-01") is None
    assert cloud.outcomes[-1].ignored == 2
    assert cloud.take_dead_letters() == []


def test_a_client_that_sends_no_telemetry_leaves_no_item(cloud: Cloud) -> None:
    """The account's other clients: consoles, pages, devices of other projects."""
    names = ("iotconsole-1511213971966-0", "dashboard-7f3a", "another-projects-device")
    for event in ("connected", "disconnected"):
        assert cloud.failed(sqs_event(*(presence(name, event) for name in names))) == set()
    assert [cloud.item(name) for name in names] == [None, None, None]


def test_a_station_that_connects_and_speaks_in_one_batch_has_its_event(cloud: Cloud) -> None:
    bodies = (presence("station-01", "connected", version=4), envelope(payload("station-01"), "station-01"))
    assert cloud.failed(sqs_event(*bodies)) == set()
    item = cloud.item("station-01")
    assert item is not None
    assert (item["connection"], item["connection_version"]) == ("ONLINE", 4)


def test_a_late_message_does_not_take_its_batch_to_its_own_hour(cloud: Cloud) -> None:
    """A redriven message of last week beside fresh ones: `query --days 1` must see those."""
    week = 7 * 24 * 3_600_000
    bodies = [
        envelope(payload("station-01", message_id="fresh"), "station-01"),
        envelope(payload("station-02", message_id="old"), "station-02", NOW_MS - week),
        envelope(payload("station-01", message_id="fresh"), "station-01", NOW_MS - week),  # delivered before
    ]
    assert cloud.failed(sqs_event(*bodies)) == set()
    found = {
        key.rsplit("/", 1)[0]: [line["message_id"] for line in lines]
        for key, lines in cloud.archive().items()
    }
    assert found == {
        "telemetry/dt=2025-11-23/hour=12": ["fresh"],
        "telemetry/dt=2025-11-16/hour=12": ["old"],
    }
    assert cloud.outcomes[-1].stored == 3


def test_bad_records_go_to_the_dead_letter_queue_and_their_neighbours_are_stored(cloud: Cloud) -> None:
    """Each bad record ends there with its reason and its very bytes; no good one is lost."""
    bad = {
        b"\xff\xfe": "not_json",
        b"[]": "not_object",
        b"{}": "missing_field",
        payload(battery_available="12"): "wrong_type",
        payload(battery_available=99): "out_of_range",
        payload(power_kw=float("nan")): "not_finite",
        payload(timestamp="yesterday"): "bad_timestamp",
        payload(timestamp="2025-11-23T12:18:21Z"): "timestamp_in_future",
        payload(padding="x" * 131_072): "too_large",
        payload("station-99"): "station_mismatch",
        payload("../etc"): "bad_station_id",
    }
    bodies = [envelope(content) for content in bad]
    bodies[5:5] = [envelope(payload(message_id=f"good-{n}")) for n in range(20)]
    bodies.append(json.dumps({"payload_base64": "%%%"}))
    assert cloud.failed(sqs_event(*bodies)) == set()
    letters = cloud.take_dead_letters()
    assert len(letters) == len(bad) + 1
    got = {payload_of(letter): letter for letter in letters}
    for content, code in bad.items():
        letter = got[content]
        assert letter["reason"]["code"] == code == letter["_attribute"]
        assert letter["topic"] == "ev-swap/stations/station-01/telemetry"
        assert (letter["client_id"], letter["received_at"]) == ("station-01", NOW_MS)
        assert letter["refused_at"] == "2025-11-23T12:13:20.000000Z"
    assert got[bodies[-1].encode()]["reason"]["code"] == "bad_envelope"
    assert sorted(cloud.archived_ids()) == sorted(f"good-{n}" for n in range(20))


def test_a_redriven_dead_letter_is_an_envelope_again(cloud: Cloud) -> None:
    """What was refused for the clock's sake is stored when it is sent again later, under the same id."""
    early = payload(timestamp="2025-11-24T12:13:21Z", message_id=...)
    cloud.invoke(sqs_event(envelope(early)))
    (letter,) = cloud.take_dead_letters()
    fixed = base64.b64encode(payload(message_id="repaired")).decode()
    cloud.invoke(sqs_event(json.dumps(letter | {"payload_base64": fixed}), letter["_text"]))
    assert cloud.archived_ids() == ["repaired"]
    (again,) = cloud.take_dead_letters()
    assert again["_attribute"] == "timestamp_in_future"
    assert payload_of(again) == early
    assert again["topic"] == letter["topic"]


def test_a_redriven_error_action_is_an_envelope_too(cloud: Cloud) -> None:
    """What AWS IoT's error action put into the dead-letter queue can be sent again as it is."""
    body = {
        "ruleName": "ev_swap_dev_telemetry_rule",
        "topic": "ev-swap/stations/station-01/telemetry",
        "cloudwatchTraceId": "7e146a2c",
        "clientId": "station-01",
        "base64OriginalPayload": base64.b64encode(payload(message_id="saved")).decode(),
        "failures": [{"failedAction": "SqsAction", "failedResource": "q", "errorMessage": "no"}],
    }
    assert cloud.failed(sqs_event(json.dumps(body))) == set()
    assert cloud.archived_ids() == ["saved"]


def test_a_direct_invocation_works(cloud: Cloud) -> None:
    """A bare telemetry object is stored, as `aws lambda invoke` of the setup guide sends it."""
    event = {"station_id": "test", "battery_available": 10, "timestamp": "2024-01-15T14:00:00Z"}
    got = cloud.invoke(event)
    assert got["stored"] is True
    assert got["latest"] is True
    assert gzip.decompress(cloud.body(got["archive_key"])).count(b"\n") == 1
    item = cloud.item("test")
    assert item is not None
    assert item["battery_available"] == 10
    assert item["sequence"] == 0


def test_a_refused_direct_invocation_says_why(cloud: Cloud) -> None:
    """It answers with the reason, and the dead-letter queue has it too."""
    got = cloud.invoke({"station_id": "test", "battery_available": True, "timestamp": "2024-01-15T14:00:00Z"})
    assert got["stored"] is False
    assert got["reason"]["code"] == "wrong_type"
    assert got["reason"]["field"] == "battery_available"
    (letter,) = cloud.take_dead_letters()
    assert letter["_attribute"] == "wrong_type"


def test_a_direct_invocation_that_cannot_be_stored_raises(cloud: Cloud) -> None:
    """Lambda repeats an asynchronous invocation only when it raises."""
    cloud.s3.delete_bucket(Bucket=cloud.name)
    with pytest.raises(NotStoredError, match="archive: NoSuchBucket"):
        cloud.invoke(telemetry())


def test_duplicates_in_a_batch_are_archived_once(cloud: Cloud) -> None:
    """The same bytes twice are one line; two messages that only share an id are both kept."""
    same, other = envelope(payload(message_id="m")), envelope(payload(message_id="m", battery_available=1))
    assert cloud.failed(sqs_event(same, same, other)) == set()
    assert cloud.outcomes[-1].duplicates == 1
    assert cloud.archived_ids() == ["m", "m"]


def test_a_message_without_an_id_gets_the_same_one_every_time(cloud: Cloud) -> None:
    """The derived id depends on payload and topic alone."""
    body = envelope(payload(message_id=...))
    cloud.invoke(sqs_event(body))
    cloud.invoke({"Records": [sqs_record(body, "delivered-again")]})
    ids = cloud.archived_ids()
    assert len(ids) == 2
    assert len(set(ids)) == 1


def test_a_batch_of_a_thousand(cloud: Cloud) -> None:
    """1,000 records of 250 stations are stored by one batch in one object."""
    bodies = [
        envelope(payload(f"station-{n % 250}", sequence=n, message_id=f"m{n}"), f"station-{n % 250}")
        for n in range(1000)
    ]
    assert cloud.failed(sqs_event(*bodies)) == set()
    assert len(cloud.archive()) == 1
    assert sorted(cloud.archived_ids()) == sorted(f"m{n}" for n in range(1000))
    items: list[Any] = cloud.dynamodb.scan(TableName=cloud.name)["Items"]
    assert {item["message_id"]["S"] for item in items} == {f"m{n}" for n in range(750, 1000)}
