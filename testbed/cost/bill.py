"""What a network costs on AWS: counts of billed things a message, times AWS's list prices.

What the handler calls is counted (`bench/calls.py`, kept in counted.json) for 1,000 stations every 5 s, in batches of
5 s; for other workloads it follows from the design. How each service bills comes from its documentation; what is
assumed is named beside it. The baseline design (one Lambda call and one S3 PUT for every message) is counted the
same way.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Self

_PRICES = Path(__file__).parent / "prices.json"
COUNTED = Path(__file__).parent / "counted.json"

SECONDS_A_MONTH = 30 * 24 * 3600
MINUTES_A_MONTH = 30 * 24 * 60

# SQS hands out and deletes at most ten messages a request.
_SQS_BATCH = 10
# functions/telemetry_handler/stations.py: so many stations' states in a call, billed as so many writes.
_AT_ONCE = 25
# Lambda polls a queue with five pollers at first, each filling batches of its own
# (https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html).
_POLLERS = 5
# Assumed, of a batch of hundreds on arm64 with 512 MB: 50 ms for the PUT, and updates of 15 ms on ten threads.
_MEMORY_GB = 0.5
_BATCH_SECONDS, _UPDATE_SECONDS, _THREADS = 0.05, 0.015, 10
# Assumed: so many messages of a hundred come after a newer one of their station, or twice; each of those is a
# write to the history, too, as the handler cannot know without it.
_OUT_OF_ORDER = 0.05
# A point with its names, as DynamoDB counts bytes, and its index overhead; kept for the default of 24 hours.
_POINT_BYTES, _POINT_MONTHS = 350, 1 / 30
# Alarms in terraform/monitoring.tf; buckets, tables and queues cost nothing while they are empty.
_ALARMS = 12
# Metrics that the handler makes of its own: functions/telemetry_handler/report.py. One a refusal's reason comes on top.
_METRICS = 7
# terraform/protection.tf: the rate and AWS's common rules.
_WAF_RULES = 2
# Assumed: a telemetry message compresses to so many bytes in its batch; and a batch logs so many.
_ARCHIVED_BYTES, _LOG_BYTES_A_BATCH = 90, 1500
# Assumed of the baseline design: 128 MB on x86 for 100 ms a message; Lambda's own three lines and two of its own;
# and an archived object of its own is not compressed.
_BASELINE_MEMORY_GB, _BASELINE_SECONDS, _BASELINE_LOG_BYTES, _BASELINE_ARCHIVED_BYTES = 0.125, 0.1, 1000, 350


@dataclass(frozen=True)
class Workload:
    """A network: ``interval`` in seconds between two messages of a station, ``window`` seconds of batching.

    ``history_resolution``: seconds between two points of a station's history, as Terraform's variable.
    """

    stations: int
    interval: float
    window: float = 5.0
    batch_size: int = 1000
    basic_ingest: bool = True
    history_resolution: float = 60

    @property
    def messages_a_month(self) -> float:
        """Telemetry messages in 30 days."""
        return self.stations * SECONDS_A_MONTH / self.interval


@dataclass(frozen=True)
class Counted:
    """What a part really called for so many messages: calls and bytes of bodies by ``service:Operation``.

    ``bytes_received`` are of the answers. ``invocations``: of the handler; 0 where it is not the handler.
    ``statements`` are in the calls of ``dynamodb:BatchExecuteStatement``: each is billed as a write of its own.
    """

    messages: int
    invocations: int
    calls: dict[str, int]
    bytes_sent: dict[str, int]
    bytes_received: dict[str, int] = field(default_factory=dict)
    statements: int = 0

    @classmethod
    def from_proxy(cls, messages: int, invocations: int, calls: dict[str, Any]) -> Self:
        """Take what `testbed.drills.faults.proxy.FaultProxy.counts` has as ``calls``."""
        return cls(
            messages,
            invocations,
            {name: found["count"] for name, found in calls.items()},
            {name: found["bytes_in"] for name, found in calls.items()},
            {name: found["bytes_out"] for name, found in calls.items()},
            sum(found["statements"] for found in calls.values()),
        )

    def a_million(self) -> list[tuple[str, str, float, float, float]]:
        """Service, operation, and for a million messages: calls, MB sent, MB received."""
        scale = 1e6 / self.messages
        return [
            (
                *name.split(":", 1),  # type: ignore[misc]  # two, by the colon
                calls * scale,
                self.bytes_sent.get(name, 0) * scale / 1e6,
                self.bytes_received.get(name, 0) * scale / 1e6,
            )
            for name, calls in sorted(self.calls.items())
        ]

    def each(self, operation: str) -> float:
        """Return the calls that a message costs."""
        return self.calls.get(operation, 0) / self.messages

    @property
    def state_writes(self) -> float:
        """Writes to the stations table that a message costs."""
        return self.each("dynamodb:UpdateItem") + self.statements / self.messages

    @property
    def archived_bytes(self) -> float:
        """Bytes a message in the archive."""
        return self.bytes_sent.get("s3:PutObject", 0) / self.messages


def from_design(workload: Workload, batch: float | None = None, speakers: float | None = None) -> Counted:
    """Return what the handler should call for ten million messages, by its design.

    ``batch``: messages of an invocation, or else what a poller of the queue gathers. ``speakers``: how many stations'
    messages may meet in one batch, or else all of them.
    """
    messages = 10_000_000
    batch = batch or batch_of(workload)
    points = min(1.0, workload.interval / workload.history_resolution)
    batches = round(messages / batch)
    # Within a batch each station is written once: it saves only where a station speaks more often than that.
    stations = min(batch, speakers or workload.stations)
    calls = {
        "s3:PutObject": batches,
        "dynamodb:BatchExecuteStatement": batches * math.ceil(stations / _AT_ONCE),
        "dynamodb:PutItem": round(messages * points),
    }
    sent = {"s3:PutObject": messages * _ARCHIVED_BYTES}
    return Counted(messages, batches, calls, sent, statements=round(messages * stations / batch))


def baseline_from_design() -> Counted:
    """Compute what the baseline's handler calls, by its design."""
    calls = {"s3:PutObject": 1, "dynamodb:UpdateItem": 1}
    return Counted(1, 1, calls, {"s3:PutObject": _BASELINE_ARCHIVED_BYTES})


