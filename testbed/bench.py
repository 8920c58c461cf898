"""`make bench`: how long from publish to visible, how many messages a second, beside the emulator's own path.

Single figures depend on the machine, so each is shown beside another of the same run.
"""

import io
import json
import ssl
import statistics
import threading
import time
import urllib.request
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from prometheus_client.parser import text_string_to_metric_families

from testbed import api, archive, lifecycle, ports, processes
from testbed import audit as auditing
from testbed.deployment import Deployment
from testbed.engines.embedded import wait_for_aws
from testbed.environments import environment
from testbed.errors import TestbedError
from testbed.processes import Process

_CLIENTS = 20
_PATIENCE_SECONDS = 300.0


@dataclass(frozen=True)
class Latency:
    """Seconds from publish to visible in the REST API."""

    messages: int
    p50: float
    p99: float


@dataclass(frozen=True)
class Throughput:
    """A burst: seconds from the first publish until all were stored, and how many were."""

    path: str
    sent: int
    stored: int
    seconds: float

    @property
    def rate(self) -> float:
        """Stored messages a second."""
        return self.stored / self.seconds


@dataclass(frozen=True)
class Step:
    """A steady rate: how many messages waited in the queue when publishing ended."""

    offered: int
    published: float
    waiting: int

    @property
    def kept_up(self) -> bool:
        """Whether no more than a second's messages waited."""
        return self.waiting <= self.offered


# ---------------------------------------------------------------------------
# Publishing
# ---------------------------------------------------------------------------


class Publishers:
    """A few MQTT clients that publish as fast as told."""

    def __init__(
        self, host: str, port: int, *, ca: Path, certificates: Path | None, names: Sequence[str]
    ) -> None:
        """Connect a client for each name; with the certificate of that name, if there are any."""
        self._clients: list[tuple[str, mqtt.Client]] = []
        self._acknowledged = 0
        self._condition = threading.Condition()
        for name in names:
            client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name)
            context = ssl.create_default_context(cafile=str(ca))
            if certificates:
                context.load_cert_chain(certificates / f"{name}.crt", certificates / f"{name}.key")
            client.tls_set_context(context)
            client.max_inflight_messages_set(100)
            client.on_publish = self._on_publish
            client.connect(host, port)
            client.loop_start()
            self._clients.append((name, client))

    def _on_publish(self, *_: Any) -> None:
        with self._condition:
            self._acknowledged += 1
            self._condition.notify_all()

    def send(
        self, topic: str, payload: Callable[[str, int], dict[str, Any]], count: int, rate: float = 0
    ) -> float:
        """Publish ``count`` messages at QoS 1 and wait until all are acknowledged; returns the seconds it took."""
        begun, before = time.monotonic(), self._acknowledged
        for number in range(count):
            name, client = self._clients[number % len(self._clients)]
            client.publish(topic.format(name=name), json.dumps(payload(name, number)), qos=1)
            if rate:
                time.sleep(max(0.0, begun + number / rate - time.monotonic()))
        with self._condition:
            if not self._condition.wait_for(lambda: self._acknowledged - before >= count, _PATIENCE_SECONDS):
                raise TestbedError(
                    f"Only {self._acknowledged - before} of {count} publishes were acknowledged."
                )
        return time.monotonic() - begun

    def close(self) -> None:
        """Disconnect all."""
        for _, client in self._clients:
            client.disconnect()
            client.loop_stop()


# ---------------------------------------------------------------------------
# Our pipeline
# ---------------------------------------------------------------------------


def run(deployment: Deployment, say: Callable[[str], None], *, messages: int, report: Path) -> None:
    """Measure, print, and write the figures as JSON to ``report``."""
    names = [f"bench-{number:02}" for number in range(1, _CLIENTS + 1)]
    enrolment = lifecycle.enrolment(deployment)
    enrolment.enrol(names)
    publishers = Publishers(
        deployment.mqtt_host, deployment.mqtt_port, ca=deployment.server_ca,
        certificates=deployment.certificates, names=names,
    )  # fmt: skip
    try:
        measure_latency(deployment, publishers, 5)  # the functions start cold
        say(f"Latency: {messages // 10} messages, one after the other")
        latency = measure_latency(deployment, publishers, messages // 10)
        say(
            f"  publish to visible in the API: p50 {1000 * latency.p50:.0f} ms, p99 {1000 * latency.p99:.0f} ms"
        )
        ours = measure_burst(deployment, publishers, messages)
        say(f"Burst through the testbed: {_described(ours)}")
        native = measure_native(deployment.path / "bench", messages)
        say(f"Burst through {native.path}: {_described(native)}")
        say(f"  the testbed's rate is {ours.rate / native.rate:.2f} times that")
        steps = list(measure_steps(deployment, publishers, ours.rate, say))
    finally:
        publishers.close()
        enrolment.remove(names)
    figures = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "engine": deployment.engine or "aws",
        "latency": asdict(latency),
        "burst": asdict(ours) | {"rate": ours.rate},
        "native": asdict(native) | {"rate": native.rate},
        "ratio": ours.rate / native.rate,
        "steps": [asdict(step) | {"kept_up": step.kept_up} for step in steps],
    }
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(json.dumps(figures, indent=1) + "\n")
    say(f"Figures: {report}")


