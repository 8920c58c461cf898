"""Runs the measurements. Single figures depend on the machine, so each is shown beside another of the same run."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.pipeline import handler, native
from bench.pipeline.limits import lifted
from bench.pipeline.paths import PATIENCE_SECONDS, Burst, MessagePath, Pipeline, Steady, burst, steady
from bench.pipeline.publishers import LoadClients, Payload, telemetry
from bench.results import document
from testbed.deploy.deployment import Deployment
from testbed.deploy.packaging import build_packages
from testbed.deploy.stations import enrolment_of
from testbed.engines.base import Runtime
from testbed.engines.embedded import EmbeddedEngine
from testbed.errors import TestbedError
from testbed.pipeline import api
from testbed.proofs.audit import AuditReport, audit

Say = Callable[[str], None]

_CLIENTS = 20
_LATENCY_ROUNDS = 5
# Each rate is this much more than the one before; where the first is too much, this much less.
_STEP = 1.25
_SLOWEST = 5
_NATIVE_FIRST_RATE = 200


@dataclass(frozen=True)
class Scale:
    """How much is measured: ``messages`` of a burst, ``seconds`` of a steady rate, ``hold`` of the last that kept up.

    ``first_rate`` is where the steady rates begin, in messages a second, and ``most_rates`` how many of them there
    are at most for each path.
    """

    messages: int
    seconds: int
    hold: int
    first_rate: int = 200
    most_rates: int = 100


@dataclass(frozen=True)
class Latency:
    """How long it takes from a publish until the REST API shows it, in seconds."""

    messages: int
    p50: float
    p99: float


def run(deployment: Deployment, scale: Scale, say: Say, *, report: Path) -> None:
    """Measure, print, and write the figures as JSON to ``report``."""
    begun = document.Run("pipeline", "pipeline")
    # The handler is measured in this very Python.
    packages = build_packages(Runtime.of_this_machine())
    cost = handler.measure(packages / "telemetry_handler.zip")
    say(
        f"Handler: {cost.record_microseconds:.1f} µs of CPU a record (json.loads of its body: "
        f"{cost.json_microseconds:.1f}), import {cost.import_seconds:.2f} s (boto3 alone {cost.boto3_seconds:.2f}), "
        f"zip {cost.zip_bytes / 2**20:.1f} MiB"
    )
    names = [f"bench-{number:02}" for number in range(1, _CLIENTS + 1)]
    ledger = deployment.path / "bench" / f"ledger-{time.time_ns()}.ndjson"
    with _testbed(deployment, names, ledger) as ours:
        latency = measure_latency(deployment, ours.publishers, names)
        say(
            f"Latency: {latency.messages} messages, publish to visible in the API: p50 {1000 * latency.p50:.0f} ms, "
            f"p99 {1000 * latency.p99:.0f} ms; the batching window of {ours.window:g} s is in it"
        )
        with native.running(deployment.path / "bench", names) as emulator:
            bursts = [_burst(path, scale.messages, say) for path in (ours, emulator)]
            theirs = list(_rates(emulator, _NATIVE_FIRST_RATE, scale, say))
        mine = list(_rates(ours, scale.first_rate, scale, say))
        held = _held(ours, mine, scale.hold, say)
        audited = audit(deployment, [ledger], wait_seconds=PATIENCE_SECONDS)
        say(_audited(audited))
    # Its ceiling is the better of what a burst and what a steady rate show.
    ceiling = max([bursts[1].rate, *(float(step.offered) for step in theirs if step.kept_up)])
    say(
        f"Held {held.offered} messages/s for {held.seconds:g} s ({'kept up' if held.kept_up else 'did not keep up'}): "
        f"{held.offered / ceiling:.2f} times the {ceiling:.0f} of {bursts[1].path}"
    )
    figures = {
        "engine": deployment.cloud_name,
        "handler": asdict(cost),
        "latency": asdict(latency),
        "bursts": [asdict(each) | {"rate": each.rate} for each in bursts],
        "steady": [asdict(each) | {"kept_up": each.kept_up} for each in (*theirs, *mine)],
        "held": asdict(held) | {"kept_up": held.kept_up},
        "ceiling": ceiling,
        "ratio": held.offered / ceiling,
        "audit": asdict(audited) | {"clean": audited.clean},
    }
    # The other path is ministack's, whatever the engine is.
    versions = EmbeddedEngine().versions() | (deployment.engine.versions() if deployment.engine else {})
    document.write(begun.document(figures, asdict(scale), versions), report)
    say(f"Figures: {report}")


@contextmanager
def _testbed(deployment: Deployment, names: list[str], ledger: Path) -> Iterator[Pipeline]:
    enrolment = enrolment_of(deployment)
    enrolment.enrol(names)
    queue = deployment.client("sqs").get_queue_attributes(
        QueueUrl=deployment.outputs.telemetry_queue_url, AttributeNames=["QueueArn"]
    )["Attributes"]["QueueArn"]
    mappings = deployment.client("lambda").list_event_source_mappings(EventSourceArn=queue)[
        "EventSourceMappings"
    ]
    with lifted(deployment):
        publishers = LoadClients(
            deployment.mqtt_host,
            deployment.mqtt_port,
            ca=deployment.server_ca,
            certificates=deployment.certificates,
            names=names,
            ledger=ledger,
        )
        try:
            yield Pipeline(
                deployment, publishers, float(mappings[0].get("MaximumBatchingWindowInSeconds", 0))
            )
        finally:
            publishers.close()
            enrolment.remove(names)


def measure_latency(deployment: Deployment, publishers: LoadClients, names: list[str]) -> Latency:
    """Publish one message of each station within a second, and look at the API until all are there."""
    seconds: list[float] = []
    topic = deployment.telemetry_topic("{name}")
    for turn in range(_LATENCY_ROUNDS + 1):
        waiting: dict[str, tuple[str, float]] = {}
        message = telemetry(f"latency{time.time_ns()}")

        def payload(
            name: str, _number: int, message: Payload = message, waiting: Any = waiting
        ) -> dict[str, Any]:
            made = message(name, 0)
            waiting[name] = (made["message_id"], time.monotonic())
            return made

        sending = threading.Thread(target=publishers.send, args=(topic, payload, len(names), len(names)))
        sending.start()
        begun = time.monotonic()
        while sending.is_alive() or waiting:
            if time.monotonic() - begun > PATIENCE_SECONDS:
                raise TestbedError("Published messages never came to the API.", "See `make logs`.")
            arrived = _arrived(deployment, waiting)
            if turn:  # the functions start cold
                seconds += arrived
        sending.join()
    ordered = sorted(seconds)
    return Latency(len(ordered), ordered[len(ordered) // 2], ordered[int(0.99 * (len(ordered) - 1))])


def _arrived(deployment: Deployment, waiting: dict[str, tuple[str, float]]) -> list[float]:
    """Take off those that are there now, and return how long each took."""
    found = {item["station_id"]: item.get("message_id") for item in api.stations(deployment, limit=100)}
    now = time.monotonic()
    there = [name for name, (message_id, _) in list(waiting.items()) if found.get(name) == message_id]
    return [now - waiting.pop(name)[1] for name in there]


def _burst(path: MessagePath, messages: int, say: Say) -> Burst:
    found = burst(path, messages)
    say(
        f"Burst through {found.path}: {found.stored} of {found.sent} stored in {found.seconds:.1f} s, "
        f"{found.rate:.0f} messages/s"
    )
    return found


def _rates(path: MessagePath, first: int, scale: Scale, say: Say) -> Iterator[Steady]:
    """Offer rates that rise until the path keeps up no more, or fall until it does where the first is too much."""
    rate, factor = float(first), 0.0
    for _ in range(scale.most_rates):
        if rate < _SLOWEST:
            return
        step = steady(path, int(rate), scale.seconds)
        say(
            f"{path.name}: offered {step.offered} messages/s for {scale.seconds} s (published {step.published:.0f}/s), "
            f"{step.waiting} waited at the end, {'kept up' if step.kept_up else 'did not keep up'}"
        )
        yield step
        if factor and step.kept_up != (factor > 1):
            return
        factor = factor or (_STEP if step.kept_up else 1 / _STEP)
        rate *= factor


def _held(path: MessagePath, steps: list[Steady], seconds: int, say: Say) -> Steady:
    """Hold the highest rate that kept up; one lower if it does not, for as long as there is one."""
    held = steps[0]
    for step in sorted((each for each in steps if each.kept_up), key=lambda each: -each.offered):
        held = steady(path, step.offered, seconds)
        say(
            f"{path.name}: held {held.offered} messages/s for {seconds} s, {held.stored} stored, "
            f"{held.waiting} waited at the end"
        )
        if held.kept_up:
            return held
    return held


def _audited(audit: AuditReport) -> str:
    return (
        f"Audit: {audit.acknowledged} acknowledged, {audit.acknowledged_archived} archived, "
        f"{audit.missing_count} missing, {audit.wrong_state_count} wrong latest states"
    )
