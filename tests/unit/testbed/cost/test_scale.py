"""The table of what a size needs, its arithmetic and its sources."""

import json
import re

import pytest

from testbed.cost import designs, scale
from testbed.cost.bill import Workload
from testbed.cost.scale import QUOTAS
from testbed.paths import DASHBOARD, REPOSITORY, TERRAFORM

MILLION = Workload(1_000_000, 60)


def test_rates_are_stations_by_interval() -> None:
    """A million stations a minute are 16,667 messages a second, at every step of the way."""
    found = scale.needs(MILLION)
    for key in ("iot_publishes", "iot_rules", "sqs_messages", "dynamodb_table_writes"):
        assert round(found[key].needed) == 16_667
    assert round(found["s3_puts"].needed, 1) == 16.7  # a thousand messages a batch


def test_what_is_in_flight_is_what_came_in_the_window_and_while_a_batch_is_in_work() -> None:
    found = scale.needs(MILLION)["sqs_in_flight"].needed
    assert 16_667 * 5 < found < 16_667 * 8.1


@pytest.mark.parametrize(
    ("workload", "raised"),
    [
        (Workload(10_000, 60), set()),
        (Workload(100_000, 60), {"max_concurrency"}),
        (
            MILLION,
            {
                "iot_registrations",
                "iot_connections",
                "iot_connects",
                "sqs_in_flight",
                "dynamodb_new_table_writes",
                "max_concurrency",
            },
        ),
        (
            Workload(2_000_000, 60, window=5),
            {
                "iot_registrations",
                "iot_connections",
                "iot_connects",
                "iot_publishes",
                "iot_outbound",
                "iot_rules",
                "sqs_in_flight",
                "dynamodb_new_table_writes",
                "max_concurrency",
            },
        ),
    ],
)
def test_what_has_to_be_raised(workload: Workload, raised: set[str]) -> None:
    found = scale.needs(workload)
    assert {key for key, need in found.items() if need.verdict == "raise"} == raised


def test_a_live_page_hears_as_much_as_its_connections_are_given() -> None:
    """AWS drops what is over a hundred a second of one: the page opens up to twenty, for 60 each."""
    assert scale.needs(Workload(6000, 5))["iot_page"].verdict == "ok"
    assert scale.needs(Workload(6001, 5))["iot_page"].verdict == "stop"
    listens = (DASHBOARD / "listen.js").read_text()
    assert "const SHARE = 0.6;" in listens
    assert "const MOST = 20;" in listens


def test_what_aws_does_not_raise_ends_the_design() -> None:
    """A hundred thousand messages a second are more than one queue's pollers take."""
    assert scale.needs(Workload(8_000_000, 60))["lambda_pollers"].verdict == "stop"


def test_every_quota_has_a_source_and_is_used() -> None:
    document = json.loads(QUOTAS.read_text())
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", document["read_on"])
    assert all(
        entry["source"].startswith("https://docs.aws.amazon.com/") for entry in document["quotas"].values()
    )
    assert scale.needs(MILLION).keys() == scale.quotas().keys()


def test_the_designs_own_limit_is_terraforms() -> None:
    text = (TERRAFORM / "variables.tf").read_text()
    found = re.search(r'"telemetry_max_concurrency" \{.*?default\s+= (\d+)', text, re.DOTALL)
    assert found
    assert int(found[1]) == scale.MAX_CONCURRENCY


def test_the_page_has_the_tables_that_the_command_prints() -> None:
    page = (REPOSITORY / "docs" / "scale.md").read_text()
    assert scale.markdown(scale.table()) in page
    assert scale.markdown(designs.table()) in page
