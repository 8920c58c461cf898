"""The ``dynamoDBv2`` and ``dynamoDB`` actions: an item a message."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
from boto3.dynamodb.types import TypeSerializer

from bridge.actions.base import Services, one_by_one
from bridge.messages import Failure, Outgoing
from bridge.sql import CompiledRule, RuleSqlError

_serializer = TypeSerializer()
# DynamoDB has no binary floating point.
_decoder = msgspec.json.Decoder(float_hook=Decimal)


class DynamoDBv2Action:
    """Puts the payload's fields as an item's attributes."""

    name = "dynamoDBv2"
    max_batch = 1

    def __init__(self, parameters: dict[str, Any], services: Services, rule: CompiledRule) -> None:
        """``parameters``: putItem.tableName."""
        self._table = rule.compile_template(parameters["putItem"]["tableName"])
        self._dynamodb = services.client("dynamodb")

    def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """See `bridge.actions.base.Action`."""
        return one_by_one(batch, self._table.template, self._put)

    def _put(self, outgoing: Outgoing) -> None:
        document = _decoder.decode(outgoing.payload)
        if not isinstance(document, dict):
            raise RuleSqlError("a dynamoDBv2 action needs a payload that is a JSON object")
        item = {name: _serializer.serialize(value) for name, value in document.items()}
        self._dynamodb.put_item(TableName=self._table.render(outgoing.message), Item=item)


class DynamoDBAction:
    """Puts the payload into one attribute, under a key from templates (the older action)."""

    name = "dynamoDB"
    max_batch = 1

    def __init__(self, parameters: dict[str, Any], services: Services, rule: CompiledRule) -> None:
        """``parameters``: tableName, hashKeyField, -Value, -Type, the same of rangeKey, payloadField, operation."""
        template = rule.compile_template
        self._table = template(parameters["tableName"])
        self._keys = [
            (
                template(parameters[f"{key}KeyField"]),
                template(parameters[f"{key}KeyValue"]),
                "N" if parameters.get(f"{key}KeyType") == "NUMBER" else "S",
            )
            for key in ("hash", "range")
            if parameters.get(f"{key}KeyField")
        ]
        self._payload_field: str = parameters.get("payloadField") or "payload"
        self._operation = template(parameters.get("operation") or "INSERT")
        self._dynamodb = services.client("dynamodb")

    def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """See `bridge.actions.base.Action`."""
        return one_by_one(batch, self._table.template, self._write)

    def _write(self, outgoing: Outgoing) -> None:
        message = outgoing.message
        key = {field.render(message): {kind: value.render(message)} for field, value, kind in self._keys}
        table, operation = self._table.render(message), self._operation.render(message)
        if operation == "DELETE":
            self._dynamodb.delete_item(TableName=table, Key=key)
            return
        try:
            payload = _serializer.serialize(_decoder.decode(outgoing.payload))
        except msgspec.DecodeError:
            payload = {"B": outgoing.payload}
        self._dynamodb.put_item(TableName=table, Item={**key, self._payload_field: payload})