def _described(burst: Throughput) -> str:
    return f"{burst.stored} of {burst.sent} stored in {burst.seconds:.1f} s, {burst.rate:.0f} messages/s"


def _telemetry(run_id: str, offset: int = 0) -> Callable[[str, int], dict[str, Any]]:
    def payload(name: str, number: int) -> dict[str, Any]:
        return {
            "station_id": name, "battery_available": number % 13, "sequence": offset + number + 1,
            "message_id": f"{name}-{run_id}-{offset + number + 1}", "slots": 13, "temperature_c": 21.5, "status": "OK",
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }  # fmt: skip

    return payload


_TOPIC = "ev-swap/stations/{name}/telemetry"


def measure_latency(deployment: Deployment, publishers: Publishers, messages: int) -> Latency:
    """Publish one message after the other, and look at the API until it is there."""
    seconds = []
    run_id = f"latency{time.time_ns()}"
    names = [f"bench-{number:02}" for number in range(1, _CLIENTS + 1)]
    for number in range(messages):
        name = names[0]
        payload = _telemetry(run_id, number)(name, 0)
        begun = time.monotonic()
        publishers.send(_TOPIC, lambda _name, _number, payload=payload: payload, 1)  # type: ignore[misc]
        while True:
            status, document = api.get(deployment, f"/stations/{name}")
            if status == 200 and document.get("message_id") == payload["message_id"]:
                break
            if time.monotonic() - begun > _PATIENCE_SECONDS:
                raise TestbedError(f"{payload['message_id']} never came to the API.", "See `make logs`.")
        seconds.append(time.monotonic() - begun)
    ordered = sorted(seconds)
    return Latency(
        messages, statistics.median(ordered), ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    )


def measure_burst(deployment: Deployment, publishers: Publishers, messages: int) -> Throughput:
    """Publish as fast as the broker takes it, and wait until the queue is empty."""
    outputs, run_id = deployment.outputs, f"burst{time.time_ns()}"
    s3 = deployment.client("s3")
    before = set(archive.objects(s3, outputs["telemetry_bucket_name"]))
    begun = time.monotonic()
    publishers.send(_TOPIC, _telemetry(run_id), messages)
    _wait_for_empty(deployment)
    seconds = time.monotonic() - begun
    new = [key for key in archive.objects(s3, outputs["telemetry_bucket_name"]) if key not in before]
    stored = {
        record["message_id"]
        for key in new
        for record in archive.read(s3, outputs["telemetry_bucket_name"], key)
        if f"-{run_id}-" in record["message_id"]
    }
    return Throughput("the testbed", messages, len(stored), seconds)


def _wait_for_empty(deployment: Deployment) -> None:
    sqs, url = deployment.client("sqs"), deployment.outputs["telemetry_queue_url"]
    until_bridge_is_idle(deployment)
    if auditing.wait_for_empty_queue(sqs, url, _PATIENCE_SECONDS):
        raise TestbedError("The queue did not empty.", "See `make logs`.")


def until_bridge_is_idle(deployment: Deployment) -> None:
    """Locally, an acknowledged message may still be with the bridge, where the queue does not show it."""
    if deployment.ports is None:
        return
    url = f"http://127.0.0.1:{deployment.ports.metrics}/metrics"
    asked = time.time()

    def idle() -> bool:
        with urllib.request.urlopen(url, timeout=5) as page:
            families = {
                family.name: family for family in text_string_to_metric_families(page.read().decode())
            }
        in_flight, caught_up = (
            families[name].samples[0].value
            for name in ("bridge_in_flight", "bridge_caught_up_timestamp_seconds")
        )
        return in_flight == 0 and caught_up > asked

    processes.wait_until(idle, what="The bridge", seconds=_PATIENCE_SECONDS)


def measure_steps(
    deployment: Deployment, publishers: Publishers, around: float, say: Callable[[str], None]
) -> "list[Step]":
    """Offer steady rates, rising until the queue keeps up no more."""
    steps = []
    sqs, url = deployment.client("sqs"), deployment.outputs["telemetry_queue_url"]
    for share in (0.25, 0.5, 0.75, 1.0, 1.25):
        rate = max(10, int(around * share / 10) * 10)
        count = rate * 8
        spent = publishers.send(_TOPIC, _telemetry(f"step{rate}x{time.time_ns()}"), count, rate)
        waiting = auditing.queue_depth(sqs, url)
        step = Step(rate, count / spent, waiting)
        steps.append(step)
        say(
            f"Offered {rate} messages/s for 8 s (published {step.published:.0f}/s): {waiting} waited at the end, "
            f"{'kept up' if step.kept_up else 'did not keep up'}"
        )
        _wait_for_empty(deployment)
        if not step.kept_up:
            break
    return steps


