"""Calls other services for the functions of rule SQL.

Source: developerguide/iot-sql-functions.md of awsdocs/aws-iot-docs. A call that the service refuses gives Undefined and
a log line; only `get_secret` is documented to fail with an exception, which is the rule's failure for that message.
Nobody answering is neither: the caller tries again.
"""

import base64
import json
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Protocol

import structlog
from boto3.dynamodb.types import Binary, TypeDeserializer
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, ReadTimeoutError
from botocore.exceptions import ConnectionError as BotoConnectionError

from bridge.sql import RuleSqlError
from bridge.sql.values import UNDEFINED, Value, dumps, loads

log = structlog.get_logger()

# AWS keeps a secret for up to 15 minutes. Who develops changes one and wants to see it.
_SECRET_SECONDS = 10.0
_MOST_FROM_DYNAMODB = 8 * 1024
_deserialize = TypeDeserializer().deserialize


class UnreachableError(OSError):
    """A service does not answer: it may later."""


class Clients(Protocol):
    """Makes boto3 clients that give up soon and do not retry."""

    def quick_client(self, service: str) -> Any:
        """Return a client, made once."""


class ServiceCalls:
    """Runs ``aws_lambda``, ``get_thing_shadow`` and the others; see `bridge.sql.outside`."""

    def __init__(self, clients: Clients) -> None:
        """Call nothing yet."""
        self._client = clients.quick_client
        self._secrets: dict[str, tuple[float, dict[str, Any]]] = {}
        self._functions: dict[str, Callable[..., Value]] = {
            "aws_lambda": self._aws_lambda,
            "get_dynamodb": self._get_dynamodb,
            "get_registry_data": self._get_registry_data,
            "get_secret": self._get_secret,
            "get_thing_shadow": self._get_thing_shadow,
        }

    def call(self, function: str, arguments: Sequence[Value]) -> Value:
        """See `bridge.sql.outside.Outside`."""
        if any(argument is UNDEFINED for argument in arguments):
            return UNDEFINED
        try:
            return self._functions[function](*arguments)
        except ReadTimeoutError as error:
            if function != "aws_lambda":
                raise UnreachableError(str(error)) from error
            return _undefined(function, f"the function did not answer in time: {error}")
        except (BotoConnectionError, HTTPClientError) as error:
            raise UnreachableError(str(error)) from error
        except (BotoCoreError, ClientError, ValueError) as error:
            if isinstance(error, RuleSqlError) or function == "get_secret":
                raise RuleSqlError(f"{function}(): {error}") from error
            return _undefined(function, str(error))

    def _aws_lambda(self, function: Value, document: Value) -> Value:
        answer = self._client("lambda").invoke(FunctionName=_text(function), Payload=dumps(document).encode())
        result: bytes = answer["Payload"].read()
        if answer.get("FunctionError"):
            return _undefined("aws_lambda", f"the function failed: {result[:200]!r}")
        return loads(result)

    def _get_thing_shadow(self, thing: Value, *names: Value) -> Value:
        shadow = {"shadowName": _text(names[0])} if len(names) > 1 else {}
        answer = self._client("iot-data").get_thing_shadow(thingName=_text(thing), **shadow)
        return loads(answer["payload"].read())

    def _get_dynamodb(self, table: Value, *keys: Value) -> Value:
        *pairs, _role = keys
        if len(pairs) % 2:
            raise RuleSqlError("a sort key has a name and a value")
        key = {_text(pairs[place]): _attribute(pairs[place + 1]) for place in range(0, len(pairs), 2)}
        item = self._client("dynamodb").get_item(TableName=_text(table), Key=key).get("Item")
        if item is None:
            return UNDEFINED
        found = {name: _plain(_deserialize(value)) for name, value in item.items()}
        if len(dumps(found)) > _MOST_FROM_DYNAMODB:
            raise RuleSqlError(f"the item of {table} has more than 8 KB")
        return found

    def _get_registry_data(self, operation: Value, thing: Value, _role: Value) -> Value:
        iot = self._client("iot")
        operations = {
            "DescribeThing": iot.describe_thing,
            "ListThingGroupsForThing": iot.list_thing_groups_for_thing,
        }
        if operation not in operations:
            raise RuleSqlError(f"it calls {' or '.join(operations)}, not {operation}")
        answer = operations[operation](thingName=_text(thing))
        return {name: value for name, value in answer.items() if name != "ResponseMetadata"}

    def _get_secret(self, secret: Value, kind: Value, *rest: Value) -> Value:
        key = _text(rest[0]) if len(rest) > 1 else None
        found = self._secret(_text(secret))
        if kind == "SecretBinary":
            if key is not None or "SecretBinary" not in found:
                raise RuleSqlError(f"{secret} has no SecretBinary, or a key was given for it")
            return base64.b64encode(found["SecretBinary"]).decode()
        if kind != "SecretString" or "SecretString" not in found:
            raise RuleSqlError(f"{secret} has no {kind}")
        text: str = found["SecretString"]
        try:
            document = json.loads(text)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            document = None
        if key is None:
            return text if document is None else document
        if document is None or key not in document:
            raise RuleSqlError(f"{secret} has no key {key}")
        return document[key]

    def _secret(self, name: str) -> dict[str, Any]:
        known = self._secrets.get(name)
        if known is None or time.monotonic() - known[0] > _SECRET_SECONDS:
            known = time.monotonic(), self._client("secretsmanager").get_secret_value(SecretId=name)
            self._secrets[name] = known
        return known[1]


def _undefined(function: str, why: str) -> Value:
    log.warning("function_failed", function=function, error=why)
    return UNDEFINED


def _text(value: Value) -> str:
    if not isinstance(value, str):
        raise RuleSqlError(f"a name is a String, not {value!r}")
    return value


def _attribute(value: Value) -> dict[str, str]:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise RuleSqlError(f"a key's value is a String or a number, not {value!r}")
    return {"S": value} if isinstance(value, str) else {"N": str(value)}


def _plain(value: Any) -> Value:
    """Return a value of DynamoDB as JSON has it: sets are arrays, bytes base64."""
    match value:
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case Binary():
            return base64.b64encode(value.__bytes__()).decode()  # type: ignore[arg-type]  # its stubs err
        case dict():
            return {name: _plain(one) for name, one in value.items()}
        case set():
            return sorted((_plain(one) for one in value), key=str)
        case list():
            return [_plain(one) for one in value]
        case _:
            return value
