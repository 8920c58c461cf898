"""Asynchronous invocations on ministack keep what AWS's keep (bridge/ministack/asynchronous.py).

AWS Lambda developer guide: "How Lambda handles errors and retries with asynchronous invocation", "Adding a dead-letter
queue", "Capturing records of Lambda asynchronous invocations".
"""

import io
import json
import sqlite3
import uuid
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from testbed.engines.base import Place, Ports
from testbed.engines.embedded import start_ministack
from testbed.host import ports, processes
from tests.integration.conftest import REGION, AwsEmulator

# Each event says what becomes of it; what was executed is an item of a table.
_HANDLER = """
import boto3
table = boto3.resource("dynamodb").Table("%s")
def handler(event, context):
    if event.get("fail"):
        table.update_item(Key={"id": event["id"]}, UpdateExpression="ADD tries :one",
                          ExpressionAttributeValues={":one": 1})
        raise RuntimeError("as it was told")
    table.put_item(Item={"id": event["id"]})
    return {"stored": event["id"]}
"""

Make = Callable[..., str]


def _table(emulator: AwsEmulator, name: str = "") -> str:
    name = name or f"asynchronous-{uuid.uuid4().hex[:8]}"
    emulator.client("dynamodb").create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )
    return name


def _function(emulator: AwsEmulator, name: str, table: str, **options: Any) -> None:
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("stores.py", _HANDLER % table)
    emulator.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.12",
        Handler="stores.handler",
        Timeout=30,
        Role="arn:aws:iam::000000000000:role/asynchronous",
        Code={"ZipFile": package.getvalue()},
        **options,
    )


@pytest.fixture
def table(aws_emulator: AwsEmulator) -> str:
    """Make a table for what functions did."""
    return _table(aws_emulator)


@pytest.fixture
def make(aws_emulator: AwsEmulator, table: str) -> Make:
    """Make a function, with options of CreateFunction."""

    def function(reserved: int | None = None, **options: Any) -> str:
        name = f"asynchronous-{uuid.uuid4().hex[:8]}"
        _function(aws_emulator, name, table, **options)
        if reserved is not None:
            aws_emulator.client("lambda").put_function_concurrency(
                FunctionName=name, ReservedConcurrentExecutions=reserved
            )
        return name

    return function


def _queue(aws_emulator: AwsEmulator) -> tuple[str, str]:
    sqs = aws_emulator.client("sqs")
    url = sqs.create_queue(QueueName=f"asynchronous-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def _invoke(aws_emulator: AwsEmulator, function: str, **event: Any) -> None:
    answer = aws_emulator.client("lambda").invoke(
        FunctionName=function, InvocationType="Event", Payload=json.dumps(event)
    )
    assert answer["StatusCode"] == 202


def _stored(aws_emulator: AwsEmulator, table: str) -> int:
    return int(aws_emulator.client("dynamodb").scan(TableName=table, Select="COUNT")["Count"])


def _letter(aws_emulator: AwsEmulator, url: str) -> Any:
    found: list[Any] = []

    def arrived() -> bool:
        found.extend(
            aws_emulator.client("sqs")
            .receive_message(QueueUrl=url, MessageAttributeNames=["All"], WaitTimeSeconds=1)
            .get("Messages", [])
        )
        return bool(found)

    processes.wait_until(arrived, what="a letter", seconds=60)
    return found[0]


@pytest.mark.parametrize("reserved", [None, 1])
def test_every_event_of_a_burst_is_executed(
    aws_emulator: AwsEmulator, make: Make, table: str, reserved: int | None
) -> None:
    """A throttled call waits; it is no failed attempt."""
    function = make(reserved)
    for number in range(40):
        _invoke(aws_emulator, function, id=str(number))
    processes.wait_until(lambda: _stored(aws_emulator, table) == 40, what="40 items", seconds=60)


def test_a_failing_event_is_tried_three_times_and_then_dead_lettered(
    aws_emulator: AwsEmulator, make: Make, table: str
) -> None:
    url, arn = _queue(aws_emulator)
    _invoke(aws_emulator, make(DeadLetterConfig={"TargetArn": arn}), id="bad", fail=True)
    letter = _letter(aws_emulator, url)
    assert json.loads(letter["Body"]) == {"id": "bad", "fail": True}
    attributes = {name: each["StringValue"] for name, each in letter["MessageAttributes"].items()}
    assert attributes["ErrorCode"] == "200"
    assert attributes["ErrorMessage"] == "as it was told"
    item = aws_emulator.client("dynamodb").get_item(TableName=table, Key={"id": {"S": "bad"}})["Item"]
    assert item["tries"] == {"N": "3"}


def test_a_destination_gets_a_record_of_what_failed(aws_emulator: AwsEmulator, make: Make) -> None:
    url, arn = _queue(aws_emulator)
    function = make()
    aws_emulator.client("lambda").put_function_event_invoke_config(
        FunctionName=function,
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": arn}},
    )
    _invoke(aws_emulator, function, id="bad", fail=True)
    record = json.loads(_letter(aws_emulator, url)["Body"])
    assert record["version"] == "1.0"
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 1
    assert record["requestPayload"] == {"id": "bad", "fail": True}
    assert record["responseContext"]["functionError"] == "Unhandled"
    assert record["responsePayload"]["errorMessage"] == "as it was told"


def test_events_outlive_a_kill_and_an_old_one_is_given_up(tmp_path: Path) -> None:
    """What was answered 202 is executed after a SIGKILL, once its function is there again."""
    place = Place(tmp_path, Ports(aws=ports.choose(None, what="the emulator"), mqtt=0, metrics=0), REGION)
    emulator = AwsEmulator(f"http://127.0.0.1:{place.ports.aws}")
    with processes.stopped_on_failure():
        first = start_ministack(place, place.ports.aws, name="ministack")
        table, name = _table(emulator), f"asynchronous-{uuid.uuid4().hex[:8]}"
        _function(emulator, name, table)
        emulator.client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
        for number in range(5):
            _invoke(emulator, name, id=str(number))
        first.stop(kill=True)
        with (
            closing(sqlite3.connect(place.data("ministack-state") / "asynchronous-invocations.db")) as db,
            db,
        ):
            oldest = db.execute("SELECT min(row) FROM events").fetchone()[0]
            db.execute("UPDATE events SET taken = taken - 7 * 3600 WHERE row = ?", (oldest,))
        second = start_ministack(place, place.ports.aws, name="ministack")
    try:
        table = _table(emulator, table)
        url, arn = _queue(emulator)
        _function(emulator, name, table, DeadLetterConfig={"TargetArn": arn})
        processes.wait_until(lambda: _stored(emulator, table) == 4, what="4 items", seconds=60)
        assert json.loads(_letter(emulator, url)["Body"]) == {"id": "0"}
    finally:
        second.stop()
