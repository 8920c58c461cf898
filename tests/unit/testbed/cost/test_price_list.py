"""A region's prices as the Price List API gives them: documents of the form that its reference shows (GetProducts)."""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from testbed.cost import bill, designs, price_list
from testbed.cost.price_list import Prices

TODAY = date(2026, 11, 25)
KNOWN = {"s3_put": 5e-06, "sqs_request": 4e-07, "iot_rule": 1.5e-07, "alarm_month": 0.1}


def product(usage: str, *tiers: tuple[str, str], group: str = "", operation: str = "") -> str:
    """Write a product with its tiers: where each begins, and its dollars."""
    return json.dumps(
        {
            "product": {"attributes": {"usagetype": usage, "group": group, "operation": operation}},
            "terms": {
                "OnDemand": {
                    "SKU.OFFER": {
                        "priceDimensions": {
                            f"SKU.OFFER.{number}": {"beginRange": begin, "pricePerUnit": {"USD": usd}}
                            for number, (begin, usd) in enumerate(tiers)
                        }
                    }
                }
            },
        }
    )


# In order of service codes, us-east-1 before the other region, as `read` asks.
LISTED = {
    "AWSIoT": (
        [product("AWSIoT-RuleX", ("0", "0.0000001500")), product("AWSIoT-Rule5", ("0", "0.0000005000"))],
        [product("EUC1-AWSIoT-RuleX", ("0", "0.0000001800"))],
    ),
    "AWSQueueService": (
        [
            # The first million is free.
            product("Requests-Standard", ("0", "0.0000000000"), ("1000000", "0.0000004000")),
            product("Requests-FIFO", ("0", "0.0000005000")),
        ],
        [
            product("EUC1-Requests-Standard", ("1000000", "0.0000004100"), ("0", "0.0000000000")),
            product("EUC1-Requests-FIFO", ("0", "0.0000005200")),
        ],
    ),
    "AmazonCloudWatch": (
        # Costs something else at home than what we know: not what is meant.
        [product("CW:AlarmMonitorUsage", ("0", "0.3000000000"))],
        [product("EUC1-CW:AlarmMonitorUsage", ("0", "0.3000000000"))],
    ),
    "AmazonS3": (
        [product("Requests-Tier1", ("0", "0.0000050000"), group="S3-API-Tier1")],
        [
            product("EUC1-Requests-Tier1", ("0", "0.0000054000"), group="S3-API-Tier1"),
            product("EUC1-Requests-Tier1", ("0", "0.0000099000"), group="S3-API-SIA-Tier1"),
        ],
    ),
}


@pytest.fixture
def pricing() -> Any:
    client = boto3.client("pricing", "us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
    services = sorted({service for service, _ in price_list._PRODUCTS.values()})
    with Stubber(client) as stubbed:
        for service in services:
            for listed in LISTED.get(service, ([], [])):
                expected = {"ServiceCode": service, "Filters": ANY, "FormatVersion": "aws_v1"}
                stubbed.add_response("get_products", {"PriceList": listed}, expected)
        yield client


def test_a_regions_price_is_of_the_product_whose_price_at_home_is_known(pricing: Any) -> None:
    found = price_list.read(pricing, "eu-central-1", KNOWN, TODAY)
    assert found.usd == {"s3_put": 5.4e-06, "sqs_request": 4.1e-07, "iot_rule": 1.8e-07, "alarm_month": 0.1}
    assert found.elsewhere == ["alarm_month"]


def test_every_price_of_the_bill_can_be_asked_for() -> None:
    assert price_list._PRODUCTS.keys() == bill.prices().keys()


def test_what_was_read_is_kept_for_a_month(tmp_path: Path) -> None:
    file = tmp_path / "prices" / "eu-central-1.json"
    assert Prices.kept(file, KNOWN, TODAY) is None
    found = Prices("eu-central-1", TODAY.isoformat(), dict(KNOWN), ["s3_put"])
    found.keep(file)
    assert Prices.kept(file, KNOWN, TODAY + timedelta(days=29)) == found
    assert Prices.kept(file, KNOWN, TODAY + timedelta(days=30)) is None
    assert Prices.kept(file, KNOWN | {"new": 1.0}, TODAY) is None
    file.write_text("{torn")
    assert Prices.kept(file, KNOWN, TODAY) is None


def test_the_bill_takes_a_regions_prices() -> None:
    dearer = {name: 1.2 * usd for name, usd in bill.prices().items()}
    workload = bill.Workload(20, 5, basic_ingest=False)
    for there, here in (
        *(
            (
                bill.total(designs.design_bill(design, workload, price=dearer)),
                bill.total(designs.design_bill(design, workload)),
            )
            for design in designs.DESIGNS
        ),
        (bill.fixed_monthly(waf=True, price=dearer), bill.fixed_monthly(waf=True)),
        (bill.page_monthly(workload, price=dearer), bill.page_monthly(workload)),
    ):
        assert there == pytest.approx(1.2 * here)
