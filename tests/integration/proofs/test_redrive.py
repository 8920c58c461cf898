"""A redrive of a long dead-letter queue: page by page, in bounded memory, killed in the middle and run again.

`REDRIVE_LETTERS=500000` is the length that an hour's outage of a network with 200 messages/s could leave; the default
is short enough for every run of the suite.
"""

import base64
import concurrent.futures
import gzip
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from telemetry_handler.archive import Archive
from telemetry_handler.batch import Stores
from telemetry_handler.dead_letters import DeadLetters
from telemetry_handler.history import History, Window
from telemetry_handler.invocation import answer
from telemetry_handler.stations import Stations
from testbed.host import processes
from testbed.paths import REPOSITORY
from testbed.pipeline import dead_letters
from testbed.pipeline.quiet import queue_depth
from testbed.proofs import redrive
from tests.integration.conftest import REGION, AwsEmulator

LETTERS = int(os.environ.get("REDRIVE_LETTERS", "2000"))
STATIONS = 50
BAD = 100
BEGUN = datetime(2026, 11, 1, tzinfo=UTC)

# A letter in its hands when it is killed is hidden for so long, and not for two minutes, which the test would wait.
_HIDDEN_SECONDS = 5
# With a `killed_at`, it dies by SIGKILL when so many calls have deleted, between sending a batch and deleting it.
_MOVE = """
import boto3, itertools, os, signal, sys
from testbed.pipeline import dead_letters
from testbed.proofs import redrive
url, source, target, hidden, killed_at = sys.argv[1:]
dead_letters._HIDDEN_SECONDS = int(hidden) or dead_letters._HIDDEN_SECONDS
sqs = boto3.Session("test", "test", region_name="eu-central-1").client("sqs", endpoint_url=url)
calls = itertools.count(1)
def counted(**_):
    if next(calls) == int(killed_at):
        os.kill(os.getpid(), signal.SIGKILL)
sqs.meta.events.register("before-call.sqs.DeleteMessageBatch", counted)
redrive.move(sqs, source, target, redrive.REPAIRABLE, print)
# What wait4 tells is at least what the process that started this one had.
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


@pytest.fixture
def sqs(aws_emulator: AwsEmulator) -> Any:
    return aws_emulator.client("sqs", read_timeout=120)


@pytest.fixture
def queues(sqs: Any) -> Iterator[tuple[str, str]]:
    """Make a dead-letter queue and a telemetry queue."""
    name = f"redrive-{uuid.uuid4().hex[:8]}"
    made = [sqs.create_queue(QueueName=f"{name}-{part}")["QueueUrl"] for part in ("dlq", "live")]
    yield made[0], made[1]
    for url in made:
        sqs.delete_queue(QueueUrl=url)


def body(number: int) -> str:
    """Build the envelope of one station's message; numbers go up with time."""
    station = f"station-{number % STATIONS:03}"
    telemetry = {
        "station_id": station,
        "battery_available": number % 20,
        "timestamp": (BEGUN + timedelta(milliseconds=5 * number)).isoformat(),
        "sequence": number,
        "message_id": f"{station}-{number}",
    }
    return json.dumps(
        {
            "payload_base64": base64.b64encode(json.dumps(telemetry).encode()).decode(),
            "topic": f"ev-swap/stations/{station}/telemetry",
            "client_id": station,
            "received_at": int(BEGUN.timestamp() * 1000) + 5 * number,
        }
    )


def fill(sqs: Any, url: str, bodies: list[str]) -> None:
    def send(start: int) -> None:
        entries = [{"Id": str(i), "MessageBody": one} for i, one in enumerate(bodies[start : start + 10])]
        assert len(sqs.send_message_batch(QueueUrl=url, Entries=entries)["Successful"]) == len(entries)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(send, range(0, len(bodies), 10)))


