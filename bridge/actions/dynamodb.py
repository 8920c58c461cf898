"""The ``dynamoDBv2`` and ``dynamoDB`` actions: an item a message."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec
from boto3.dynamodb.types import TypeSerializer

from bridge.actions.base import Services, one_by_one
from bridge.actions.parameters import Parameters
from bridge.messages import Failure, Outgoing
from bridge.sql import RuleSqlError

_serializer = TypeSerializer()
# DynamoDB has no binary floating point.
_decoder = msgspec.json.Decoder(float_hook=Decimal)
_KEY_TYPES = {"STRING": "S", "NUMBER": "N"}
_OPERATIONS = ("INSERT", "UPDATE", "DELETE")


class DynamoDBv2Action:
    """Puts the payload's fields as an item's attributes."""

    name = "dynamoDBv2"
    max_batch = 1

    def __init__(self, parameters: Parameters, services: Services) -> None:
        """Read putItem.tableName, a template."""
        self._table = parameters.structure("putItem").template("tableName")
        parameters.role()
        self._dynamodb = services.client("dynamodb")

    def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """See `bridge.actions.base.Action`."""
        return one_by_one(batch, self._table, self._put)

    def _put(self, outgoing: Outgoing) -> None:
        try:
            document = _decoder.decode(outgoing.payload)
        except msgspec.DecodeError:
            document = None
        if not isinstance(document, dict):
            raise RuleSqlError("a dynamoDBv2 action needs a payload that is a JSON object")
        item = {name: _serializer.serialize(value) for name, value in document.items()}
        self._dynamodb.put_item(TableName=self._table.render(outgoing.message), Item=item)


class DynamoDBAction:
    """Puts the payload into one attribute, under a key from templates (the older action)."""

    name = "dynamoDB"
    max_batch = 1

    def __init__(self, parameters: Parameters, services: Services) -> None:
        """Read tableName, hashKeyField, -Value, -Type, the same of rangeKey, payloadField, operation: all templates."""
        template = parameters.template
        self._table = template("tableName")
        self._keys = [
            (
                template(f"{key}KeyField"),
                template(f"{key}KeyValue"),
                template(f"{key}KeyType", "STRING"),
            )
            for key in ("hash", "range")
            if key == "hash" or parameters.has("rangeKeyField")
        ]
        self._payload_field = template("payloadField", "payload")
        self._operation = template("operation", "INSERT")
        parameters.role()
        self._dynamodb = services.client("dynamodb")

    def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """See `bridge.actions.base.Action`."""
        return one_by_one(batch, self._table, self._write)

    def _write(self, outgoing: Outgoing) -> None:
        message = outgoing.message
        key = {}
        for field, value, kind_name in self._keys:
            kind = _KEY_TYPES.get(kind_name.render(message).upper())
            if kind is None:
                raise RuleSqlError(f"a key's type is STRING or NUMBER, not {kind_name.render(message)!r}")
            key[field.render(message)] = {kind: value.render(message)}
        table, operation = self._table.render(message), self._operation.render(message).upper()
        if operation not in _OPERATIONS:
            raise RuleSqlError(f"the operation is one of {', '.join(_OPERATIONS)}, not {operation!r}")
        if operation == "DELETE":
            self._dynamodb.delete_item(TableName=table, Key=key)
            return
        try:
            payload = _serializer.serialize(_decoder.decode(outgoing.payload))
        except msgspec.DecodeError:
            payload = {"B": outgoing.payload}
        item = {**key, self._payload_field.render(message): payload}
        self._dynamodb.put_item(TableName=table, Item=item)
