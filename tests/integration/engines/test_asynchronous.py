"""What is asynchronous between ministack's services loses nothing, as on AWS (bridge/ministack/asynchronous.py).

AWS Lambda developer guide: "How Lambda handles errors and retries with asynchronous invocation", "Adding a dead-letter
queue", "Capturing records of Lambda asynchronous invocations".
"""

import io
import json
import os
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

# The long form: HOP_MESSAGES=1000.
MESSAGES = int(os.environ.get("HOP_MESSAGES", "40"))
ROLE = "arn:aws:iam::000000000000:role/asynchronous"

# Each event says what becomes of it; what was executed is an item of a table.
_HANDLER = """
import boto3, json
table = boto3.resource("dynamodb").Table("%s")
def handler(event, context):
    for record in event.get("Records", []):
        if "Sns" in record:
            event = json.loads(record["Sns"]["Message"])
        else:
            event = {"id": record["s3"]["object"]["key"]}
    if event.get("fail"):
        table.update_item(Key={"id": event["id"]}, UpdateExpression="ADD tries :one",
                          ExpressionAttributeValues={":one": 1})
        raise RuntimeError("as it was told")
    table.put_item(Item={"id": event["id"]})
    return {"stored": event["id"]}
"""

Make = Callable[..., str]
Send = Callable[[dict[str, Any]], Any]


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
        Role=ROLE,
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


def _bucket(aws_emulator: AwsEmulator) -> str:
    name = f"asynchronous-{uuid.uuid4().hex}"
    aws_emulator.client("s3").create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    return name


def _arn(aws_emulator: AwsEmulator, function: str) -> str:
    found = aws_emulator.client("lambda").get_function(FunctionName=function)
    return str(found["Configuration"]["FunctionArn"])


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


def _from_topic(emulator: AwsEmulator, function_arn: str) -> Send:
    sns = emulator.client("sns")
    topic = sns.create_topic(Name=f"asynchronous-{uuid.uuid4().hex[:8]}")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=function_arn)
    return lambda event: sns.publish(TopicArn=topic, Message=json.dumps(event))


def _from_bucket(emulator: AwsEmulator, function_arn: str) -> Send:
    s3 = emulator.client("s3")
    bucket = _bucket(emulator)
    emulator.client("lambda").add_permission(
        FunctionName=function_arn,
        StatementId="bucket",
        Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com",
        SourceArn=f"arn:aws:s3:::{bucket}",
    )
    s3.put_bucket_notification_configuration(
        Bucket=bucket,
        NotificationConfiguration={
            "LambdaFunctionConfigurations": [
                {"LambdaFunctionArn": function_arn, "Events": ["s3:ObjectCreated:*"]}
            ]
        },
    )
    return lambda event: s3.put_object(Bucket=bucket, Key=event["id"], Body=b"{}")


def _from_event_bus(emulator: AwsEmulator, function_arn: str) -> Send:
    events = emulator.client("events")
    source = f"asynchronous.{uuid.uuid4().hex[:8]}"
    events.put_rule(Name=source, EventPattern=json.dumps({"source": [source]}))
    target = {"Id": "function", "Arn": function_arn, "InputPath": "$.detail"}
    events.put_targets(Rule=source, Targets=[target])
    return lambda event: events.put_events(
        Entries=[{"Source": source, "DetailType": "test", "Detail": json.dumps(event)}]
    )


@pytest.mark.parametrize("source", [_from_topic, _from_bucket, _from_event_bus])
def test_what_another_service_hands_to_a_busy_function_is_executed(
    aws_emulator: AwsEmulator, make: Make, table: str, source: Callable[[AwsEmulator, str], Send]
) -> None:
    """SNS, S3 and EventBridge invoke functions asynchronously, and a throttled call of theirs waits, too."""
    send = source(aws_emulator, _arn(aws_emulator, make(1)))
    for number in range(MESSAGES):
        send({"id": str(number)})
    processes.wait_until(
        lambda: _stored(aws_emulator, table) == MESSAGES, what=f"{MESSAGES} items", seconds=60 + MESSAGES / 5
    )