def drain(sqs: Any, url: str) -> Iterator[list[dict[str, Any]]]:
    """Take everything out of a queue, a thousand messages at a time."""
    batch: list[dict[str, Any]] = []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=600).get(
        "Messages", []
    ):
        entries = [{"Id": str(i), "ReceiptHandle": one["ReceiptHandle"]} for i, one in enumerate(messages)]
        sqs.delete_message_batch(QueueUrl=url, Entries=entries)
        batch += messages
        if len(batch) >= 1000:
            yield batch
            batch = []
    if batch:
        yield batch


@pytest.mark.timeout(14_400)
def test_a_redrive_that_is_killed_in_the_middle_and_run_again_loses_nothing_and_changes_the_state_once(
    aws_emulator: AwsEmulator, sqs: Any, queues: tuple[str, str]
) -> None:
    source, target = queues
    fill(sqs, source, [body(number) for number in range(LETTERS)])
    bad = [json.dumps({"reason": {"code": "not_json"}, "payload_base64": "e30=", "n": n}) for n in range(BAD)]
    fill(sqs, source, bad)

    def run(*, kill: bool) -> int:
        """Redrive in a process of its own; kill it when a third is done. Returns its memory at the most, in kB."""
        hidden, killed_at = (_HIDDEN_SECONDS, LETTERS // 3 // 10) if kill else (0, 0)
        command = [sys.executable, "-c", _MOVE, aws_emulator.url, source, target, str(hidden), str(killed_at)]
        child = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=False)
        lines = child.stdout.splitlines()
        assert child.returncode == (-signal.SIGKILL if kill else 0)
        print(lines[-2:])
        return 0 if kill else int(lines[-1])

    run(kill=True)
    # What the killed one had in its hands comes back by itself.
    processes.wait_until(lambda: in_hands(sqs, source) == 0, what="hidden letters", seconds=60)
    memory = run(kill=False)
    print(f"{LETTERS} letters, {memory // 1024} MiB at the most")
    assert memory < 250_000
    assert {letter.reason for letter in dead_letters.each(sqs, source)} == {"not_json"}
    assert sum(1 for _ in dead_letters.each(sqs, source)) == BAD

    cloud = Handler(aws_emulator)
    delivered = 0
    for batch in drain(sqs, target):
        delivered += len(batch)
        cloud.handle(batch)
    ids = list(cloud.archived_ids())
    print(f"{delivered} deliveries of {LETTERS} messages, {len(ids)} lines in the archive")
    assert len(set(ids)) == LETTERS
    # The state moved to each station's newest message, whatever came twice.
    newest = {f"station-{number % STATIONS:03}": number for number in range(LETTERS)}
    assert cloud.sequences() == newest


def in_hands(sqs: Any, url: str) -> int:
    name = "ApproximateNumberOfMessagesNotVisible"
    return int(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name])


class Handler:
    """The handler on tables and a bucket of its own."""

    def __init__(self, aws_emulator: AwsEmulator) -> None:
        self.name = f"redriven-{uuid.uuid4().hex[:8]}"
        self.dynamodb, self.s3 = aws_emulator.client("dynamodb"), aws_emulator.client("s3")
        self.s3.create_bucket(
            Bucket=self.name, CreateBucketConfiguration={"LocationConstraint": self.s3.meta.region_name}
        )
        for table, sort in ((self.name, None), (f"{self.name}-history", "interval")):
            keys = [("station_id", "S", "HASH"), *([(sort, "N", "RANGE")] if sort else [])]
            self.dynamodb.create_table(
                TableName=table,
                KeySchema=[{"AttributeName": name, "KeyType": kind} for name, _, kind in keys],
                AttributeDefinitions=[
                    {"AttributeName": name, "AttributeType": type_} for name, type_, _ in keys
                ],
                BillingMode="PAY_PER_REQUEST",
            )
        self.stores = Stores(
            Archive(self.s3, self.name),
            Stations(self.dynamodb, self.name, REGION),
            History(self.dynamodb, f"{self.name}-history", Window(60, 24)),
            lambda: DeadLetters(None, ""),  # type: ignore[arg-type]  # nothing is refused here
            concurrent.futures.ThreadPoolExecutor(8),
        )

    def handle(self, messages: list[dict[str, Any]]) -> None:
        """Have the handler take a batch; it must store all of it."""
        records = [{"body": one["Body"], "messageId": one["MessageId"]} for one in messages]
        assert answer({"Records": records}, None, self.stores, lambda _: None) == {"batchItemFailures": []}

    def archived_ids(self) -> Iterator[str]:
        """List the message id of each line."""
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.name):
            for entry in page.get("Contents", []):
                text = gzip.decompress(self.s3.get_object(Bucket=self.name, Key=entry["Key"])["Body"].read())
                yield from (json.loads(line)["message_id"] for line in text.splitlines())

    def sequences(self) -> dict[str, int]:
        """Read the sequence that the table shows, by station."""
        items = self.dynamodb.scan(TableName=self.name)["Items"]
        return {item["station_id"]["S"]: int(item["sequence"]["N"]) for item in items}


