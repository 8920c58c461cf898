"""A record is reported as failed if and only if it is not yet safe, whatever fails."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from telemetry_handler import batch, clients
from telemetry_handler.dynamodb import DynamoDB
from telemetry_handler.stations import Move, Stations
from telemetry_handler.telemetry import Telemetry
from tests.integration.conftest import REGION, AwsEmulator
from tests.integration.functions import faults
from tests.integration.functions.conftest import Cloud, payload_of
from tests.unit.functions.samples import envelope, payload, presence, sqs_record

PUT = "s3.PutObject"
UPDATE = "dynamodb.UpdateItem"
TOGETHER = "dynamodb.BatchExecuteStatement"
SEND = "sqs.SendMessageBatch"


@pytest.fixture
def event(cloud: Cloud) -> dict[str, Any]:
    """Make a batch: two stations with two messages each, the connection of a third, and two bad records."""
    # It has sent telemetry before: what has not is no station, and its connection leaves nothing.
    known = {"station_id": {"S": "three"}, "timestamp": {"S": "2025-11-23T12:00:00.000000Z"}}
    cloud.dynamodb.put_item(TableName=cloud.name, Item=known)
    return {
        "Records": [
            sqs_record(envelope(payload("one", sequence=1, message_id="one-1"), "one"), "one-1"),
            sqs_record(envelope(b"bad", "one"), "bad-1"),
            sqs_record(envelope(payload("two", sequence=1, message_id="two-1"), "two"), "two-1"),
            sqs_record(envelope(payload("one", sequence=2, message_id="one-2"), "one"), "one-2"),
            sqs_record(presence("three", "connected"), "presence"),
            sqs_record(envelope(b"worse", "two"), "bad-2"),
            sqs_record(envelope(payload("two", sequence=2, message_id="two-2"), "two"), "two-2"),
        ]
    }


def shown(cloud: Cloud, station: str) -> str | None:
    """Read the id of the message that the table shows."""
    item = cloud.item(station)
    return None if item is None else item.get("message_id")


def all_safe(cloud: Cloud) -> None:
    """Assert that everything of the batch is where it belongs; a dead letter may have come twice."""
    assert set(cloud.archived_ids()) == {"one-1", "one-2", "two-1", "two-2"}
    assert (shown(cloud, "one"), shown(cloud, "two")) == ("one-2", "two-2")
    connection = cloud.item("three")
    assert connection is not None
    assert (connection["connection"], connection["connection_version"]) == ("ONLINE", 0)


def retry(cloud: Cloud, event: dict[str, Any], failed: set[str]) -> None:
    """Deliver again what was reported as failed, as the queue does; now it must all work."""
    again = [record for record in event["Records"] if record["messageId"] in failed]
    assert cloud.failed({"Records": again}) == set()
    all_safe(cloud)


def test_without_the_archive_no_good_record_is_safe(cloud: Cloud, event: dict[str, Any]) -> None:
    """S3 unreachable: all telemetry fails and the table does not run ahead; the others are done."""
    with faults.hooked(cloud.s3, f"before-call.{PUT}", faults.unreachable()):
        failed = cloud.failed(event)
    assert failed == {"one-1", "one-2", "two-1", "two-2"}
    assert shown(cloud, "one") is None
    assert sorted(map(payload_of, cloud.take_dead_letters())) == [b"bad", b"worse"]
    retry(cloud, event, failed)


def test_a_lost_answer_of_the_archive_does_no_harm(cloud: Cloud, event: dict[str, Any]) -> None:
    """S3 stored it and the answer was lost: the retry overwrites the object with itself."""
    before, after = faults.answer_lost()
    with (
        faults.hooked(cloud.s3, f"before-call.{PUT}", before),
        faults.hooked(cloud.s3, f"after-call.{PUT}", after),
    ):
        failed = cloud.failed(event)
    assert failed == {"one-1", "one-2", "two-1", "two-2"}
    retry(cloud, event, failed)
    assert len(cloud.archive()) == 1


def test_only_the_station_that_was_not_written_fails(cloud: Cloud, event: dict[str, Any]) -> None:
    """DynamoDB unreachable for one station: its records fail, its neighbours' do not."""
    with faults.hooked(cloud.dynamodb, f"before-call.{UPDATE}", faults.unreachable('"two"')):
        failed = cloud.failed(event)
    assert failed == {"two-1", "two-2"}
    assert shown(cloud, "one") == "one-2"
    assert set(cloud.archived_ids()) == {"one-1", "one-2", "two-1", "two-2"}
    retry(cloud, event, failed)


def test_a_lost_answer_of_the_table_does_no_harm(cloud: Cloud, event: dict[str, Any]) -> None:
    """DynamoDB wrote and the answer was lost: the retry finds itself there already."""
    before, after = faults.answer_lost()
    with (
        faults.hooked(cloud.dynamodb, f"before-call.{UPDATE}", before),
        faults.hooked(cloud.dynamodb, f"after-call.{UPDATE}", after),
    ):
        failed = cloud.failed(event)
    assert failed == {"one-1", "one-2", "two-1", "two-2", "presence"}
    retry(cloud, event, failed)


