"""A cloud of two tables, one bucket and one dead-letter queue for each test, and the handler wired to it."""

import asyncio
import base64
import concurrent.futures
import gzip
import io
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import ClientError

from api_handler import history, stations
from api_handler.commands import Commands
from api_handler.jobs import Jobs as ShownJobs
from api_handler.operations import Operations
from api_handler.realtime import Realtime
from api_handler.routes import Services
from api_handler.settings import Settings
from api_handler.summary import Summary
from bridge.control_plane import ControlPlane
from bridge.data_plane.errors import ServiceError
from bridge.data_plane.jobs import Job, Jobs
from bridge.data_plane.jobs_control import ControlJobs
from bridge.data_plane.shadows import Shadows
from bridge.data_plane.store import Store
from telemetry_handler.archive import Archive
from telemetry_handler.batch import Outcome, Stores
from telemetry_handler.dead_letters import DeadLetters
from telemetry_handler.history import History, Window
from telemetry_handler.invocation import answer
from telemetry_handler.stations import Stations
from tests.integration.conftest import REGION, AwsEmulator
from tests.unit.functions.samples import NOW_MS

NOW = datetime.fromtimestamp(NOW_MS / 1000, UTC)
# A role's, as the function has them on AWS.
CREDENTIALS = ReadOnlyCredentials("AKIDEXAMPLE", "a secret", "a token/of+a role=")
REALTIME = Realtime(
    "wss://endpoint.example/mqtt", "eu-central-1", "ev-swap/stations/+/telemetry", lambda: CREDENTIALS
)
_numbers = itertools.count(1)


class DataPlane:
    """The testbed's device shadow and Jobs without their process, asked as botocore's iot-data and iot would be."""

    def __init__(self) -> None:
        self.published: list[dict[str, Any]] = []
        self._folder = tempfile.TemporaryDirectory()
        # Its store is for one thread.
        self._thread = concurrent.futures.ThreadPoolExecutor(1)
        self.store = self._thread.submit(Store, Path(self._folder.name) / "shadows.sqlite").result()
        self.shadows = self._thread.submit(Shadows, self.store).result()
        self.jobs = self._thread.submit(Jobs, self.store, "arn:aws:iot:eu-central-1:000000000000:").result()
        nobody = ControlPlane("http://127.0.0.1:9", "eu-central-1", CREDENTIALS)
        self._control = ControlJobs(self.store, self.jobs, nobody, lambda: None)

    def get_thing_shadow(self, **parameters: Any) -> dict[str, Any]:
        """See botocore."""
        return self._ask(self.shadows.get_thing_shadow, parameters)

    def update_thing_shadow(self, **parameters: Any) -> dict[str, Any]:
        """See botocore."""
        return self._ask(self.shadows.update_thing_shadow, parameters)

    def create_job(self, job_id: str, things: Iterable[str], **record: Any) -> None:
        """Make a job, whose things need not be in a registry."""
        record = {"targetSelection": "SNAPSHOT", "targets": [], "lastUpdatedAt": 0.0, **record}
        job = Job(job_id, "IN_PROGRESS", time.time(), "{}", record)
        self._thread.submit(self.jobs.create, job, things).result()

    def report_execution(self, job_id: str, thing: str, status: str) -> None:
        """Have a thing report its execution of a job."""
        self._thread.submit(lambda: self.jobs.report(self.jobs.execution(job_id, thing), status)).result()

    def cancel_job(self, job_id: str, **why: str) -> None:
        """Cancel a job."""
        self._thread.submit(lambda: self.jobs.cancel(self.jobs.job(job_id), forced=False, why=why)).result()

    def list_jobs(self, **parameters: Any) -> dict[str, Any]:
        """See botocore."""
        found = self._thread.submit(lambda: asyncio.run(self._control.list_jobs(parameters))).result()
        jobs = [job | {"createdAt": datetime.fromtimestamp(job["createdAt"], UTC)} for job in found["jobs"]]
        return {**found, "jobs": jobs}

    def describe_job(self, **parameters: Any) -> dict[str, Any]:
        """See botocore."""
        job = self._thread.submit(lambda: asyncio.run(self._control.describe_job(parameters))).result()["job"]
        return {"job": job | {"createdAt": datetime.fromtimestamp(job["createdAt"], UTC)}}

    def publish(self, **message: Any) -> None:
        """Keep what was published."""
        self.published.append(message)

    def report(self, station: str, **settings: Any) -> None:
        """Say as a station what it does."""
        document = {"state": {"reported": {"settings": settings}}}
        self.update_thing_shadow(thingName=station, payload=json.dumps(document).encode())

    def _ask(self, operation: Callable[[Any], Coroutine[Any, Any, Any]], parameters: Any) -> dict[str, Any]:
        try:
            answer = self._thread.submit(lambda: asyncio.run(operation(parameters))).result()
        except ServiceError as error:
            said = {"Error": {"Code": error.code, "Message": error.message}}
            raise ClientError(said, operation.__name__) from error
        return {"payload": io.BytesIO(answer["payload"])}

    def close(self) -> None:
        self._thread.submit(self.store.close).result()
        self._thread.shutdown()
        self._folder.cleanup()


