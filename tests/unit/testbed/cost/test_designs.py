"""What other designs cost beside the deployed one, and from which fleet on they pay."""

import itertools
import re
from dataclasses import replace

import pytest

from testbed.cost import bill, designs
from testbed.cost.bill import Workload
from testbed.cost.designs import DEFAULT, DESIGNS, Design
from testbed.deploy.design import chosen_design
from testbed.paths import REPOSITORY, TERRAFORM

THOUSAND, HUNDRED_THOUSAND = Workload(1000, 5), Workload(100_000, 5)
STREAM = Design("kinesis provisioned", "provisioned")


def dollars(design: Design, workload: Workload) -> float:
    return bill.total(designs.design_bill(design, workload))


def lines(design: Design, workload: Workload) -> dict[str, float]:
    return {line.what: line.usd_a_million for line in designs.design_bill(design, workload)}


def test_kinesis_and_provisioned_tables_cost_at_most_a_dollar_and_at_scale_three_quarters() -> None:
    """A million messages at 1,000 stations and at 100,000, every 5 s: what settings can deploy."""
    assert dollars(STREAM, THOUSAND) <= 1.00
    assert dollars(STREAM, HUNDRED_THOUSAND) <= 0.75


def test_the_same_with_a_stream_on_demand_keeps_to_both() -> None:
    on_demand = Design("kinesis on-demand", "provisioned")
    assert dollars(on_demand, THOUSAND) <= 1.00
    assert dollars(on_demand, HUNDRED_THOUSAND) <= 0.75


def test_the_deployed_design_misses_both() -> None:
    """And so does either change alone: the stream without the tables, the tables without the stream."""
    for design in (DEFAULT, Design("sqs", "provisioned"), Design("kinesis provisioned", "on-demand")):
        assert dollars(design, THOUSAND) > 1.00
        assert dollars(design, HUNDRED_THOUSAND) > 0.75


def test_the_deployed_design_is_what_the_bill_prices_and_terraform_deploys() -> None:
    assert designs.design_bill(DEFAULT, THOUSAND) == bill.bill(THOUSAND)
    variables = (TERRAFORM / "variables.tf").read_text()
    for name, default in (("ingest", "sqs"), ("table_capacity", "on-demand")):
        assert re.search(rf'^variable "{name}" \{{[^}}]*?default\s*= "{default}"', variables, re.MULTILINE)


def test_the_settings_choose_the_design(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen_design("dev") == DEFAULT
    monkeypatch.setenv("TF_VAR_table_capacity", "provisioned")
    assert chosen_design("dev") == Design("sqs", "provisioned")
    assert "SQS, tables provisioned (deployed)" in [row[0] for row in designs.table(chosen_design("dev"))]
    monkeypatch.setenv("TF_VAR_ingest", "kinesis")
    assert chosen_design("dev") == Design("kinesis on-demand", "provisioned")
    monkeypatch.setenv("TF_VAR_stream_shards", "3")
    assert chosen_design("dev") == STREAM
    # Each of them can be deployed.
    assert STREAM in DESIGNS


def test_shards_carry_the_records_with_room_to_spare() -> None:
    """A shard takes 1,000 records a second ("Quotas and limits" of Kinesis Data Streams)."""
    assert designs.shards(STREAM, THOUSAND) == 1
    assert designs.shards(STREAM, HUNDRED_THOUSAND) == 29
    assert designs.shards(STREAM, Workload(1_000_000, 5)) == 286
    # Below the default of 20,000 an account in us-east-1.
    assert designs.shards(DEFAULT, HUNDRED_THOUSAND) == 0


def test_a_shard_is_billed_by_the_hour_and_each_record_by_a_unit() -> None:
    """A record of up to 25 KB is one PUT payload unit ("Amazon Kinesis Data Streams pricing", provisioned mode)."""
    found = lines(STREAM, THOUSAND)
    month = found["1 shard"] * THOUSAND.messages_a_month / 1e6
    assert month == pytest.approx(0.015 * 24 * 30)
    assert found["a PUT unit a message"] == pytest.approx(0.014)


def test_a_write_unit_at_seventy_percent_is_a_third_of_the_price_on_demand_and_more() -> None:
    """3,600 writes an hour for $0.00065, of which 70 % are used: $0.258 a million, and not $0.625."""
    found = lines(Design("sqs", "provisioned"), HUNDRED_THOUSAND)
    assert found["latest state: 1.00 writes a message"] == pytest.approx(
        0.00065 / 3600 / 0.7 * 1e6, rel=0.001
    )


def test_batches_are_done_before_the_next_one_is_full() -> None:
    """Or a stream would fall behind, which no price shows."""
    for stations, interval in itertools.product((20, 1000, 3499, 100_000, 1_000_000), (1.0, 5.0, 60.0)):
        workload = Workload(stations, interval)
        found = designs.calls(STREAM, workload)
        lanes = designs.shards(STREAM, workload) * 10
        batch = found.messages / found.invocations
        assert bill.batch_seconds(found) <= batch / (stations / interval / lanes) + 0.01


def test_a_longer_window_saves_writes_because_a_stations_messages_meet() -> None:
    """A shard's batch has several messages of a station; the queue's five pollers share them out."""
    long = replace(THOUSAND, window=20, batch_size=10_000)
    assert designs.calls(STREAM, long).state_writes == pytest.approx(0.25)


@pytest.mark.parametrize("interval", [5.0, 60.0])
@pytest.mark.parametrize("design", DESIGNS[1:], ids=lambda design: design.name)
def test_a_design_pays_from_its_fleet_on_and_not_at_one_station_less(design: Design, interval: float) -> None:
    start = designs.pays_from(design, Workload(1, interval))
    sizes = [start - 1, *range(start, start + 300), *(round(start * 1.3**step) for step in range(1, 30))]
    for stations in sizes:
        fleet = Workload(stations, interval)
        assert (dollars(design, fleet) < dollars(DEFAULT, fleet)) == (stations >= start), stations


def test_the_cheapest_changes_with_the_size() -> None:
    assert designs.cheapest(Workload(2, 60)) == DEFAULT
    assert designs.cheapest(THOUSAND) == STREAM


def test_the_page_of_costs_says_what_the_stream_and_the_tables_come_to() -> None:
    page = (REPOSITORY / "docs" / "costs.md").read_text()
    for workload in (THOUSAND, HUNDRED_THOUSAND):
        for design in DESIGNS:
            assert f"{dollars(design, workload):.2f}" in page, (design, workload)
    workload, counts = bill.counted()
    counted = bill.total(bill.bill(workload, counts.ours))
    assert (
        f"| this design, Basic Ingest | {counted:.2f} | {counted * THOUSAND.messages_a_month / 1e6:,.0f} |"
        in page
    )