@pytest.fixture
def known(cloud: Cloud) -> dict[str, Any]:
    """Have both stations known, so that their states are written together; return the batch that did it."""
    bodies = (
        envelope(payload(each, timestamp="2025-11-23T11:00:00Z", message_id=f"{each}-0"), each)
        for each in ("one", "two")
    )
    batch = {"Records": [sqs_record(body, body) for body in bodies]}
    assert cloud.failed(batch) == set()
    for key in cloud.archive():
        cloud.s3.delete_object(Bucket=cloud.name, Key=key)
    return batch


def test_known_stations_are_written_by_one_call(
    cloud: Cloud, event: dict[str, Any], known: dict[str, Any]
) -> None:
    """And it takes no other, but for the connection; what is older leaves them as they are, by one call, too."""
    calls: list[str] = []

    def note(model: Any, **_: Any) -> None:
        calls.append(model.name)

    with faults.hooked(cloud.dynamodb, "before-call.dynamodb", note):
        assert cloud.failed(event) == set()
        all_safe(cloud)
        first = [each for each in calls if each in TOGETHER or each in UPDATE]
        calls.clear()
        assert cloud.failed(known) == set()
    assert first == ["BatchExecuteStatement", "UpdateItem"]
    assert [each for each in calls if each in TOGETHER or each in UPDATE] == ["BatchExecuteStatement"]
    assert (cloud.outcomes[-1].moved, cloud.outcomes[-1].stale) == (0, 2)
    assert (shown(cloud, "one"), shown(cloud, "two")) == ("one-2", "two-2")


@pytest.mark.usefixtures("known")
def test_states_whose_call_does_not_arrive_are_delivered_again(cloud: Cloud, event: dict[str, Any]) -> None:
    """DynamoDB unreachable for many stations at once: their records fail, the connection's does not."""
    with faults.hooked(cloud.dynamodb, f"before-call.{TOGETHER}", faults.unreachable()):
        failed = cloud.failed(event)
    assert failed == {"one-1", "one-2", "two-1", "two-2"}
    assert (shown(cloud, "one"), shown(cloud, "two")) == ("one-0", "two-0")
    retry(cloud, event, failed)


@pytest.mark.usefixtures("known")
def test_a_lost_answer_for_many_stations_does_no_harm(cloud: Cloud, event: dict[str, Any]) -> None:
    before, after = faults.answer_lost()
    with (
        faults.hooked(cloud.dynamodb, f"before-call.{TOGETHER}", before),
        faults.hooked(cloud.dynamodb, f"after-call.{TOGETHER}", after),
    ):
        failed = cloud.failed(event)
    assert failed == {"one-1", "one-2", "two-1", "two-2"}
    assert (shown(cloud, "one"), shown(cloud, "two")) == ("one-2", "two-2")
    retry(cloud, event, failed)


@pytest.mark.usefixtures("known")
def test_a_call_that_one_statement_spoils_is_made_again_station_by_station(
    cloud: Cloud, event: dict[str, Any]
) -> None:
    """What DynamoDB takes for no call at all must not take a station's neighbours."""

    def spoil(params: dict[str, Any], **_: Any) -> None:
        params["body"] = params["body"].replace(b'{"S": "two"}', b'{"S": 2}')

    with faults.hooked(cloud.dynamodb, f"before-call.{TOGETHER}", spoil):
        assert cloud.failed(event) == set()
    all_safe(cloud)


def test_a_bad_record_is_kept_while_the_dead_letter_queue_is_away(
    cloud: Cloud, event: dict[str, Any]
) -> None:
    """SQS unreachable: the bad records fail, and only those."""
    with faults.hooked(cloud.sqs, f"before-call.{SEND}", faults.unreachable()):
        assert cloud.failed(event) == {"bad-1", "bad-2"}
    all_safe(cloud)
    retry(cloud, event, {"bad-1", "bad-2"})
    assert sorted(map(payload_of, cloud.take_dead_letters())) == [b"bad", b"worse"]


def test_a_partly_refused_call_to_the_dead_letter_queue(cloud: Cloud, event: dict[str, Any]) -> None:
    """The queue takes one entry of a call and refuses the other: only that one fails."""
    with faults.hooked(cloud.sqs, f"provide-client-params.{SEND}", faults.entry_refused("bad-2")):
        assert cloud.failed(event) == {"bad-2"}
    all_safe(cloud)
    assert [payload_of(letter) for letter in cloud.take_dead_letters()] == [b"bad"]