def batch_of(workload: Workload) -> float:
    """Return how many messages AWS hands to one invocation: what one poller gathers in the window."""
    rate = workload.stations / workload.interval
    return max(1.0, min(workload.batch_size, rate * max(workload.window, 0.2) / _POLLERS))


@dataclass(frozen=True)
class Counts:
    """What one count found: calls of this design's handler and bridge, and of the baseline's handler."""

    ours: Counted
    baseline: Counted
    bridge: Counted


def counted() -> tuple[Workload, Counts]:
    """Return the workload that was counted, and what was."""
    document = json.loads(COUNTED.read_text())
    counts = Counts(*(Counted(**document[name]) for name in ("ours", "baseline", "bridge")))
    return Workload(**document["workload"]), counts


def keep_counted(workload: Workload, counts: Counts) -> None:
    """Write counted.json."""
    document = {
        "workload": {"stations": workload.stations, "interval": workload.interval, "window": workload.window},
        **asdict(counts),
    }
    COUNTED.write_text(json.dumps(document, indent=1) + "\n")


@dataclass(frozen=True)
class Line:
    """A line of the bill: dollars a million messages."""

    service: str
    what: str
    usd_a_million: float


@cache
def prices() -> dict[str, float]:
    """AWS's list prices in dollars, by name; their date and sources are in prices.json."""
    return {name: entry["usd"] for name, entry in json.loads(_PRICES.read_text())["prices"].items()}


def bill(
    workload: Workload,
    found: Counted | None = None,
    *,
    write: float | None = None,
    price: Mapping[str, float] | None = None,
) -> list[Line]:
    """Return this design's bill for a million messages.

    ``found``: what was counted, or else what the design says. ``write``: dollars of a write, or else DynamoDB's price
    on demand. ``price``: a region's, or else us-east-1's.
    """
    price = price or prices()
    found = found or from_design(workload)
    write = price["dynamodb_write"] if write is None else write
    batch = found.messages / found.invocations
    points = history_points(found)
    seconds = batch_seconds(found)
    million = 1_000_000
    lines = [
        ("IoT Core", "connected minutes", workload.interval / 60 * price["iot_connection_minute"]),
        ("IoT Core", "messages" + (" (Basic Ingest: none)" if workload.basic_ingest else ""),
         0.0 if workload.basic_ingest else price["iot_message"]),
        ("IoT Core", "rule and action", price["iot_rule"] + price["iot_action"]),
        ("SQS", "send, and receive and delete by ten", (1 + 2 / _SQS_BATCH) * price["sqs_request"]),
        ("Lambda", f"a call for {batch:.0f} messages",
         (price["lambda_request"] + seconds * _MEMORY_GB * price["lambda_gb_second_arm"]) / batch),
        ("DynamoDB", f"latest state: {found.state_writes:.2f} writes a message", found.state_writes * write),
        ("DynamoDB", f"history: {points:.2f} points a message, kept for a day",
         points * (write + _POINT_BYTES / 1e9 * _POINT_MONTHS * price["dynamodb_gb_month"])),
        ("S3", f"a PUT for {1 / found.each('s3:PutObject'):.0f} messages",
         found.each("s3:PutObject") * price["s3_put"]),
        ("S3", f"a month of storage, {found.archived_bytes:.0f} bytes a message",
         found.archived_bytes / 1e9 * price["s3_gb_month"]),
        ("CloudWatch", "logs", _LOG_BYTES_A_BATCH / batch / 1e9 * price["logs_gb"]),
    ]  # fmt: skip
    return [Line(service, what, million * usd) for service, what, usd in lines]


