"""The bill stays below $1.60 a million messages, and below a quarter of the baseline design's."""

import json
import re

from typer.testing import CliRunner

from simulator.connection import Endpoint
from simulator.options import FleetOptions
from testbed.cli.costs import app
from testbed.cost import bill
from testbed.cost.bill import Workload
from testbed.paths import TERRAFORM

TYPICAL = Workload(stations=1000, interval=5, window=5)


def test_a_million_messages_cost_at_most_a_dollar_sixty() -> None:
    """At 1,000 stations, every 5 s, fresh within 5 s."""
    assert bill.total(bill.bill(TYPICAL)) <= 1.60


def test_a_history_point_for_each_message_would_cost_more_than_that() -> None:
    """Which is why there is one a minute."""
    every = Workload(stations=1000, interval=5, window=5, history_resolution=5)
    assert bill.total(bill.bill(every)) > 1.60


def test_the_baseline_design_costs_several_times_that() -> None:
    assert bill.total(bill.baseline_bill(TYPICAL)) / bill.total(bill.bill(TYPICAL)) > 4


def test_twenty_stations_every_five_seconds_are_ten_million_messages_a_month() -> None:
    """The baseline's documentation says 100,000."""
    assert round(Workload(20, 5).messages_a_month / 1e6, 2) == 10.37


def test_without_batches_the_archive_is_most_of_the_bill() -> None:
    """The lever that the queue is there for: without it, a million messages cost more than $1.60."""
    single = Workload(stations=1000, interval=5, batch_size=1)
    lines = {line.what: line.usd_a_million for line in bill.bill(single)}
    assert lines["a PUT for 1 messages"] == 5.0
    assert bill.total(bill.bill(single)) > 1.60


def test_what_was_counted_agrees_with_the_design_and_its_price() -> None:
    """counted.json is of this workload; the design's figures and the counted ones are the same."""
    workload, counts = bill.counted()
    ours, baseline = counts.ours, counts.baseline
    assert workload == TYPICAL
    assert bill.total(bill.bill(TYPICAL, ours)) <= 1.60
    assert bill.total(bill.baseline_bill(TYPICAL, baseline)) / bill.total(bill.bill(TYPICAL, ours)) > 4
    design = bill.from_design(TYPICAL)
    for operation in design.calls:
        assert round(ours.each(operation), 6) == round(design.each(operation), 6)
    assert ours.state_writes == design.state_writes == 1


def test_calls_and_bytes_are_scaled_to_a_million() -> None:
    """By service and operation."""
    found = bill.Counted.from_proxy(
        1000,
        1,
        {
            "s3:PutObject": {
                "count": 2,
                "statements": 0,
                "bytes_in": 5000,
                "bytes_out": 100,
                "statuses": {"200": 2},
            }
        },
    )
    assert found.a_million() == [("s3", "PutObject", 2000, 5, 0.1)]


def test_both_directions_of_every_call_were_counted() -> None:
    """What is kept has bytes for each operation of functions and bridge; only S3 answers nothing."""
    _, counts = bill.counted()
    for part in (counts.ours, counts.baseline, counts.bridge):
        assert set(part.calls) == set(part.bytes_sent) == set(part.bytes_received)
        assert all(part.bytes_sent.values())
    assert counts.bridge.bytes_received["sqs:SendMessageBatch"] > 0


def test_what_an_apply_is_told_has_every_part_that_is_billed() -> None:
    """The simulator does not publish by Basic Ingest; alarms, custom metrics, WAF, X-Ray, API and pages cost, too."""
    plain = Workload(stations=1000, interval=5, basic_ingest=False)
    assert bill.total(bill.bill(plain)) - bill.total(bill.bill(TYPICAL)) > 0.99
    assert bill.fixed_monthly() == 12 * 0.1 + 7 * 0.3 + 3
    assert bill.fixed_monthly(waf=True) - bill.fixed_monthly() == 7
    lines = {line.service: line.usd_a_million for line in bill.requests_bill(waf=True, xray=True)}
    assert {name: round(usd, 2) for name, usd in lines.items()} == {
        "API Gateway": 3.5,
        "WAF": 0.6,
        "X-Ray": 5.0,
    }
    assert bill.page_monthly(plain) > 500


def test_a_replica_writes_the_tables_once_more() -> None:
    """The figure of docs/regions.md: 1.13 writes a message at $0.625."""
    workload = Workload(stations=1000, interval=5)
    a_million = bill.replica_monthly(workload) / (workload.messages_a_month / 1e6)
    assert round(a_million, 2) == 0.71


def test_make_cost_prices_what_the_simulator_does_unless_told_otherwise() -> None:
    shown = {
        option: json.loads(CliRunner().invoke(app, ["cost", "--json", *option]).stdout)["workload"][
            "basic_ingest"
        ]
        for option in ((), ("--basic-ingest",))
    }
    assert shown == {
        (): FleetOptions(1, Endpoint("localhost", 1, None, None)).basic_ingest is not None,
        ("--basic-ingest",): True,
    }


def test_the_alarms_and_metrics_that_are_billed_are_those_that_there_are() -> None:
    text = (TERRAFORM / "monitoring.tf").read_text()
    each = {
        "dead_letters": 1,
        "queue_age": 1,
        # Of a stream alone: a tenth of a dollar a month more.
        "stream_age": 0,
        "lambda_errors": 2,
        "rule_failures": 4,
        "rule_throttled": 2,
        "silence": 2,
    }
    assert set(re.findall(r'resource "aws_cloudwatch_metric_alarm" "(\w+)"', text)) == set(each)
    assert sum(each.values()) == bill._ALARMS
