"""Event source mappings on ministack make batches as AWS's do (bridge/ministack/batches.py)."""

import io
import json
import uuid
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from testbed.host import processes
from tests.integration.conftest import REGION, AwsEmulator

_HANDLER = """
import boto3, json, uuid
s3 = boto3.client("s3")
def handler(event, context):
    sizes = [len(record["body"]) for record in event["Records"]]
    s3.put_object(Bucket="%s", Key="%s/" + uuid.uuid4().hex, Body=json.dumps(sizes).encode())
"""

Mapped = Callable[[int, int], tuple[str, Callable[[], list[list[int]]]]]


@pytest.fixture
def mapped(aws_emulator: AwsEmulator) -> Mapped:
    """Make a queue whose mapping has a batch size and a window, and a look at the batches that its function got."""
    s3, sqs, lambda_ = (aws_emulator.client(name) for name in ("s3", "sqs", "lambda"))
    bucket = f"batches-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})

    def make(batch_size: int, window: int) -> tuple[str, Callable[[], list[list[int]]]]:
        name = f"batches-{uuid.uuid4().hex[:8]}"
        queue = sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as archive:
            archive.writestr("counting.py", _HANDLER % (bucket, name))
        lambda_.create_function(
            FunctionName=name,
            Runtime="python3.12",
            Handler="counting.handler",
            Timeout=30,
            Role="arn:aws:iam::000000000000:role/batches",
            Code={"ZipFile": package.getvalue()},
        )
        lambda_.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=2)
        lambda_.create_event_source_mapping(
            EventSourceArn=arn, FunctionName=name, BatchSize=batch_size, MaximumBatchingWindowInSeconds=window
        )

        def batches() -> list[list[int]]:
            found = s3.list_objects_v2(Bucket=bucket, Prefix=f"{name}/").get("Contents", [])
            return [json.load(s3.get_object(Bucket=bucket, Key=each["Key"])["Body"]) for each in found]

        return queue, batches

    return make


def _send(sqs: Any, queue: str, count: int, size: int = 10, at_once: int = 10) -> None:
    for start in range(0, count, at_once):
        entries = [
            {"Id": str(number), "MessageBody": "x" * size}
            for number in range(start, min(count, start + at_once))
        ]
        assert not sqs.send_message_batch(QueueUrl=queue, Entries=entries).get("Failed")


def _wait_for(batches: Callable[[], list[list[int]]], messages: int) -> list[list[int]]:
    processes.wait_until(
        lambda: sum(map(len, batches())) >= messages, what=f"{messages} messages in batches", seconds=60
    )
    return batches()


def test_a_batch_fills_until_its_window_is_over(aws_emulator: AwsEmulator, mapped: Mapped) -> None:
    queue, batches = mapped(100, 3)
    _send(aws_emulator.client("sqs"), queue, 45)
    assert [len(batch) for batch in _wait_for(batches, 45)] == [45]


def test_a_full_batch_does_not_wait(aws_emulator: AwsEmulator, mapped: Mapped) -> None:
    # With a window beyond the test's patience only full batches can come.
    queue, batches = mapped(20, 300)
    _send(aws_emulator.client("sqs"), queue, 50)
    assert [len(batch) for batch in _wait_for(batches, 40)] == [20, 20]


def test_a_batch_ends_at_six_megabytes(aws_emulator: AwsEmulator, mapped: Mapped) -> None:
    queue, batches = mapped(100, 3)
    _send(aws_emulator.client("sqs"), queue, 30, size=250_000, at_once=1)
    found = _wait_for(batches, 30)
    assert len(found) > 1
    assert max(sum(batch) for batch in found) <= 6 * 2**20


def test_without_a_window_messages_go_at_once(aws_emulator: AwsEmulator, mapped: Mapped) -> None:
    queue, batches = mapped(10, 0)
    _send(aws_emulator.client("sqs"), queue, 25)
    assert max(len(batch) for batch in _wait_for(batches, 25)) <= 10
