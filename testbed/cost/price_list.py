"""A region's list prices from AWS itself: the Price List Query API, asked while a deployment to AWS is planned.

What a product is called there is known for most services from projects that ask it; no AWS account has shown us. So a
product counts only if its price in us-east-1 is the one that prices.json has: a wrong one is left out, never taken.
(AWS Billing user guide, "Using the AWS Price List Query API"; Price List API reference, "GetProducts")
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Self

import msgspec

HOME = "us-east-1"
# A region that answers the API.
ENDPOINT = "us-east-1"
_OLD = timedelta(days=30)

# Service code, and what its usage type, operation or group says of what we mean by the name.
_PRODUCTS = {
    "iot_connection_minute": ("AWSIoT", r"connect"),
    "iot_message": ("AWSIoT", r"messag"),
    "iot_rule": ("AWSIoT", r"rule"),
    "iot_action": ("AWSIoT", r"action"),
    "sqs_request": ("AWSQueueService", r"request"),
    "kinesis_shard_hour": ("AmazonKinesis", r"Storage-ShardHour"),
    "kinesis_put_unit": ("AmazonKinesis", r"PutRequestPayloadUnits"),
    "kinesis_stream_hour": ("AmazonKinesis", r"^OnDemand-StreamHour"),
    "kinesis_gb_in": ("AmazonKinesis", r"^OnDemand-BilledIncomingBytes"),
    "kinesis_gb_out": ("AmazonKinesis", r"^OnDemand-BilledOutgoingBytes"),
    "lambda_request": ("AWSLambda", r"AWS-Lambda-Requests"),
    "lambda_gb_second_arm": ("AWSLambda", r"AWS-Lambda-Duration-ARM"),
    "lambda_gb_second_x86": ("AWSLambda", r"AWS-Lambda-Duration$"),
    "dynamodb_write": ("AmazonDynamoDB", r"DDB-WriteUnits"),
    "dynamodb_gb_month": ("AmazonDynamoDB", r"^TimedStorage-ByteHrs"),
    "dynamodb_wcu_hour": ("AmazonDynamoDB", r"^WriteCapacityUnit-Hrs"),
    "dynamodb_rcu_hour": ("AmazonDynamoDB", r"^ReadCapacityUnit-Hrs"),
    "s3_put": ("AmazonS3", r"^Requests-Tier1"),
    "s3_gb_month": ("AmazonS3", r"^TimedStorage-ByteHrs"),
    "logs_gb": ("AmazonCloudWatch", r"^DataProcessing-Bytes"),
    "dashboard_month": ("AmazonCloudWatch", r"DashboardsUsageHour"),
    "alarm_month": ("AmazonCloudWatch", r"AlarmMonitorUsage"),
    "metric_month": ("AmazonCloudWatch", r"MetricMonitorUsage"),
    "api_request": ("AmazonApiGateway", r"ApiGatewayRequest"),
    "waf_acl_month": ("awswaf", r"^WebACLV2"),
    "waf_rule_month": ("awswaf", r"^RuleV2"),
    "waf_request": ("awswaf", r"^RequestV2-Tier1"),
    "xray_trace": ("AWSXRay", r"TracesStored"),
}
# A usage type begins with its region's short name: EUC1-Requests-Tier1; us-east-1's have none, or USE1-.
_SHORT_NAME = re.compile(r"^[A-Z]{2,4}\d?-")


class Prices(msgspec.Struct, frozen=True):
    """Dollars by name, of ``region``; ``elsewhere`` are the names whose price is us-east-1's."""

    region: str
    read_on: str
    usd: dict[str, float]
    elsewhere: list[str] = []

    @classmethod
    def kept(cls, file: Path, known: Mapping[str, float], today: date) -> Self | None:
        """Return what an earlier run kept in ``file``; None if it is 30 days old, or of other names than ``known``."""
        try:
            found = msgspec.json.decode(file.read_bytes(), type=cls)
            fresh = today - date.fromisoformat(found.read_on) < _OLD
        except (OSError, ValueError):
            return None
        return found if fresh and found.usd.keys() == known.keys() else None

    def keep(self, file: Path) -> None:
        """Write it to ``file``, for the next run."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(msgspec.json.encode(self))


@dataclass(frozen=True)
class _Product:
    """A product of the price list: its price for the first units that cost something."""

    usage: str
    operation: str
    group: str
    usd: float

    @property
    def what(self) -> tuple[str, str, str]:
        """Return what it has in common with the same product of another region."""
        return self.usage, self.operation, self.group

    def is_about(self, pattern: str) -> bool:
        return any(re.search(pattern, text, re.IGNORECASE) for text in self.what)


def read(pricing: Any, region: str, known: Mapping[str, float], today: date) -> Prices:
    """Ask AWS for the prices of ``region``.

    Args:
        pricing: a client of the Price List API.
        region: such as eu-central-1.
        known: us-east-1's, by name.
        today: when it is read.

    Raises:
        ClientError: AWS refused, such as for a right that is missing.
    """
    usd, elsewhere = dict(known), []
    listed = {
        service: (list(_products(pricing, service, HOME)), list(_products(pricing, service, region)))
        for service in sorted({service for service, _ in _PRODUCTS.values()})
    }
    for name, price in known.items():
        service, pattern = _PRODUCTS.get(name, ("", ""))
        found = _same(pattern, price, *listed[service]) if service else None
        if found is None:
            elsewhere.append(name)
        else:
            usd[name] = found
    return Prices(region, today.isoformat(), usd, elsewhere)


def _same(pattern: str, price: float, home: Iterable[_Product], there: Iterable[_Product]) -> float | None:
    """Return what costs ``price`` in us-east-1 costs there; None where that is not one price."""
    meant = {
        product.what
        for product in home
        if product.is_about(pattern) and math.isclose(product.usd, price, rel_tol=1e-3)
    }
    prices = {product.usd for product in there if product.what in meant}
    return prices.pop() if len(prices) == 1 else None


def _products(pricing: Any, service: str, region: str) -> Iterator[_Product]:
    filters = [{"Type": "TERM_MATCH", "Field": "regionCode", "Value": region}]
    pages = pricing.get_paginator("get_products").paginate(
        ServiceCode=service, Filters=filters, FormatVersion="aws_v1"
    )
    for page in pages:
        for text in page["PriceList"]:
            item = json.loads(text)
            attributes = item["product"].get("attributes", {})
            usage = _SHORT_NAME.sub("", attributes.get("usagetype", ""))
            for offer in item.get("terms", {}).get("OnDemand", {}).values():
                if (usd := _first_price(offer["priceDimensions"].values())) is not None:
                    yield _Product(usage, attributes.get("operation", ""), attributes.get("group", ""), usd)


def _first_price(tiers: Iterable[dict[str, Any]]) -> float | None:
    """Return the price of the first tier that is not free; in dollars, as China's regions have others."""
    paid = [
        (float(tier["beginRange"]), usd)
        for tier in tiers
        if (usd := float(tier["pricePerUnit"].get("USD", 0))) > 0
    ]
    return min(paid)[1] if paid else None
