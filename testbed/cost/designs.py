"""What the designs cost beside each other: a queue or a Kinesis stream, tables on demand or provisioned.

All of it is arithmetic by list prices, on the bill of `testbed.cost.bill`. `terraform/` deploys the first of
`DESIGNS` by default. Streams and tables are sized for a mean rate; what a peak needs beyond the head-room waits.
"""

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from testbed.cost import bill
from testbed.cost.bill import Counted, Line, Workload

Ingest = Literal["sqs", "kinesis on-demand", "kinesis provisioned"]
Tables = Literal["on-demand", "provisioned"]

_HOURS_A_MONTH = bill.SECONDS_A_MONTH / 3600
# A shard takes 1,000 records and 1 MB a second
# (https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html); a message with what the rule adds is
# below 1 KB, so the records come first. A new stream on demand takes 4 MB a second, which is four shards, and keeps
# twice its peak.
_SHARD_RECORDS, _SHARDS_ON_DEMAND = 1000, 4
# Batches of one shard that Lambda works on at once: ParallelizationFactor
# (https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html).
_MOST_LANES = 10
# On-demand streams are billed by GB, of records rounded up to 1 KB (1,024 bytes).
_RECORD_GB = 1 / 1024**2
# Chosen: streams and tables are filled to this share, DynamoDB's own default of auto-scaling's target.
UTILIZATION = 0.7
# Auto-scaling's alarms: two each for consumed and for provisioned capacity, of reads and writes of a table; and so many
# read units a table for the API. The operations table is written by hand and stays on demand.
_ALARMS_A_TABLE, _READ_UNITS, _TABLES = 8, 5, 2


@dataclass(frozen=True)
class Design:
    """A way from the rule to the tables."""

    ingest: Ingest = "sqs"
    tables: Tables = "on-demand"

    @property
    def name(self) -> str:
        """Name it as the tables print it."""
        return f"{self.ingest.replace('sqs', 'SQS').replace('kinesis', 'Kinesis')}, tables {self.tables}"


# By Terraform's defaults.
DEFAULT = Design()
DESIGNS = tuple(
    Design(ingest, tables)
    for ingest in ("sqs", "kinesis on-demand", "kinesis provisioned")
    for tables in ("on-demand", "provisioned")
)


def shards(design: Design, workload: Workload) -> int:
    """Return how many shards the stream has; none where there is no stream."""
    rate = workload.stations / workload.interval
    match design.ingest:
        case "sqs":
            return 0
        case "kinesis on-demand":
            return max(_SHARDS_ON_DEMAND, math.ceil(2 * rate / _SHARD_RECORDS))
        case "kinesis provisioned":
            return max(1, math.ceil(rate / _SHARD_RECORDS / UTILIZATION))


def calls(design: Design, workload: Workload) -> Counted:
    """Return what the handler calls, by the design; with a stream, a batch is what one lane gathers in the window.

    A shard has as few lanes as keep up: a batch is done before the next one is full.
    """
    if design.ingest == "sqs":
        return bill.from_design(workload)
    streams, rate = shards(design, workload), workload.stations / workload.interval
    for lanes in range(streams, streams * _MOST_LANES + 1, streams):
        batch = max(1.0, min(workload.batch_size, rate / lanes * workload.window))
        # A station's messages are all in one lane, by its key.
        found = bill.from_design(workload, batch, max(1.0, workload.stations / lanes))
        if bill.batch_seconds(found) <= batch / (rate / lanes):
            break
    return found


def design_bill(
    design: Design,
    workload: Workload,
    found: Counted | None = None,
    *,
    price: Mapping[str, float] | None = None,
) -> list[Line]:
    """Return the design's bill for a million messages.

    ``found`` is what was counted, or else what the design says; ``price``: a region's, or else us-east-1's.
    """
    found = found or calls(design, workload)
    price = price or bill.prices()
    write: float | None = None
    fixed: list[Line] = []
    if design.tables == "provisioned":
        write, fixed = _provisioned(workload, found, price)
    lines = bill.bill(workload, found, write=write, price=price)
    if design.ingest != "sqs":
        lines = [
            each
            for line in lines
            for each in (_stream(design, workload, price) if line.service == "SQS" else [line])
        ]
    return lines + fixed


