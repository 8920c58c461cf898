"""The operations table: what operators did to a station, who and when."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from api_handler.stations import plain

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef


class Operations:
    """Open the table.

    A station's items by their key: ``settings#<when>#<request>``, ``command#<id>``, and ``answer#<id>``, which a rule
    writes. ``client`` is botocore's.
    """

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def put(self, station_id: str, key: str, **fields: str | int) -> None:
        """Write an item, in place of the one that is there."""
        self._client.put_item(TableName=self._table, Item=_item(station_id, key, fields))

    def add(self, station_id: str, key: str, **fields: str | int) -> bool:
        """Write an item if there is none of this key; tell whether it was written."""
        try:
            self._client.put_item(
                TableName=self._table,
                Item=_item(station_id, key, fields),
                ConditionExpression="attribute_not_exists(#operation)",
                ExpressionAttributeNames={"#operation": "operation"},
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            return False
        return True

    def get(self, station_id: str, key: str) -> dict[str, Any] | None:
        """Read an item, or None."""
        found = self._client.get_item(
            TableName=self._table,
            Key={"station_id": {"S": station_id}, "operation": {"S": key}},
            ConsistentRead=True,
        ).get("Item")
        return {name: plain(value) for name, value in found.items()} if found else None

    def newest(self, station_id: str, kind: str, limit: int = 1000) -> list[dict[str, Any]]:
        """Read up to ``limit`` items whose keys begin with ``kind#``, the last key first."""
        answer = self._client.query(
            TableName=self._table,
            KeyConditionExpression="#station_id = :station_id AND begins_with(#operation, :kind)",
            ExpressionAttributeNames={"#station_id": "station_id", "#operation": "operation"},
            ExpressionAttributeValues={":station_id": {"S": station_id}, ":kind": {"S": f"{kind}#"}},
            ScanIndexForward=False,
            ConsistentRead=True,
            Limit=limit,
        )
        return [{name: plain(value) for name, value in item.items()} for item in answer["Items"]]


def _item(station_id: str, key: str, fields: Mapping[str, str | int]) -> "dict[str, AttributeValueTypeDef]":
    said = {
        name: {"N": str(value)} if isinstance(value, int) else {"S": value} for name, value in fields.items()
    }
    return {"station_id": {"S": station_id}, "operation": {"S": key}, **said}  # type: ignore[dict-item]
