"""The functions of AWS IoT SQL, by lower-case name, and those that only AWS can run."""

from __future__ import annotations

from bridge.sql.functions import collections, dates, message, numbers, strings
from bridge.sql.functions.base import COMPUTED, Function

__all__ = ["COMPUTED", "FUNCTIONS", "NEEDS_AWS", "Function"]

FUNCTIONS: dict[str, Function] = {
    **collections.FUNCTIONS,
    **dates.FUNCTIONS,
    **message.FUNCTIONS,
    **numbers.FUNCTIONS,
    **strings.FUNCTIONS,
}

NEEDS_AWS = {
    "aws_lambda": "it invokes a Lambda function",
    "get_dynamodb": "it reads a DynamoDB table",
    "get_registry_data": "it reads the thing registry",
    "get_secret": "it reads Secrets Manager",
    "get_thing_shadow": "it reads a device shadow",
    "machinelearning_predict": "it asks Amazon Machine Learning",
}
