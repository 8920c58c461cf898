"""Measure broker and bridge against the queue's own ceiling, and their memory over time.

The ceiling is one process that calls ``SendMessageBatch`` with boto3, ten messages a call, one call after the other,
to the same emulator in the same run. The bridge's queue has no consumer, so that nothing else uses the emulator.
"""

import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from bench.pipeline.limits import lifted
from bench.pipeline.publishers import LoadClients
from bridge.authority import Authority
from testbed.deploy.deployment import Deployment
from testbed.deploy.stations import wait_admitted
from testbed.errors import TestbedError
from testbed.identity.enrolment import Enrolment
from testbed.pipeline import quiet
from testbed.pipeline.quiet import until_bridge_is_idle

_NAME = "bridge-bench"
_CLIENTS = 5
_ROUNDS = 3
_PATIENCE_SECONDS = 120.0
_SAMPLE_SECONDS = 5.0

_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "iot:Connect",
            "Resource": "arn:aws:iot:*:*:client/${iot:Connection.Thing.ThingName}",
        },
        {
            "Effect": "Allow",
            "Action": "iot:Publish",
            "Resource": f"arn:aws:iot:*:*:topic/{_NAME}/${{iot:Connection.Thing.ThingName}}",
        },
    ],
}


@dataclass(frozen=True)
class Round:
    """One round's rates, in messages a second."""

    ceiling: float
    bridge: float


@dataclass(frozen=True)
class Memory:
    """A sample of resident memory in MiB, bridge and broker with their children, so many seconds after the start."""

    seconds: float
    bridge: float
    broker: float


def run(
    deployment: Deployment,
    say: Callable[[str], None],
    *,
    messages: int,
    minutes: float,
    rate: int,
    report: Path,
) -> None:
    """Measure, print, and write the figures as JSON to ``report``.

    Args:
        deployment: a local one.
        say: prints a line.
        messages: of each round.
        minutes: how long memory is watched at a steady rate; 0 for not at all.
        rate: messages a second meanwhile.
        report: the file.
    """
    if deployment.ports is None:
        raise TestbedError(
            "There is no bridge on AWS: AWS IoT Core is the rules engine.", "Set TARGET=local."
        )
    figures: dict[str, Any] = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "engine": deployment.cloud_name,
    }
    with _queue_and_rule(deployment) as queue, _publishers(deployment) as publishers:
        _through_bridge(deployment, publishers, queue, 200)  # connections are opened
        rounds = [_round(deployment, publishers, queue, messages, say) for _ in range(_ROUNDS)]
        ratio = statistics.median(one.bridge / one.ceiling for one in rounds)
        say(
            f"Broker and bridge carry {ratio:.2f} times what one boto3 process sends (median of {_ROUNDS} rounds)"
        )
        figures |= {"rounds": [asdict(one) for one in rounds], "ratio": ratio}
        if minutes:
            figures["memory"] = [
                asdict(sample) for sample in _watch(deployment, publishers, queue, minutes, rate, say)
            ]
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(json.dumps(figures, indent=1) + "\n")
    say(f"Figures: {report}")


def _round(
    deployment: Deployment, publishers: LoadClients, queue: str, messages: int, say: Callable[[str], None]
) -> Round:
    measured = Round(
        _ceiling(deployment, queue, messages), _through_bridge(deployment, publishers, queue, messages)
    )
    say(
        f"{messages} messages: boto3 alone {measured.ceiling:.0f}/s, broker and bridge {measured.bridge:.0f}/s "
        f"({measured.bridge / measured.ceiling:.2f})"
    )
    return measured


def _ceiling(deployment: Deployment, queue: str, messages: int) -> float:
    """Return how many messages a second one boto3 client sends in batches of ten."""
    sqs = deployment.client("sqs")
    bodies = [json.dumps(_message("boto3", number)) for number in range(messages)]
    begun = time.monotonic()
    for start in range(0, messages, 10):
        entries: Any = [
            {"Id": str(place), "MessageBody": body} for place, body in enumerate(bodies[start : start + 10])
        ]
        sqs.send_message_batch(QueueUrl=queue, Entries=entries)
    spent = time.monotonic() - begun
    sqs.purge_queue(QueueUrl=queue)
    return messages / spent


def _through_bridge(deployment: Deployment, publishers: LoadClients, queue: str, messages: int) -> float:
    """Return messages a second, from the first publish until the queue has all of them."""
    sqs = deployment.client("sqs")
    begun = time.monotonic()
    publishers.send(_NAME + "/{name}", _message, messages)
    until_bridge_is_idle(deployment, _PATIENCE_SECONDS)
    spent = time.monotonic() - begun
    found = quiet.queue_depth(sqs, queue)
    if found != messages:
        raise TestbedError(f"{found} of {messages} messages are in the queue.", "See `make logs`.")
    sqs.purge_queue(QueueUrl=queue)
    return messages / spent


