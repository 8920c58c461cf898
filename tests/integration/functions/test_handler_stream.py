"""A stream's batch: the same stores as a queue's, and an answer that says from which record on to deliver again."""

from typing import Any

import pytest

from telemetry_handler import invocation
from tests.integration.functions import faults
from tests.integration.functions.conftest import Cloud, payload_of
from tests.unit.functions.samples import envelope, payload, stream_event

PUT, UPDATE, SEND = "s3.PutObject", "dynamodb.UpdateItem", "sqs.SendMessageBatch"


@pytest.fixture
def event() -> dict[str, Any]:
    """Make a batch of six records, 1 to 6: two stations with two messages each, and a bad record of each."""
    return stream_event(
        envelope(payload("one", sequence=1, message_id="one-1"), "one"),
        envelope(b"bad", "one"),
        envelope(payload("two", sequence=1, message_id="two-1"), "two"),
        envelope(payload("one", sequence=2, message_id="one-2"), "one"),
        envelope(b"worse", "two"),
        envelope(payload("two", sequence=2, message_id="two-2"), "two"),
    )


def all_safe(cloud: Cloud) -> None:
    assert set(cloud.archived_ids()) == {"one-1", "one-2", "two-1", "two-2"}
    for station in ("one", "two"):
        item = cloud.item(station)
        assert item is not None
        assert item["message_id"] == f"{station}-2"


def answer(cloud: Cloud, event: dict[str, Any]) -> list[str]:
    """Return the sequence numbers that the answer has, in its order."""
    return [each["itemIdentifier"] for each in cloud.invoke(event)["batchItemFailures"]]


def letters(cloud: Cloud) -> list[bytes]:
    return sorted(map(payload_of, cloud.take_dead_letters()))


def test_a_batch_of_a_stream_is_stored_and_its_bad_records_are_dead_letters(
    cloud: Cloud, event: dict[str, Any]
) -> None:
    assert answer(cloud, event) == []
    all_safe(cloud)
    assert letters(cloud) == [b"bad", b"worse"]
    assert (cloud.outcomes[-1].shard, cloud.outcomes[-1].through) == ("shardId-000000000006", "6")


def test_the_answer_names_the_first_record_that_is_not_safe_and_each_letter_is_sent_once(
    cloud: Cloud, event: dict[str, Any]
) -> None:
    """Lambda delivers again from that record on, what was refused behind it, too."""
    with faults.hooked(cloud.dynamodb, f"before-call.{UPDATE}", faults.unreachable('"two"')):
        for _ in range(3):
            assert answer(cloud, event) == ["3"]
            event = {
                "Records": [each for each in event["Records"] if each["kinesis"]["sequenceNumber"] >= "3"]
            }
        assert [each.through for each in cloud.outcomes] == ["2", None, None]
        assert letters(cloud) == [b"bad"]
    assert answer(cloud, event) == []
    all_safe(cloud)
    assert letters(cloud) == [b"worse"]


def test_without_the_archive_nothing_moves_on(cloud: Cloud, event: dict[str, Any]) -> None:
    with faults.hooked(cloud.s3, f"before-call.{PUT}", faults.unreachable()):
        assert answer(cloud, event) == ["1"]
    assert letters(cloud) == []
    assert answer(cloud, event) == []
    all_safe(cloud)
    assert letters(cloud) == [b"bad", b"worse"]


def test_a_letter_that_the_queue_does_not_take_holds_the_stream(cloud: Cloud, event: dict[str, Any]) -> None:
    """Or the refused message would be nowhere."""
    with faults.hooked(cloud.sqs, f"before-call.{SEND}", faults.unreachable()):
        assert answer(cloud, event) == ["2"]
    assert answer(cloud, {"Records": event["Records"][1:]}) == []
    all_safe(cloud)
    assert letters(cloud) == [b"bad", b"worse"]


def test_what_is_no_record_of_a_stream_is_an_error_and_no_lost_batch(cloud: Cloud) -> None:
    with pytest.raises(invocation.UnknownEventError, match=r"Records\[0\] is not a Kinesis record"):
        cloud.invoke({"Records": [{"kinesis": {"data": "e30="}}]})
