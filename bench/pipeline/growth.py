"""Measure the same figures at 10, 100, 1,000 and 10,000 stations, each a connection with mutual TLS.

The simulator runs as users start it, against the deployed pipeline; what every part costs is what the kernel counted.
When a message was stored is when its batch came into the archive, to the millisecond that ministack keeps.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.pipeline import simulated
from bench.pipeline.usage import PerPart, Usage
from simulator.messages import station_ids
from testbed.archive import reader
from testbed.deploy.deployment import Deployment
from testbed.deploy.stations import enrolment_of
from testbed.errors import TestbedError
from testbed.pipeline import quiet
from testbed.proofs.audit import AuditReport, audit
from testbed.proofs.ledgers import read_ledger

Say = Callable[[str], None]

_IDLE_SECONDS = 5.0
_SAMPLE_SECONDS = 2.0
_PATIENCE_SECONDS = 120.0
_SETTLE_SECONDS = 30.0
_SLOWER = 8  # than the ramp, until what is connected is measured


@dataclass(frozen=True)
class GrowthScale:
    """The fleet sizes; ``seconds`` of steady time each, after connecting at ``ramp`` a second.

    Each station publishes every ``interval`` seconds; or, where ``rate`` is not 0, as often as makes ``rate``
    messages a second of every fleet.
    """

    sizes: tuple[int, ...] = (10, 100, 1_000, 10_000)
    interval: float = 60.0
    rate: float = 0.0
    seconds: float = 75.0
    ramp: float = 200.0

    def interval_of(self, size: int) -> float:
        """Return the seconds between two messages of a station."""
        return size / self.rate if self.rate else self.interval


@dataclass(frozen=True)
class Step:
    """A fleet's figures in its steady time.

    Rates are a second: ``connect_rate`` of the ramp, ``offered`` as asked for, ``acknowledged`` and ``stored`` as
    counted.
    ``latency_p50`` and ``latency_p99`` are seconds from a message's own timestamp until it was in the archive,
    ``ack_p50_ms`` and ``ack_p99_ms`` until its PUBACK. ``cpu`` is in cores, ``memory`` in MiB at the end.
    ``waiting_first`` and ``waiting_last`` are messages in the queue, mean of the first and of the last third.
    """

    stations: int
    interval: float
    connected: int
    disconnects: int
    refused: int
    enrol_seconds: float
    connect_rate: float
    seconds: float
    offered: float
    acknowledged: float
    stored: float
    latency_p50: float
    latency_p99: float
    ack_p50_ms: float
    ack_p99_ms: float
    cpu: PerPart
    memory: PerPart
    waiting_first: float
    waiting_last: float

    @property
    def queue_grows(self) -> bool:
        """Whether more waits at the end than a second's messages explain."""
        return self.waiting_last - self.waiting_first > max(10.0, self.offered)


@dataclass(frozen=True)
class Growth:
    """Everything: the parts with no station connected, a step for each size, and the audit of all of it.

    ``failed`` says why a size has no step.
    """

    idle_cpu: PerPart
    idle_memory: PerPart
    steps: list[Step]
    failed: dict[str, str]
    audit: AuditReport

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "idle_cpu": asdict(self.idle_cpu),
            "idle_memory": asdict(self.idle_memory),
            "steps": [asdict(step) | {"queue_grows": step.queue_grows} for step in self.steps],
            "failed": self.failed,
            "audit": asdict(self.audit) | {"clean": self.audit.clean},
        }


def run(deployment: Deployment, scale: GrowthScale, say: Say, *, prefix: str = "growth-") -> Growth:
    """Measure every size, the smallest first, and audit. A size that fails is said, and the others go on.

    Raises:
        TestbedError: the deployment is on AWS or in containers, or every size failed.
    """
    deployment.local_engine.lacks.refuse("processes of this machine")
    idle = Usage.of(deployment, None)
    time.sleep(min(_IDLE_SECONDS, scale.seconds))
    idle_cpu, idle_memory = Usage.of(deployment, None).since(idle)
    steps, ledgers, failed = [], [], {}
    for size in sorted(scale.sizes):
        ledger = deployment.path / "bench" / f"growth-{size}-{time.time_ns()}.ndjson"
        try:
            steps.append(_step(deployment, scale, size, prefix, ledger, say))
        except TestbedError as error:
            failed[str(size)] = error.problem
            say(f"{size} stations: {error}")
        else:
            say(_said(steps[-1]))
        if ledger.is_file():
            ledgers.append(ledger)
    if not steps:
        raise TestbedError("No size could be measured.", "The lines above say why.")
    report = audit(deployment, ledgers, wait_seconds=_PATIENCE_SECONDS)
    say(
        f"Audit: {report.acknowledged} acknowledged, {report.acknowledged_archived} archived, "
        f"{report.missing_count} missing, {report.wrong_state_count} wrong latest states"
    )
    return Growth(idle_cpu, idle_memory, steps, failed, report)