def test_a_topics_message_that_fails_is_dead_lettered(aws_emulator: AwsEmulator, make: Make) -> None:
    url, arn = _queue(aws_emulator)
    function = make(DeadLetterConfig={"TargetArn": arn})
    _from_topic(aws_emulator, _arn(aws_emulator, function))({"id": "bad", "fail": True})
    [record] = json.loads(_letter(aws_emulator, url)["Body"])["Records"]
    assert json.loads(record["Sns"]["Message"]) == {"id": "bad", "fail": True}


def test_each_message_of_a_topic_and_each_object_of_a_bucket_is_in_the_queue(
    aws_emulator: AwsEmulator,
) -> None:
    sns, sqs, s3 = (aws_emulator.client(service) for service in ("sns", "sqs", "s3"))
    url, arn = _queue(aws_emulator)
    topic = sns.create_topic(Name=f"asynchronous-{uuid.uuid4().hex[:8]}")["TopicArn"]
    bucket = _bucket(aws_emulator)
    statements = [
        {
            "Effect": "Allow",
            "Principal": {"Service": f"{service}.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": source}},
        }
        for service, source in (("sns", topic), ("s3", f"arn:aws:s3:::{bucket}"))
    ]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
    s3.put_bucket_notification_configuration(
        Bucket=bucket,
        NotificationConfiguration={
            "QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]
        },
    )
    for number in range(MESSAGES):
        sns.publish(TopicArn=topic, Message=json.dumps({"id": str(number)}))
        s3.put_object(Bucket=bucket, Key=str(number), Body=b"{}")
    heard: list[Any] = []

    def received() -> bool:
        batch = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        heard.extend(json.loads(message["Body"]) for message in batch)
        return not batch and len(heard) >= 2 * MESSAGES + 1

    processes.wait_until(received, what=f"{2 * MESSAGES} messages", seconds=60 + MESSAGES / 5)
    published = sorted(int(each["id"]) for each in heard if "id" in each)
    put = sorted(int(each["Records"][0]["s3"]["object"]["key"]) for each in heard if "Records" in each)
    assert published == put == list(range(MESSAGES))


def test_each_record_of_a_delivery_stream_is_in_the_bucket(aws_emulator: AwsEmulator) -> None:
    firehose, s3 = aws_emulator.client("firehose"), aws_emulator.client("s3")
    bucket, stream = _bucket(aws_emulator), f"asynchronous-{uuid.uuid4().hex[:8]}"
    firehose.create_delivery_stream(
        DeliveryStreamName=stream,
        ExtendedS3DestinationConfiguration={"RoleARN": ROLE, "BucketARN": f"arn:aws:s3:::{bucket}"},
    )
    for number in range(MESSAGES):
        firehose.put_record(DeliveryStreamName=stream, Record={"Data": f"{number}\n".encode()})

    def delivered() -> list[int]:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        keys = [each["Key"] for page in pages for each in page.get("Contents", [])]
        bodies = [s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys]
        return sorted(int(line) for body in bodies for line in body.splitlines())

    processes.wait_until(
        lambda: delivered() == list(range(MESSAGES)), what=f"{MESSAGES} records", seconds=60 + MESSAGES / 5
    )


def test_events_outlive_a_kill_and_an_old_one_is_given_up(tmp_path: Path) -> None:
    """What was answered 202 is executed after a SIGKILL, once its function is there again."""
    place = Place(tmp_path, Ports(aws=ports.choose(None, what="the emulator"), mqtt=0, metrics=0), REGION)
    emulator = AwsEmulator(f"http://127.0.0.1:{place.ports.aws}")
    with processes.stopped_on_failure():
        first = start_ministack(place, place.ports.aws, name="ministack")
        table, name = _table(emulator), f"asynchronous-{uuid.uuid4().hex[:8]}"
        _function(emulator, name, table)
        emulator.client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
        publish = _from_topic(emulator, _arn(emulator, name))
        for number in range(4):
            _invoke(emulator, name, id=str(number))
        publish({"id": "4"})
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