class Context:
    """Lambda's context, with a second of reserve and a little time."""

    def __init__(self, milliseconds: int) -> None:
        self._milliseconds = milliseconds

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds that are left, as Lambda does; here they do not run down."""
        return self._milliseconds


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    """Provide what calls wait for; it is set at the end, so that no thread stays behind."""
    released = threading.Event()
    yield released
    released.set()


def test_what_hangs_is_reported_in_time(cloud: Cloud, event: dict[str, Any], stuck: threading.Event) -> None:
    """One station's write hangs: the answer comes all the same, with its records as failed."""

    def hang(params: dict[str, Any], **_: Any) -> None:
        if b'"two"' in params["body"]:
            stuck.wait()

    with faults.hooked(cloud.dynamodb, f"before-call.{UPDATE}", hang):
        failed = cloud.failed(event, Context(1_500))
        assert failed == {"two-1", "two-2"}
        assert shown(cloud, "one") == "one-2"
        stuck.set()
    retry(cloud, event, failed)


def test_a_hanging_archive_is_reported_in_time(
    cloud: Cloud, event: dict[str, Any], stuck: threading.Event
) -> None:
    """S3 hangs: all good records are reported, the table is not touched."""
    with faults.hooked(cloud.s3, f"before-call.{PUT}", lambda **_: stuck.wait() and None):
        failed = cloud.failed(event, Context(1_500))
        assert failed >= {"one-1", "one-2", "two-1", "two-2"}
        assert shown(cloud, "one") is None
        stuck.set()
    retry(cloud, event, failed | {"presence"})


def test_without_time_nothing_is_begun(cloud: Cloud, event: dict[str, Any]) -> None:
    """With less time left than the answer needs, everything is reported as failed, and delivered again."""
    failed = cloud.failed(event, Context(900))
    assert failed == {record["messageId"] for record in event["Records"]}
    assert cloud.archive() == {}
    retry(cloud, event, failed)


def test_a_bug_that_one_record_brings_out_does_not_take_its_neighbours(
    cloud: Cloud, event: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever we got wrong, the queue keeps the one record and the others are stored."""
    packed = batch.archive.line

    def line(message: Any, telemetry: Telemetry) -> Any:
        if telemetry.message_id == "two-1":
            raise ZeroDivisionError
        return packed(message, telemetry)

    monkeypatch.setattr(batch.archive, "line", line)
    assert cloud.failed(event) == {"two-1"}
    assert sorted(cloud.archived_ids()) == ["one-1", "one-2", "two-2"]


@pytest.mark.parametrize("status", [400, 500, 503])
def test_a_throttled_call_is_tried_again(
    cloud: Cloud, aws_emulator: AwsEmulator, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """The functions' own clients repeat what AWS refuses for the moment."""
    _as_a_function(monkeypatch, aws_emulator)
    client = clients.make_client("dynamodb")
    answers = [status]

    def throttle(request: Any, **_: Any) -> AWSResponse | None:
        if not answers:
            return None
        body = b'{"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException"}'
        headers = {"content-type": "application/x-amz-json-1.0"}
        return _Canned(request.url, answers.pop(), headers, body)

    accepted = Telemetry("one", "2025-11-23T12:00:00.000000Z", 1, "m", {"battery_available": 1})
    with faults.hooked(client, f"before-send.{UPDATE}", throttle):
        assert Stations(client, cloud.name, REGION).move_forward(accepted, "now").moved
    assert shown(cloud, "one") == "m"
    client.close()


def test_the_functions_own_writes_move_the_table_as_botocores_do(
    cloud: Cloud, aws_emulator: AwsEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the environment that a function has: forward, not back, and told what was there before."""
    _as_a_function(monkeypatch, aws_emulator)
    client = clients.make_dynamodb()
    assert isinstance(client, DynamoDB)
    stations = Stations(client, cloud.name, REGION)
    first, second = (
        Telemetry("one", f"2025-11-23T12:00:0{n}.000000Z", n, f"m-{n}", {"battery_available": n})
        for n in (1, 2)
    )
    assert stations.move_forward(first, "now") == Move(moved=True)
    assert stations.move_forward(second, "now") == Move(moved=True, before=first.order)
    assert stations.move_forward(first, "now") == Move(moved=False)
    assert shown(cloud, "one") == "m-2"
    client.close()


def test_through_a_proxy_botocores_client_goes(
    aws_emulator: AwsEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    _as_a_function(monkeypatch, aws_emulator)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    client = clients.make_dynamodb()
    assert not isinstance(client, DynamoDB)


def _as_a_function(monkeypatch: pytest.MonkeyPatch, aws_emulator: AwsEmulator) -> None:
    """Have the environment that a function has."""
    for name, value in {
        "AWS_ENDPOINT_URL": aws_emulator.url,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }.items():
        monkeypatch.setenv(name, value)
    clients._session.cache_clear()


class _Canned(AWSResponse):
    """An answer with a given body."""

    def __init__(self, url: str, status: int, headers: dict[str, str], body: bytes) -> None:
        super().__init__(url, status, headers, None)
        self._content = body