def _stream(design: Design, workload: Workload, price: Mapping[str, float]) -> list[Line]:
    """Price the stream, shared out over the messages of a month."""
    millions, count = workload.messages_a_month / 1e6, shards(design, workload)
    if design.ingest == "kinesis provisioned":
        return [
            Line(
                "Kinesis",
                f"{count} shard{'s' * (count > 1)}",
                count * _HOURS_A_MONTH * price["kinesis_shard_hour"] / millions,
            ),
            Line("Kinesis", "a PUT unit a message", 1e6 * price["kinesis_put_unit"]),
        ]
    data = 1e6 * _RECORD_GB
    return [
        Line("Kinesis", "the stream", _HOURS_A_MONTH * price["kinesis_stream_hour"] / millions),
        Line(
            "Kinesis", "1 KB a message in, and out", data * (price["kinesis_gb_in"] + price["kinesis_gb_out"])
        ),
    ]


def _provisioned(workload: Workload, found: Counted, price: Mapping[str, float]) -> tuple[float, list[Line]]:
    """Return the dollars that a write comes to, and the lines of what auto-scaling and reads cost beside it."""
    rate = workload.stations / workload.interval
    writes = [rate * each for each in (found.state_writes, bill.history_points(found))]
    units = sum(math.ceil(each / UTILIZATION) for each in writes)
    write = units * price["dynamodb_wcu_hour"] / 3600 / sum(writes)
    month = _TABLES * (
        _READ_UNITS * _HOURS_A_MONTH * price["dynamodb_rcu_hour"] + _ALARMS_A_TABLE * price["alarm_month"]
    )
    what = f"{_READ_UNITS} read units and auto-scaling's alarms, of {_TABLES} tables"
    return write, [Line("DynamoDB", what, month / workload.messages_a_month * 1e6)]


def cheapest(workload: Workload) -> Design:
    """Return the design with the smallest bill; of equal ones the first."""
    return min(DESIGNS, key=lambda design: bill.total(design_bill(design, workload)))


def pays_from(design: Design, workload: Workload, *, instead_of: Design = DEFAULT) -> int:
    """Return the fleet from which on, at the workload's interval, ``design`` costs less.

    Capacity comes in whole units, so a smaller fleet can pay here and there; that is no fleet "from which on".
    """

    def pays(stations: int) -> bool:
        fleet = replace(workload, stations=stations)
        return bill.total(design_bill(design, fleet)) < bill.total(design_bill(instead_of, fleet))

    fleets = range(1, 1_000_000)
    about = fleets[bisect_left(fleets, True, key=pays)]
    return next((fleet + 1 for fleet in range(3 * about, 0, -1) if not pays(fleet)), 1)


def marked(design: Design, deployed: Design | None) -> str:
    """Return the design's name, and that it is the one which the settings deploy."""
    return f"{design.name} (deployed)" if design == deployed else design.name


FLEETS = tuple(Workload(stations, 5.0) for stations in (20, 100, 1000, 10_000, 100_000, 1_000_000))


def table(deployed: Design | None = None) -> list[list[str]]:
    """Rows of text, the first of them headings: a design's dollars a million messages by fleet, and where it pays."""
    sizes = [f"{one.stations:,}" for one in FLEETS]
    rows = [["$ a million messages, Basic Ingest", *sizes, "pays from, every 5 s", "every 60 s"]]
    for design in DESIGNS:
        dollars = [f"{bill.total(design_bill(design, one)):.2f}" for one in FLEETS]
        start = ["the default", "the default"]
        if design != DEFAULT:
            start = [f"{pays_from(design, Workload(1, interval)):,} stations" for interval in (5.0, 60.0)]
        rows.append([marked(design, deployed), *dollars, *start])
    return rows