@dataclass
class Cloud:
    """The handler's stores on the emulator, with readers for what a test wants to see."""

    dynamodb: Any
    s3: Any
    sqs: Any
    cloudwatch: Any
    pool: concurrent.futures.ThreadPoolExecutor
    iot: DataPlane = field(default_factory=DataPlane)
    name: str = field(default_factory=lambda: f"functions-{next(_numbers)}")
    outcomes: list[Outcome] = field(default_factory=list)
    resolution: int = 60
    hours: int = 24

    def __post_init__(self) -> None:
        self.s3.create_bucket(
            Bucket=self.name, CreateBucketConfiguration={"LocationConstraint": self.s3.meta.region_name}
        )
        self.dynamodb.create_table(
            TableName=self.name,
            KeySchema=[{"AttributeName": "station_id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "station_id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        self.dynamodb.create_table(
            TableName=self.history_name,
            KeySchema=[
                {"AttributeName": "station_id", "KeyType": "HASH"},
                {"AttributeName": "interval", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[
                {"AttributeName": "station_id", "AttributeType": "S"},
                {"AttributeName": "interval", "AttributeType": "N"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        self.dynamodb.create_table(
            TableName=self.operations_name,
            KeySchema=[
                {"AttributeName": "station_id", "KeyType": "HASH"},
                {"AttributeName": "operation", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[
                {"AttributeName": "station_id", "AttributeType": "S"},
                {"AttributeName": "operation", "AttributeType": "S"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        self.queue_url = self.sqs.create_queue(QueueName=self.name)["QueueUrl"]
        self.wire()

    def wire(self) -> None:
        """Give the handler these stores; again after a change of `resolution` or `hours`."""
        self.stores = Stores(
            Archive(self.s3, self.name),
            Stations(self.dynamodb, self.name, REGION),
            History(self.dynamodb, self.history_name, Window(self.resolution, self.hours)),
            lambda: DeadLetters(self.sqs, self.queue_url),
            self.pool,
            lambda: NOW,
        )

    @property
    def history_name(self) -> str:
        """Open the history table."""
        return f"{self.name}-history"

    @property
    def operations_name(self) -> str:
        """Name the operations table."""
        return f"{self.name}-operations"

    @property
    def settings(self) -> Settings:
        """Open the stations' settings."""
        return Settings(lambda: self.iot, Operations(self.dynamodb, self.operations_name), "station-")

    @property
    def alarm_prefix(self) -> str:
        """Say how the names of this cloud's alarms begin."""
        return f"{self.name}-alarm-"

    def services(self, realtime: Realtime | None = REALTIME) -> Services:
        """Provide what the API handler reads here. One queue stands for both."""
        window = history.Window(self.resolution, self.hours, lambda: NOW)
        return Services(
            stations.Stations(self.dynamodb, self.name),
            history.History(self.dynamodb, self.history_name, window),
            Summary(
                self.queue_url, self.queue_url, self.alarm_prefix, lambda service: getattr(self, service)
            ),
            self.settings,
            Commands(lambda: self.iot, Operations(self.dynamodb, self.operations_name), "ev-swap/stations"),
            ShownJobs(lambda: self.iot, "ev-swap-dev-firmware-"),
            realtime,
        )

    def points(self, station: str) -> dict[int, dict[str, Any]]:
        """Read a station's points by the start of their interval, without DynamoDB's types."""
        pages = self.dynamodb.get_paginator("query").paginate(
            TableName=self.history_name,
            KeyConditionExpression="station_id = :id",
            ExpressionAttributeValues={":id": {"S": station}},
        )
        items = [_plain(item) for page in pages for item in page["Items"]]
        return {item["interval"]: item for item in items}

    def invoke(self, event: Any, context: Any = None) -> dict[str, Any]:
        """Return what Lambda would answer to ``event``."""
        return answer(event, context, self.stores, self.outcomes.append)

    def failed(self, event: Any, context: Any = None) -> set[str]:
        """Return the ids that are reported as failed."""
        return {each["itemIdentifier"] for each in self.invoke(event, context)["batchItemFailures"]}

    def archive(self) -> dict[str, list[dict[str, Any]]]:
        """Read every archived line, by key."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        keys = [each["Key"] for page in pages for each in page.get("Contents", [])]
        return {
            key: [json.loads(line) for line in gzip.decompress(self.body(key)).splitlines()] for key in keys
        }

    def archived_ids(self) -> list[str]:
        """List the message ids of all archived lines."""
        return [line["message_id"] for lines in self.archive().values() for line in lines]

    def body(self, key: str) -> bytes:
        """Read an object's bytes."""
        stored: bytes = self.s3.get_object(Bucket=self.name, Key=key)["Body"].read()
        return stored

    def item(self, station: str) -> dict[str, Any] | None:
        """Read a station's item, without DynamoDB's types."""
        found = self.dynamodb.get_item(TableName=self.name, Key={"station_id": {"S": station}}).get("Item")
        if found is None:
            return None
        return _plain(found)

    def take_dead_letters(self) -> list[dict[str, Any]]:
        """Receive and delete all dead letters: their bodies, with the attribute as ``_attribute``."""
        letters = []
        while True:
            got = self.sqs.receive_message(
                QueueUrl=self.queue_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
            ).get("Messages", [])
            if not got:
                return letters
            for message in got:
                attribute = message["MessageAttributes"]["reason"]["StringValue"]
                letters.append(
                    json.loads(message["Body"]) | {"_attribute": attribute, "_text": message["Body"]}
                )
            self.sqs.delete_message_batch(
                QueueUrl=self.queue_url,
                Entries=[
                    {"Id": str(i), "ReceiptHandle": each["ReceiptHandle"]} for i, each in enumerate(got)
                ],
            )

    def remove(self) -> None:
        """Delete table and queue, and let the bucket be: the emulator ends with the session."""
        self.dynamodb.delete_table(TableName=self.name)
        self.dynamodb.delete_table(TableName=self.history_name)
        self.dynamodb.delete_table(TableName=self.operations_name)
        self.iot.close()
        self.sqs.delete_queue(QueueUrl=self.queue_url)


def _plain(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value["S"] if "S" in value else json.loads(value["N"]) for name, value in item.items()}


def payload_of(letter: dict[str, Any]) -> bytes:
    """Read the refused bytes in a dead letter."""
    return base64.b64decode(letter["payload_base64"])


@pytest.fixture(scope="session")
def pool() -> Iterator[concurrent.futures.ThreadPoolExecutor]:
    with concurrent.futures.ThreadPoolExecutor(16) as executor:
        yield executor


@pytest.fixture(scope="session")
def make_cloud(
    aws_emulator: AwsEmulator, pool: concurrent.futures.ThreadPoolExecutor
) -> Iterator[Callable[[], Cloud]]:
    """Provide what makes clouds, all with the same clients: to make those takes longer than most tests."""
    clients = [aws_emulator.client(service) for service in ("dynamodb", "s3", "sqs", "cloudwatch")]
    yield lambda: Cloud(*clients, pool)
    for client in clients:
        client.close()


@pytest.fixture
def cloud(make_cloud: Callable[[], Cloud]) -> Iterator[Cloud]:
    """Make a cloud of the test's own."""
    made = make_cloud()
    yield made
    made.remove()