def _step(deployment: Deployment, scale: GrowthScale, size: int, prefix: str, ledger: Path, say: Say) -> Step:
    begun = time.monotonic()
    enrolment_of(deployment).enrol(station_ids(size, prefix))
    enrol_seconds = time.monotonic() - begun
    interval = scale.interval_of(size)
    say(f"{size} stations enrolled in {enrol_seconds:.0f} s; connecting at {scale.ramp:g} a second")
    with simulated.fleet(deployment, size, interval, scale.ramp, prefix, ledger) as fleet:
        if not fleet.connected(_PATIENCE_SECONDS + _SLOWER * size / scale.ramp):
            say(f"Not all of {size} stations are connected yet; measured is what is")
        _settle(deployment, size / interval)
        before, since = Usage.of(deployment, fleet.pid), datetime.now(UTC)
        waiting = list(_depths(deployment, scale.seconds))
        until = datetime.now(UTC)
        cpu, memory = Usage.of(deployment, fleet.pid).since(before)
        summary = fleet.end()
    quiet.wait_for_empty_queue(
        deployment.client("sqs"), deployment.outputs.telemetry_queue_url, _PATIENCE_SECONDS
    )
    seconds = (until - since).total_seconds()
    sent = [line for line in read_ledger(ledger) if _in(line.timestamp, since, until)]
    stored = _stored(deployment, prefix, since)
    latencies = sorted(
        stored[line.message_id].timestamp() - datetime.fromisoformat(line.timestamp).timestamp()
        for line in sent
        if line.message_id in stored
    )
    third = max(1, len(waiting) // 3)
    return Step(
        stations=size,
        interval=interval,
        connected=summary["connected"],
        disconnects=summary["disconnects"],
        refused=summary["refused"],
        enrol_seconds=enrol_seconds,
        connect_rate=summary["connected"] / max(1e-3, summary["ramp_seconds"]),
        seconds=seconds,
        offered=size / interval,
        acknowledged=len(sent) / seconds,
        stored=sum(since <= when < until for when in stored.values()) / seconds,
        latency_p50=_quantile(latencies, 0.5),
        latency_p99=_quantile(latencies, 0.99),
        ack_p50_ms=summary["ack_p50_ms"],
        ack_p99_ms=summary["ack_p99_ms"],
        cpu=cpu,
        memory=memory,
        waiting_first=statistics.fmean(waiting[:third]),
        waiting_last=statistics.fmean(waiting[-third:]),
    )


def _said(step: Step) -> str:
    cores = ", ".join(f"{name} {100 * share:.0f} %" for name, share in asdict(step.cpu).items())
    return (
        f"{step.connected} of {step.stations} stations at {step.connect_rate:.0f} connects/s; every "
        f"{step.interval:g} s for {step.seconds:.0f} s: offered {step.offered:.1f}/s, "
        f"acknowledged {step.acknowledged:.1f}/s, stored {step.stored:.1f}/s; "
        f"publish to stored p50 {1000 * step.latency_p50:.0f} ms, p99 "
        f"{1000 * step.latency_p99:.0f} ms; of a core: {cores}; simulator {step.memory.simulator:.0f} MiB, broker "
        f"{step.memory.broker:.0f} MiB; the queue {'grows' if step.queue_grows else 'does not grow'}; "
        f"{step.disconnects} disconnects"
    )


def _settle(deployment: Deployment, offered: float) -> None:
    """Wait until the queue has two seconds' messages at most, for half a minute: what the ramp left is gone then."""
    sqs, queue = deployment.client("sqs"), deployment.outputs.telemetry_queue_url
    deadline = time.monotonic() + _SETTLE_SECONDS
    while time.monotonic() < deadline and quiet.queue_depth(sqs, queue) > max(10.0, 2 * offered):
        time.sleep(0.5)


def _depths(deployment: Deployment, seconds: float) -> Iterator[int]:
    """Yield what waits in the queue, every two seconds, for so long."""
    sqs, queue = deployment.client("sqs"), deployment.outputs.telemetry_queue_url
    begun = time.monotonic()
    number = 0
    while number * _SAMPLE_SECONDS < seconds:
        number += 1
        yield quiet.queue_depth(sqs, queue)
        due = begun + min(seconds, number * _SAMPLE_SECONDS)
        time.sleep(max(0.0, due - time.monotonic()))


def _stored(deployment: Deployment, prefix: str, since: datetime) -> dict[str, datetime]:
    """Return when each message of the fleet first came into the archive, of batches written since then."""
    s3, bucket = deployment.client("s3"), deployment.outputs.telemetry_bucket_name
    first: dict[str, datetime] = {}
    for key, when, _ in reader.dated(s3, bucket, reader.PREFIX):
        if when < since:
            continue
        for record in reader.read(s3, bucket, key):
            message_id = record["message_id"]
            if message_id.startswith(prefix):
                first[message_id] = min(when, first.get(message_id, when))
    return first


def _in(timestamp: str, since: datetime, until: datetime) -> bool:
    return since <= datetime.fromisoformat(timestamp) < until


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[int(share * (len(ordered) - 1))] if ordered else 0.0