def history_points(found: Counted) -> float:
    """Return the history's writes a message; those out of order depend on the network and are in no count."""
    return min(1.0, found.each("dynamodb:PutItem") + _OUT_OF_ORDER)


def batch_seconds(found: Counted) -> float:
    """Return how long a batch of the counted size takes, its PUT and its writes."""
    batch = found.messages / found.invocations
    writes = (found.state_writes + history_points(found)) * batch
    return _BATCH_SECONDS + writes * _UPDATE_SECONDS / _THREADS


def baseline_bill(workload: Workload, found: Counted | None = None) -> list[Line]:
    """Price a million messages of the baseline design: rule -> Lambda, one PUT and one write each."""
    price = prices()
    found = found or baseline_from_design()
    million = 1_000_000
    lines = [
        ("IoT Core", "connected minutes", workload.interval / 60 * price["iot_connection_minute"]),
        ("IoT Core", "messages", price["iot_message"]),
        ("IoT Core", "rule and action", price["iot_rule"] + price["iot_action"]),
        ("Lambda", "a call a message",
         price["lambda_request"] + _BASELINE_SECONDS * _BASELINE_MEMORY_GB * price["lambda_gb_second_x86"]),
        ("DynamoDB", f"{found.state_writes:.2f} writes a message", found.state_writes * price["dynamodb_write"]),
        ("S3", f"{found.each('s3:PutObject'):.2f} PUTs a message", found.each("s3:PutObject") * price["s3_put"]),
        ("S3", f"a month of storage, {found.archived_bytes:.0f} bytes a message",
         found.archived_bytes / 1e9 * price["s3_gb_month"]),
        ("CloudWatch", "logs", _BASELINE_LOG_BYTES / 1e9 * price["logs_gb"]),
    ]  # fmt: skip
    return [Line(service, what, million * usd) for service, what, usd in lines]


def requests_bill(*, waf: bool, xray: bool, price: Mapping[str, float] | None = None) -> list[Line]:
    """Return the bill of a million requests of the REST API, with what is switched on."""
    price = price or prices()
    lines = [("API Gateway", "requests", price["api_request"])]
    if waf:
        lines.append(("WAF", "requests", price["waf_request"]))
    if xray:
        lines.append(("X-Ray", "traces", price["xray_trace"]))
    return [Line(service, what, 1e6 * usd) for service, what, usd in lines]


def page_monthly(workload: Workload, *, price: Mapping[str, float] | None = None) -> float:
    """Return the dollars that one live page, open all month, costs by the messages that it listens to."""
    price = price or prices()
    return workload.messages_a_month * price["iot_message"] + MINUTES_A_MONTH * price["iot_connection_minute"]


def replica_monthly(workload: Workload, *, price: Mapping[str, float] | None = None) -> float:
    """Return the dollars a month of the tables in one more region: each write, and what is kept, once more.

    DynamoDB bills a replicated write as any other (DynamoDB developer guide, "DynamoDB billing for global tables").
    What carrying it there costs is a hundredth of that (docs/regions.md).
    """
    lines = [line for line in bill(workload, price=price) if line.service == "DynamoDB"]
    return total(lines) * workload.messages_a_month / 1e6


def fixed_monthly(*, waf: bool = False, price: Mapping[str, float] | None = None) -> float:
    """Dollars a month for what is there while nobody sends anything: alarms and the dashboard."""
    price = price or prices()
    idle = _ALARMS * price["alarm_month"] + _METRICS * price["metric_month"] + price["dashboard_month"]
    return idle + (price["waf_acl_month"] + _WAF_RULES * price["waf_rule_month"] if waf else 0)


def read_on() -> str:
    """Return where and when the prices are from, as ``us-east-1, 2026-11-23``."""
    document = json.loads(_PRICES.read_text())
    return f"{document['region']}, {document['read_on']}"


def total(lines: list[Line]) -> float:
    """Dollars a million messages."""
    return sum(line.usd_a_million for line in lines)