def _watch(
    deployment: Deployment,
    publishers: LoadClients,
    queue: str,
    minutes: float,
    rate: int,
    say: Callable[[str], None],
) -> list[Memory]:
    """Publish at a steady rate and sample the memory every few seconds."""
    sqs = deployment.client("sqs")
    samples: list[Memory] = []
    begun = time.monotonic()
    sent = 0
    while time.monotonic() - begun < 60 * minutes:
        count = int(rate * _SAMPLE_SECONDS)
        publishers.send(_NAME + "/{name}", _message, count, rate)
        sent += count
        samples.append(
            Memory(time.monotonic() - begun, *(_resident(deployment, name) for name in ("bridge", "broker")))
        )
        # Or else it is the emulator's memory that grows, and its speed that falls.
        sqs.purge_queue(QueueUrl=queue)
    until_bridge_is_idle(deployment, _PATIENCE_SECONDS)
    first, last = _thirds(samples)
    say(
        f"{sent} messages in {minutes:g} minutes: bridge {first.bridge:.1f} -> {last.bridge:.1f} MiB, "
        f"broker {first.broker:.1f} -> {last.broker:.1f} MiB (medians of the first and last third)"
    )
    return samples


def _thirds(samples: list[Memory]) -> tuple[Memory, Memory]:
    third = max(1, len(samples) // 3)

    def middle(part: list[Memory]) -> Memory:
        return Memory(
            statistics.median(one.seconds for one in part),
            statistics.median(one.bridge for one in part),
            statistics.median(one.broker for one in part),
        )

    return middle(samples[:third]), middle(samples[-third:])


def _resident(deployment: Deployment, name: str) -> float:
    return deployment.processes[name].resident_bytes() / 2**20


def _message(name: str, number: int) -> dict[str, Any]:
    """Return a message of the size of a station's telemetry."""
    return {
        "station_id": name,
        "message_id": f"{name}-{number:09}",
        "sequence": number,
        "battery_available": 7,
        "slots": 13,
        "charging": 6,
        "swaps_total": 1234,
        "queue_length": 0,
        "power_kw": 480.0,
        "temperature_c": 21.5,
        "status": "OK",
        "firmware": "2.4.1",
        "timestamp": "2026-11-23T12:00:00.000Z",
    }


@contextmanager
def _queue_and_rule(deployment: Deployment) -> Iterator[str]:
    """Make a queue, a policy, and a rule to the queue that the bridge runs; remove them at the end.

    Yields:
        The queue's URL.
    """
    sqs, iot = deployment.client("sqs"), deployment.client("iot")
    rule = _NAME.replace("-", "_")
    # An engine with policies in force asks for a role that AWS IoT may assume: the deployed rule has one.
    [deployed] = iot.get_topic_rule(ruleName=deployment.outputs.telemetry_rule_name)["rule"]["actions"]
    with ExitStack() as stack:
        queue = sqs.create_queue(QueueName=_NAME)["QueueUrl"]
        stack.callback(sqs.delete_queue, QueueUrl=queue)
        # A run that was killed leaves both behind.
        with suppress(iot.exceptions.ResourceAlreadyExistsException):
            iot.create_policy(policyName=_NAME, policyDocument=json.dumps(_POLICY))
        with suppress(ClientError):
            iot.delete_topic_rule(ruleName=rule)
        stack.callback(iot.delete_policy, policyName=_NAME)
        iot.create_topic_rule(
            ruleName=rule,
            topicRulePayload={
                "sql": f"SELECT *, topic() AS topic, timestamp() AS received_at FROM '{_NAME}/+'",  # noqa: S608  # topic rule SQL
                "awsIotSqlVersion": "2016-03-23",
                "actions": [{"sqs": {"queueUrl": queue, "roleArn": deployed["sqs"]["roleArn"]}}],
            },
        )
        stack.callback(iot.delete_topic_rule, ruleName=rule)
        quiet.until_rule_is_loaded(deployment, rule, _PATIENCE_SECONDS)
        yield queue


@contextmanager
def _publishers(deployment: Deployment) -> Iterator[LoadClients]:
    names = [f"{_NAME}-{number}" for number in range(_CLIENTS)]
    folder = deployment.path / "bench" / "certs"
    enrolment = Enrolment(
        deployment.session,
        deployment.iot_url,
        policy=_NAME,
        folder=folder,
        authority=Authority.load_or_create(deployment.authority, name="EV swap fleet CA"),
        admitted=lambda stations: wait_admitted(deployment, stations),
    )
    enrolment.enrol(names)
    with lifted(deployment):
        publishers = LoadClients(
            deployment.mqtt_host,
            deployment.mqtt_port,
            ca=deployment.server_ca,
            certificates=folder,
            names=names,
        )
        try:
            yield publishers
        finally:
            publishers.close()
            enrolment.remove(names)
