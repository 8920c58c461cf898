"""Functions that ask another service: what the rule SQL knows of them. Who runs the rule makes the calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bridge.sql.values import Value


class Outside(Protocol):
    """Calls other services for a rule; from any thread."""

    def call(self, function: str, arguments: Sequence[Value]) -> Value:
        """Return the result of a function of `CALLS`; UNDEFINED where AWS gives Undefined.

        Raises:
            RuleSqlError: the rule fails for this message, as on AWS.
            OSError: nobody answers; a later try may succeed.
        """


@dataclass(frozen=True, slots=True)
class Call:
    """How many arguments a function takes, since which SQL version, and whom it asks."""

    least: int
    most: int
    asks: str
    since_2016: bool = True


CALLS = {
    "aws_lambda": Call(2, 2, "it invokes a Lambda function", since_2016=False),
    "get_dynamodb": Call(4, 6, "it reads a DynamoDB table"),
    "get_registry_data": Call(3, 3, "it reads the thing registry"),
    "get_secret": Call(3, 4, "it reads Secrets Manager"),
    "get_thing_shadow": Call(2, 3, "it reads a device shadow"),
}

# Amazon Machine Learning takes no new customers since 2017, and no engine has it.
NOWHERE = {"machinelearning_predict": "it asks Amazon Machine Learning"}
