"""The stations table, read only."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

# Items that a filter leaves out cost a read all the same: take more of them a call.
_FILTERED_PAGE = 500
# Reads of one page: 10,000 items, some 0.3 s.
_MOST_READS = 20


class Stations:
    """The stations table. An item without telemetry, as earlier versions left of consoles, is no station."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def get(self, station_id: str) -> dict[str, Any] | None:
        """Read one station's latest state, or None."""
        found = self._client.get_item(TableName=self._table, Key={"station_id": {"S": station_id}}).get(
            "Item"
        )
        return _shown(found) if found and "timestamp" in found else None

    def page(
        self, limit: int, after: str | None, min_batteries: int
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Read up to ``limit`` stations with ``min_batteries`` or more, after the station ``after`` in scan order.

        Returns:
            The stations, and after which one the next page begins, None at the end. A page has fewer than ``limit``
            before the end only where very many items do not fit: one call must not read a table of any size.
        """
        condition = "attribute_exists(#timestamp)"
        values: dict[str, AttributeValueTypeDef] = {}
        names = {"#timestamp": "timestamp"}
        if min_batteries > 0:
            condition += " AND #battery_available >= :least"
            names["#battery_available"] = "battery_available"
            values[":least"] = {"N": str(min_batteries)}
        request: dict[str, Any] = {
            "TableName": self._table,
            # One more than asked for tells whether there is a next page, so that none comes empty.
            "Limit": _FILTERED_PAGE if min_batteries > 0 else limit + 1,
            "FilterExpression": condition,
            "ExpressionAttributeNames": names,
            **({"ExpressionAttributeValues": values} if values else {}),
            **({"ExclusiveStartKey": {"station_id": {"S": after}}} if after is not None else {}),
        }
        found: list[dict[str, Any]] = []
        for _ in range(_MOST_READS):
            answer = self._client.scan(**request)
            found += answer["Items"]
            shown = [_shown(item) for item in found[:limit]]
            if len(found) > limit:
                return shown, shown[-1]["station_id"]
            if "LastEvaluatedKey" not in answer:
                return shown, None
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
            request["Limit"] = _FILTERED_PAGE
        return shown, request["ExclusiveStartKey"]["station_id"]["S"]


def _shown(item: "dict[str, AttributeValueTypeDef]") -> dict[str, Any]:
    station = {name: plain(value) for name, value in sorted(item.items())}
    if station.get("connection") == "OFFLINE":
        # What it said of itself last no longer holds.
        station["status"] = "OFFLINE"
    return station


def plain(value: "AttributeValueTypeDef") -> str | int | float:
    """Take DynamoDB's type off an attribute."""
    if "N" in value:
        number = value["N"]
        return int(number) if number.lstrip("-").isdigit() else float(number)
    return value["S"]
