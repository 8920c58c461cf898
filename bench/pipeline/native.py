"""Run ministack's own IoT rule -> SQS -> Lambda with a trivial handler, in its best setting.

That is: two reserved executions and one S3 put a batch. Its command is started as it is, without
`testbed.engines.ministack.batches`.
"""

import io
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.pipeline.paths import PATIENCE_SECONDS
from bench.pipeline.publishers import LoadClients, telemetry
from testbed.engines.embedded import ministack_environment, wait_for_aws
from testbed.host import emulated, ports, processes
from testbed.host.processes import ChildProcess
from testbed.pipeline import quiet

_HANDLER = """
import boto3, json, os, uuid
s3 = boto3.client("s3")
def handler(event, context):
    body = "\\n".join(record["body"] for record in event["Records"])
    s3.put_object(Bucket="native", Key=uuid.uuid4().hex, Body=body.encode())
    print(len(event["Records"]))
"""
_GIVES_UP_SECONDS = 10


@dataclass
class Native:
    """See `bench.pipeline.paths.MessagePath`."""

    publishers: LoadClients
    sqs: Any
    s3: Any
    queue: str
    window: float = 0
    name: str = "ministack's own rule -> SQS -> Lambda"
    _published: int = 0
    _seen: dict[str, list[str]] = field(default_factory=dict)

    def publish(self, run_id: str, count: int, rate: float = 0) -> float:
        """See `MessagePath`."""
        self._published += count
        return self.publishers.send("native/{name}", telemetry(run_id), count, rate)

    def waiting(self) -> int:
        """See `MessagePath`."""
        return quiet.queue_depth(self.sqs, self.queue)

    def settle(self) -> None:
        """Wait until all is stored or nothing came for ten seconds; its rules do not show what is on its way."""
        stored, seen = -1, time.monotonic()
        while stored < self._published and time.monotonic() - seen < _GIVES_UP_SECONDS:
            quiet.wait_for_empty_queue(self.sqs, self.queue, PATIENCE_SECONDS)
            now_stored = sum(1 for _ in self._lines())
            if now_stored != stored:
                stored, seen = now_stored, time.monotonic()

    def stored(self, run_id: str) -> int:
        """See `MessagePath`."""
        return len({line for line in self._lines() if f"-{run_id}-" in line})

    def _lines(self) -> Iterator[str]:
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket="native"):
            for entry in page.get("Contents", []):
                yield from self._object(entry["Key"])

    def _object(self, key: str) -> list[str]:
        # Objects never change: each is fetched once.
        if key not in self._seen:
            body = self.s3.get_object(Bucket="native", Key=key)["Body"].read().decode()
            self._seen[key] = body.splitlines()
        return self._seen[key]


@contextmanager
def running(folder: Path, names: list[str]) -> Iterator[Native]:
    """Run a ministack of its own until the block ends."""
    gateway, listener = (ports.choose(None, what="the benchmark") for _ in range(2))
    url = f"http://127.0.0.1:{gateway}"
    folder.mkdir(parents=True, exist_ok=True)
    ministack = processes.start(
        "ministack (benchmark)",
        [str(ministack_environment() / "bin" / "ministack")],
        log=folder / "ministack.log",
        folder=folder,
        environment=processes.clean_environment(
            GATEWAY_PORT=str(gateway), BIND_HOST="127.0.0.1", IOT_MTLS_PORT=str(listener), TMPDIR=str(folder)
        ),
    )
    try:
        wait_for_aws(url, "us-east-1", ministack)
        sqs, s3, queue = _set_up(url)
        ca = folder / "native-ca.pem"
        with urllib.request.urlopen(f"{url}/_ministack/iot/ca.pem", timeout=10) as answer:  # noqa: S310
            ca.write_bytes(answer.read())
        _wait_for_listener(listener, ministack)
        # It lets clients in without a certificate (see docs/limitations.md), so none is made for them.
        publishers = LoadClients("localhost", listener, ca=ca, certificates=None, names=names)
        try:
            yield Native(publishers, sqs, s3, queue)
        finally:
            publishers.close()
    finally:
        ministack.stop()


def _wait_for_listener(port: int, ministack: ChildProcess) -> None:
    processes.wait_until(
        lambda: not ports.is_free(port), what="ministack's MQTT listener", seconds=30, process=ministack
    )


def _set_up(url: str) -> tuple[Any, Any, str]:
    session = emulated.session("us-east-1")

    def client(service: str) -> Any:
        make: Any = session.client
        return make(service, endpoint_url=url)

    sqs, s3, iot, lambda_ = (client(service) for service in ("sqs", "s3", "iot", "lambda"))
    s3.create_bucket(Bucket="native")
    queue = sqs.create_queue(QueueName="native")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("native.py", _HANDLER)
    role = client("iam").create_role(RoleName="native", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    lambda_.create_function(
        FunctionName="native",
        Runtime="python3.12",
        Handler="native.handler",
        Role=role,
        Timeout=30,
        Code={"ZipFile": package.getvalue()},
    )
    lambda_.put_function_concurrency(FunctionName="native", ReservedConcurrentExecutions=2)
    lambda_.create_event_source_mapping(EventSourceArn=arn, FunctionName="native", BatchSize=10)
    iot.create_topic_rule(
        ruleName="native",
        topicRulePayload={
            "sql": "SELECT * FROM 'native/+'",
            "actions": [{"sqs": {"queueUrl": queue, "roleArn": role, "useBase64": False}}],
        },
    )
    return sqs, s3, queue
