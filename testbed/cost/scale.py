"""What the pipeline needs at some size, by arithmetic, against AWS's published quotas.

Rates follow from the workload and from what the handler calls for a message (`testbed.cost.bill`); quotas are in
quotas.json, with their date and sources. Nothing here was measured on AWS.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from testbed.cost import bill
from testbed.cost.bill import Workload

QUOTAS = Path(__file__).parent / "quotas.json"

STATIONS = (10_000, 100_000, 1_000_000)
INTERVALS = (60.0, 5.0)

# Terraform's default of telemetry_max_concurrency; it goes to 1,000.
MAX_CONCURRENCY = 5
# Wanted: a network that was cut off is back within ten minutes, and a fleet is enrolled within a day.
_RETURN_SECONDS, _ENROLMENT_SECONDS = 600, 86_400
# Of a poller of the queue; see lambda_pollers in quotas.json.
_POLLER_MESSAGES = 100
# What a page plans for one of its connections, in messages a second: dashboard/listen.js.
_PAGE_CONNECTION = 60


@dataclass(frozen=True)
class Quota:
    """A limit; ``value`` is None where there is none. ``adjustable``: somebody may raise it, AWS or a variable here."""

    name: str
    value: float | None
    adjustable: bool
    source: str


@dataclass(frozen=True)
class Need:
    """What one workload needs of one quota, in the quota's unit."""

    quota: Quota
    needed: float

    @property
    def verdict(self) -> str:
        """``ok``, ``raise`` the quota, or ``stop``: nobody raises it, so the design ends here."""
        if self.quota.value is None or self.needed <= self.quota.value:
            return "ok"
        return "raise" if self.quota.adjustable else "stop"


def quotas() -> dict[str, Quota]:
    """AWS's, by key, and this design's own."""
    entries = json.loads(QUOTAS.read_text())["quotas"]
    found = {
        key: Quota(entry["name"], entry["value"], entry["adjustable"], entry["source"])
        for key, entry in entries.items()
    }
    found["max_concurrency"] = Quota(
        "this design: batches in work (telemetry_max_concurrency)",
        MAX_CONCURRENCY,
        adjustable=True,
        source="terraform/variables.tf, up to 1,000",
    )
    return found


def needs(workload: Workload) -> dict[str, Need]:
    """Return what the network needs of each quota, by the quota's key, in the steady state at its mean rate."""
    rate = workload.stations / workload.interval
    handler = bill.from_design(workload)
    batches = rate * handler.invocations / handler.messages
    seconds = bill.batch_seconds(handler)
    needed = {
        "iot_registrations": workload.stations / _ENROLMENT_SECONDS,
        "iot_connections": workload.stations,
        "iot_connects": workload.stations / _RETURN_SECONDS,
        "iot_publishes": rate,
        # A page listens to every station.
        "iot_outbound": rate,
        "iot_page": rate / _PAGE_CONNECTION,
        # One rule a message: Basic Ingest names it, and the presence rule hears other topics.
        "iot_rules": rate,
        "sqs_messages": rate,
        # From the poller's hand in the window to the end of the batch.
        "sqs_in_flight": rate * (workload.window + seconds),
        "lambda_pollers": rate / _POLLER_MESSAGES,
        "lambda_concurrency": batches * seconds,
        "max_concurrency": batches * seconds,
        # Of the busier of the two tables; an item of either is below 1 KB, so a write is a unit.
        "dynamodb_table_writes": rate * max(handler.state_writes, handler.each("dynamodb:PutItem")),
        "s3_puts": rate * handler.each("s3:PutObject"),
    }
    needed["dynamodb_new_table_writes"] = needed["dynamodb_table_writes"]
    return {key: Need(quota, needed[key]) for key, quota in quotas().items()}


def dollars_a_month(workload: Workload) -> float:
    """Return the bill of 30 days (`make cost`), with what costs while nobody sends."""
    return bill.total(bill.bill(workload)) * workload.messages_a_month / 1e6 + bill.fixed_monthly()


def workloads() -> list[Workload]:
    """Those of the table: each size at each interval."""
    return [Workload(stations, interval) for interval in INTERVALS for stations in STATIONS]


_MARKS = {"ok": "", "raise": " ↑", "stop": " ✗"}


def table() -> list[list[str]]:
    """Rows of text, the first of them headings: a quota in each, a workload in each column, the bill at the end."""
    sizes = workloads()
    rows = [["needed", *(f"{one.stations:,} every {one.interval:g} s" for one in sizes), "quota"]]
    found = [needs(one) for one in sizes]
    for key, quota in quotas().items():
        limit = "none" if quota.value is None else f"{quota.value:,.0f}"
        cells = [f"{_number(need[key].needed)}{_MARKS[need[key].verdict]}" for need in found]
        rows.append([quota.name, *cells, limit])
    rows.append(["dollars a month", *(f"{dollars_a_month(one):,.0f}" for one in sizes), ""])
    return rows


def markdown(rows: list[list[str]]) -> str:
    """Return a table, its headings first, as docs/scale.md has it."""
    head, *rows = rows
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