def test_letters_that_stay_are_seen_again_at_once_and_each_is_counted_once(
    sqs: Any, queues: tuple[str, str]
) -> None:
    source, target = queues
    fill(sqs, source, [json.dumps({"reason": {"code": "not_json"}, "n": n}) for n in range(35)])
    for _ in range(2):
        report = redrive.move(sqs, source, target, redrive.REPAIRABLE, lambda _: None)
        assert report.found == {"not_json": 35}
        assert report.sent_back == 0


def test_a_page_of_large_letters_is_sent_in_parts(sqs: Any, queues: tuple[str, str]) -> None:
    """Ten letters may be more than one call takes (SQS developer guide, "Message quotas")."""
    source, target = queues
    for number in range(10):
        sqs.send_message(QueueUrl=source, MessageBody=json.dumps({"n": number, "text": "x" * 120_000}))
    report = redrive.move(sqs, source, target, {"max_receives_exceeded"}, lambda _: None)
    assert report.sent_back == 10
    assert queue_depth(sqs, source) == 0
    assert queue_depth(sqs, target) == 10


def test_progress_is_told(sqs: Any, queues: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redrive, "_PROGRESS_SECONDS", 0.0)
    source, target = queues
    fill(sqs, source, [body(number) for number in range(300)])
    said: list[str] = []
    redrive.move(sqs, source, target, redrive.REPAIRABLE, said.append)
    assert any("of about 300 read" in line for line in said)


def test_a_letter_that_stands_for_records_of_a_stream_has_those_sent_in_its_place(
    aws_emulator: AwsEmulator, sqs: Any, queues: tuple[str, str]
) -> None:
    """And one whose records the stream no longer has stays, and says so."""
    source, target = queues
    kinesis, name = aws_emulator.client("kinesis"), f"redrive-{uuid.uuid4().hex[:8]}"
    kinesis.create_stream(StreamName=name, ShardCount=1)
    arn = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamARN"]
    records = [{"Data": body(number).encode(), "PartitionKey": "one"} for number in range(4)]
    put = kinesis.put_records(StreamName=name, Records=records)["Records"]
    info = {
        "streamArn": arn,
        "shardId": put[0]["ShardId"],
        "startSequenceNumber": put[1]["SequenceNumber"],
        "endSequenceNumber": put[2]["SequenceNumber"],
        "batchSize": 2,
    }
    fill(sqs, source, [json.dumps({"KinesisBatchInfo": info | {"batchSize": size}}) for size in (2, 3)])
    said: list[str] = []
    report = redrive.move(sqs, source, target, redrive.REPAIRABLE, said.append, kinesis)
    assert (report.found, report.sent_back) == ({"stream_batch_failed": 2}, 1)
    assert [one["Body"] for page in drain(sqs, target) for one in page] == [body(1), body(2)]
    [kept] = dead_letters.read(sqs, source)
    assert kept.given_up is not None
    assert kept.given_up.records == 3
    assert [line for line in said if line.startswith("1 of 3 records of a letter are no longer")]
    kinesis.delete_stream(StreamName=name)
