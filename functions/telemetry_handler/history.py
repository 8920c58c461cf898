"""The hot window: for each station and interval the first message, for a day or so; the archive has them all.

A message a station and interval, and not each, because a write is what DynamoDB bills
(docs/decisions/0010-history.md). "First" is by the messages' own order, so neither the order in which they arrive
nor their repetition changes what is kept.

A station's connections are kept beside them, each event of them, under a key that no station can have.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from telemetry_handler.dynamodb import Items
from telemetry_handler.presence import Presence
from telemetry_handler.stations import attribute
from telemetry_handler.telemetry import OPTIONAL_FIELDS, Telemetry

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the handler's normalised timestamps are all UTC, without it in the type
_EARLIER = (
    "attribute_not_exists(#timestamp) OR #timestamp > :timestamp"
    " OR (#timestamp = :timestamp AND #sequence > :sequence)"
    " OR (#timestamp = :timestamp AND #sequence = :sequence AND #message_id > :message_id)"
)
_ORDER_NAMES = {f"#{name}": name for name in ("timestamp", "sequence", "message_id")}

# No station id has a "#": functions/api_handler/history.py reads them by the same key.
_CONNECTIONS_OF = "connection#"

Order = tuple[str, int, str]


class Window(msgspec.Struct, frozen=True):
    """How much is kept: a point each ``resolution`` seconds, for ``hours``."""

    resolution: int
    hours: int

    def interval(self, timestamp: str) -> int:
        """Compute where the interval of a normalised timestamp begins, in epoch seconds."""
        moment = datetime.fromisoformat(timestamp[:19])
        seconds = (moment - _EPOCH) // timedelta(seconds=1)
        return seconds - seconds % self.resolution

    def expiry(self, interval: int) -> int:
        """Compute when a point is to go, in epoch seconds."""
        return interval + self.resolution + self.hours * 3600


class History:
    """Open the history table."""

    def __init__(self, client: Items, table: str, window: Window) -> None:
        self._client = client
        self._table = table
        self._window = window

    def firsts(self, messages: Iterable[Telemetry], now: datetime) -> dict[int, Telemetry]:
        """Choose the first of one station's ``messages`` in each interval that is still in the window."""
        found: dict[int, Telemetry] = {}
        seconds_now = now.timestamp()
        for telemetry in messages:
            interval = self._window.interval(telemetry.timestamp)
            if self._window.expiry(interval) <= seconds_now:
                continue
            known = found.get(interval)
            if known is None or telemetry.order < known.order:
                found[interval] = telemetry
        return found

    def unknown(self, firsts: dict[int, Telemetry], shown: Order | None) -> dict[int, Telemetry]:
        """Leave out of ``firsts`` the one that needs no write.

        Args:
            firsts: of one station.
            shown: what the stations table showed before these messages moved it forward. That message, or one
                before it in its interval, has its point, or is a record that is not acknowledged without it;
                it may be one of these: then it is here for want of its point.
                None where the table did not move or was empty: then nothing is known.
        """
        if shown is None:
            return firsts
        interval = self._window.interval(shown[0])
        if interval not in firsts or firsts[interval].order <= shown:
            return firsts
        return {start: first for start, first in firsts.items() if start != interval}

    def put(self, interval: int, first: Telemetry) -> bool:
        """Keep ``first`` as its interval's point, unless an earlier message is kept; may be repeated at will.

        Returns:
            Whether it was kept.
        """
        item: dict[str, AttributeValueTypeDef] = {
            "station_id": {"S": first.station_id},
            "interval": {"N": str(interval)},
            "expires_at": {"N": str(self._window.expiry(interval))},
            "timestamp": {"S": first.timestamp},
            "sequence": {"N": str(first.sequence)},
            "message_id": {"S": first.message_id},
            "battery_available": attribute(first.document["battery_available"]),
        }
        for name in OPTIONAL_FIELDS:
            if name in first.document:
                item[name] = attribute(first.document[name])
        try:
            self._client.put_item(
                TableName=self._table,
                Item=item,
                ConditionExpression=_EARLIER,
                ExpressionAttributeNames=_ORDER_NAMES,
                ExpressionAttributeValues={f":{name}": item[name] for name in _ORDER_NAMES.values()},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def note_connection(self, presence: Presence, now: datetime) -> bool:
        """Keep that a client came or went, in the order of the events' times; may be repeated at will.

        Returns:
            Whether it was kept: what the window is over for is not.
        """
        expires_at = presence.at // 1000 + self._window.hours * 3600
        if expires_at <= now.timestamp():
            return False
        # One that comes and goes within a millisecond has two events.
        place = 10 * presence.at + (presence.connection == "OFFLINE")
        item: dict[str, AttributeValueTypeDef] = {
            "station_id": {"S": f"{_CONNECTIONS_OF}{presence.client_id}"},
            "interval": {"N": str(place)},
            "expires_at": {"N": str(expires_at)},
            "at": {"N": str(presence.at)},
            "connection": {"S": str(presence.connection)},
        }
        if presence.reason is not None:
            item["reason"] = {"S": presence.reason}
        self._client.put_item(TableName=self._table, Item=item)
        return True
