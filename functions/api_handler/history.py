"""The history table, read only: a point of each station and interval, for as long as the hot window lasts."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from api_handler.stations import plain

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

# Of the table, and not of what the station said.
_KEYS = ("station_id", "interval", "expires_at")
# As functions/telemetry_handler/history.py writes them.
_CONNECTIONS_OF = "connection#"
# The end of year 9999, which no telemetry passes.
_FOREVER = 253_402_300_799


class Window(msgspec.Struct, frozen=True):
    """How much is kept: a point each ``resolution`` seconds, for ``hours``. ``now`` gives the time (aware, UTC)."""

    resolution: int
    hours: int
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


class History:
    """Open the history table."""

    def __init__(self, client: "DynamoDBClient", table: str, window: Window) -> None:
        self._client = client
        self._table = table
        self.window = window

    def page(
        self, station_id: str, since: datetime | None, until: datetime | None, after: int | None, limit: int
    ) -> tuple[list[dict[str, Any]], int | None]:
        """Read up to ``limit`` points of a station, oldest first, that were said from ``since`` to ``until``.

        Args:
            station_id: whose.
            since: aware; None, or before the window, is the window's beginning.
            until: aware; None is no end.
            after: the interval that the page before ended with.
            limit: at most so many.

        Returns:
            The points, and the interval to go on after, or None at the end.
        """
        # DynamoDB deletes what has expired within days, not at once.
        begin = self.window.now() - timedelta(hours=self.window.hours)
        since = begin if since is None else max(since, begin)
        first = int(since.timestamp()) // self.window.resolution * self.window.resolution
        if after is not None:
            first = max(first, after + 1)
        last = _FOREVER if until is None else int(until.timestamp())
        found: list[dict[str, Any]] = []
        request: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "#station_id = :station_id AND #interval BETWEEN :first AND :last",
            "ExpressionAttributeNames": {"#station_id": "station_id", "#interval": "interval"},
            "ExpressionAttributeValues": {
                ":station_id": {"S": station_id},
                ":first": {"N": str(first)},
                ":last": {"N": str(last)},
            },
            # One more than asked for tells whether there is a next page, and `since` may be within an interval.
            "Limit": limit + 2,
        }
        earliest, latest = _text(since), "~" if until is None else _text(until)
        while first <= last:
            answer = self._client.query(**request)
            found += [item for item in answer["Items"] if earliest <= _said_at(item) <= latest]
            if len(found) > limit or "LastEvaluatedKey" not in answer:
                break
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
        shown = [_shown(item) for item in found[:limit]]
        return shown, int(found[limit - 1]["interval"]["N"]) if len(found) > limit else None

    def connections(self, station_id: str, limit: int) -> list[dict[str, Any]]:
        """Read the last ``limit`` times that a station came or went within the window, newest first.

        Returns:
            ``{"at", "connection", "reason"?}`` each: ISO 8601, ``ONLINE`` or ``OFFLINE``, and why it ended.
        """
        begin = int((self.window.now() - timedelta(hours=self.window.hours)).timestamp() * 1000)
        answer = self._client.query(
            TableName=self._table,
            KeyConditionExpression="#station_id = :station_id AND #interval >= :begin",
            ExpressionAttributeNames={"#station_id": "station_id", "#interval": "interval"},
            ExpressionAttributeValues={
                ":station_id": {"S": f"{_CONNECTIONS_OF}{station_id}"},
                ":begin": {"N": str(10 * begin)},
            },
            ScanIndexForward=False,
            Limit=limit,
        )
        return [_connection(item) for item in answer["Items"]]


def _connection(item: "dict[str, AttributeValueTypeDef]") -> dict[str, Any]:
    at = datetime.fromtimestamp(int(item["at"]["N"]) / 1000, UTC)
    shown = {
        "at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "connection": item["connection"]["S"],
    }
    return shown | ({"reason": item["reason"]["S"]} if "reason" in item else {})


def _said_at(item: "dict[str, AttributeValueTypeDef]") -> str:
    return item["timestamp"]["S"]


def _shown(item: "dict[str, AttributeValueTypeDef]") -> dict[str, Any]:
    return {name: plain(value) for name, value in sorted(item.items()) if name not in _KEYS}


def _text(moment: datetime) -> str:
    """Write a time as the table has it, so that text order is time order."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