# ---------------------------------------------------------------------------
# ministack's own IoT rule -> SQS -> Lambda
# ---------------------------------------------------------------------------

_HANDLER = """
import boto3, json, os, uuid
s3 = boto3.client("s3")
def handler(event, context):
    body = "\\n".join(record["body"] for record in event["Records"])
    s3.put_object(Bucket="native", Key=uuid.uuid4().hex, Body=body.encode())
    print(len(event["Records"]))
"""


def measure_native(folder: Path, messages: int) -> Throughput:
    """The same burst through a ministack of its own, with its MQTT listener, its rules and a trivial handler.

    In its best setting: two reserved executions and one S3 put a batch.
    """
    gateway, listener = (ports.choose(None, variable="", what="the benchmark") for _ in range(2))
    url = f"http://127.0.0.1:{gateway}"
    folder.mkdir(parents=True, exist_ok=True)
    requirements = Path(__file__).parent / "engines" / "requirements" / "embedded.txt"
    ministack = processes.start(
        "ministack (benchmark)",
        [str(environment("embedded", requirements) / "bin" / "ministack")],
        log=folder / "ministack.log",
        folder=folder,
        environment=processes.clean_environment(
            GATEWAY_PORT=str(gateway), BIND_HOST="127.0.0.1", IOT_MTLS_PORT=str(listener), TMPDIR=str(folder)
        ),
    )
    try:
        wait_for_aws(url, "us-east-1", ministack)
        return _native_burst(url, listener, folder, messages, ministack)
    finally:
        ministack.stop()


def _native_burst(url: str, listener: int, folder: Path, messages: int, ministack: Process) -> Throughput:
    session = boto3.Session("test", "test", region_name="us-east-1")

    def client(service: str) -> Any:
        make: Any = session.client
        return make(service, endpoint_url=url)

    sqs, s3, iot, lambda_ = (client(service) for service in ("sqs", "s3", "iot", "lambda"))
    s3.create_bucket(Bucket="native")
    queue = sqs.create_queue(QueueName="native")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive_:
        archive_.writestr("native.py", _HANDLER)
    role = client("iam").create_role(RoleName="native", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    lambda_.create_function(
        FunctionName="native", Runtime="python3.12", Handler="native.handler", Role=role, Timeout=30,
        Code={"ZipFile": package.getvalue()},
    )  # fmt: skip
    lambda_.put_function_concurrency(FunctionName="native", ReservedConcurrentExecutions=2)
    lambda_.create_event_source_mapping(EventSourceArn=arn, FunctionName="native", BatchSize=10)
    iot.create_topic_rule(
        ruleName="native",
        topicRulePayload={
            "sql": "SELECT * FROM 'native/+'",
            "actions": [{"sqs": {"queueUrl": queue, "roleArn": role, "useBase64": False}}],
        },
    )
    ca = folder / "native-ca.pem"
    with urllib.request.urlopen(f"{url}/_ministack/iot/ca.pem", timeout=10) as answer:  # noqa: S310
        ca.write_bytes(answer.read())
    processes.wait_until(
        lambda: not ports.is_free(listener), what="ministack's MQTT listener", seconds=30, process=ministack
    )
    # It lets clients in without a certificate (see docs/limitations.md), so none is made for them.
    publishers = Publishers(
        "localhost", listener, ca=ca, certificates=None, names=[f"n{n}" for n in range(_CLIENTS)]
    )
    try:
        begun = time.monotonic()
        publishers.send("native/{name}", _telemetry("native"), messages)
        deadline, stored, seen = time.monotonic() + _PATIENCE_SECONDS, 0, 0.0
        while stored < messages and time.monotonic() < deadline:
            auditing.wait_for_empty_queue(sqs, queue, _PATIENCE_SECONDS)
            now_stored = _native_stored(s3)
            if now_stored == stored and time.monotonic() - seen > 10:
                break  # what is not stored by now was dropped
            if now_stored != stored:
                stored, seen = now_stored, time.monotonic()
        return Throughput("ministack's own rule -> SQS -> Lambda", messages, stored, seen - begun)
    finally:
        publishers.close()


def _native_stored(s3: Any) -> int:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="native")
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    return sum(
        len(s3.get_object(Bucket="native", Key=key)["Body"].read().decode().splitlines()) for key in keys
    )
