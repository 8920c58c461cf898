"""The operations table: what operators did to a station, who and when."""

from typing import TYPE_CHECKING, Any

from api_handler.stations import plain

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class Operations:
    """Open the table: a station's items by their key, ``settings#<when>#<request>``."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def put(self, station_id: str, key: str, **fields: str | int) -> None:
        """Write an item, in place of the one that is there."""
        item: dict[str, Any] = {"station_id": {"S": station_id}, "operation": {"S": key}}
        for name, value in fields.items():
            item[name] = {"N": str(value)} if isinstance(value, int) else {"S": value}
        self._client.put_item(TableName=self._table, Item=item)

    def newest(self, station_id: str, kind: str, limit: int) -> list[dict[str, Any]]:
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
