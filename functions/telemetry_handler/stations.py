"""The stations table: each station's latest state, which only ever moves forward."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import ClientError

from telemetry_handler.dynamodb import Items
from telemetry_handler.presence import RESTART_AFTER_MS, Presence
from telemetry_handler.telemetry import OPTIONAL_FIELDS, Telemetry

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

# DynamoDB keeps magnitudes down to 1E-130; a sensor's smaller value is nothing.
_SMALLEST = 1e-120

_NEWER = (
    "attribute_not_exists(#timestamp) OR #timestamp < :timestamp"
    " OR (#timestamp = :timestamp AND #sequence < :sequence)"
    " OR (#timestamp = :timestamp AND #sequence = :sequence AND #message_id < :message_id)"
)
# Presence.supersedes, for DynamoDB.
_OF_ANOTHER_VERSION = (
    " OR (#connection_version < :version AND #connection_at <= :restarted_after)"
    " OR (#connection_version > :version AND #connection_at < :restarted_before)"
)
_OF_THIS_VERSION = "(#connection_version = :version AND #connection = :connection AND #connection_at < :at)"
# Each region counts its own versions. What was written before regions were noted is of this one.
_OF_THIS_REGION = "(attribute_not_exists(#connection_region) OR #connection_region = :region) AND ("
# What has sent no telemetry is no station: a console, a page, another project's device. It gets no item.
_LATER = (
    "attribute_exists(#timestamp) AND (attribute_not_exists(#connection_at) OR ("
    + _OF_THIS_REGION
    + _OF_THIS_VERSION
)
# Who connects here has left the other region; that its connection there ended says nothing of the one here.
_LATER_ONLINE = (
    _LATER
    + " OR (#connection_version = :version AND #connection <> :connection AND #connection_at < :restarted_before)"
    + _OF_ANOTHER_VERSION
    + "))"
    " OR (attribute_exists(#connection_region) AND #connection_region <> :region AND #connection_at < :at))"
)
_LATER_OFFLINE = (
    _LATER
    + " OR (#connection_version = :version AND #connection <> :connection AND #connection_at <= :restarted_after)"
    + _OF_ANOTHER_VERSION
    + ")))"
)
_PRESENCE_NAMES = {
    f"#{name}": name
    for name in (
        "connection",
        "connection_at",
        "connection_region",
        "connection_version",
        "updated_at",
        "timestamp",
    )
}
# "BatchExecuteStatement and BatchWriteItem can perform no more than 25 statements per batch" ("Running batch operations
# with PartiQL for DynamoDB", developer guide).
AT_ONCE = 25
# A whole call is refused so for what one statement of it holds.
_FOR_ONE = frozenset({"SerializationException", "ValidationException"})
# Another call by the same role will not do what was not granted.
_NOT_GRANTED = "AccessDenied"
# Before every version of AWS's: telemetry that came through the broker came by a connection, whose own event may have
# come when the station had no item yet.
_CONNECTED_BY_TELEMETRY = -1


class Move(msgspec.Struct, frozen=True):
    """Whether the table moved, and the order of the message that it showed before."""

    moved: bool
    before: tuple[str, int, str] | None = None


class Stations:
    """The stations table. All writes are conditional updates of one item each, so each may be repeated at will.

    ``region``: whose messages and events these are; the table may be a replica of another region's.
    """

    def __init__(self, client: Items, table: str, region: str) -> None:
        self._client = client
        self._table = table
        self._region = region

    def move_forward(self, telemetry: Telemetry, updated_at: str) -> Move:
        """Show ``telemetry`` as the station's state, unless a newer one is shown.

        Presence is left alone; where none is known, or another region's, a message that came through the broker shows
        the station online here.
        """
        shown, gone = _attributes(telemetry, updated_at)
        update = "SET " + ", ".join(f"#{name} = :{name}" for name in shown)
        kept: dict[str, AttributeValueTypeDef] = {}
        if telemetry.through_broker_at is not None:
            kept = {
                "connection": {"S": "ONLINE"},
                "connection_at": {"N": str(telemetry.through_broker_at)},
                "connection_region": {"S": self._region},
                "connection_version": {"N": str(_CONNECTED_BY_TELEMETRY)},
            }
            update += "".join(f", #{name} = if_not_exists(#{name}, :{name})" for name in kept)
        if gone:
            update += " REMOVE " + ", ".join(f"#{name}" for name in gone)
        before = self._update(
            telemetry.station_id,
            update,
            _NEWER,
            {f"#{name}": name for name in (*shown, *kept, *gone)},
            {f":{name}": value for name, value in (shown | kept).items()},
        )
        if before is None:
            return Move(moved=False)
        elsewhere = before.get("connection_region", {}).get("S", self._region) != self._region
        if elsewhere and telemetry.through_broker_at is not None:
            # Two regions may have written of its move at once, and the last writer won, whoever came later.
            online = Presence(
                telemetry.station_id, telemetry.through_broker_at, _CONNECTED_BY_TELEMETRY, "ONLINE"
            )
            self.show_connection(online, updated_at)
        return Move(moved=True, before=_order(before))

    def move_all_forward(self, newest: Sequence[Telemetry], updated_at: str) -> list[Move | None]:
        """Do what `move_forward` does for several stations, by one call that judges each by itself.

        A station is moved if it shows an earlier timestamp, and its presence is known and of this region where the
        message came through the broker. That is nearly every message; with more in the condition, each statement would
        be three times as long.

        Args:
            newest: of `AT_ONCE` different stations at most.
            updated_at: when this is.

        Returns:
            In the order of ``newest``; None where only `move_forward` can tell.

        Raises:
            ClientError: DynamoDB refused the call, or does not grant a statement.
            EndpointConnectionError: it did not answer.
        """
        try:
            answer = self._client.batch_execute_statement(
                Statements=[self._statement(telemetry, updated_at) for telemetry in newest]
            )
        except ClientError as refusal:
            if refusal.response["Error"]["Code"] in _FOR_ONE:
                return [None] * len(newest)
            raise
        return list(map(_move, newest, answer["Responses"]))

    def _statement(self, telemetry: Telemetry, updated_at: str) -> dict[str, Any]:
        shown, gone = _attributes(telemetry, updated_at)
        parameters = [*shown.values(), {"S": telemetry.station_id}, shown["timestamp"]]
        through_broker = telemetry.through_broker_at is not None
        if through_broker:
            parameters.append({"S": self._region})
        return {
            "Statement": _text(self._table, tuple(shown), tuple(gone), through_broker),
            "Parameters": parameters,
            # Both cost nothing, this and what the statement returns.
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }

    def show_connection(self, presence: Presence, updated_at: str) -> bool:
        """Show whether the station is connected, unless a later event is shown or it has sent no telemetry yet.

        Returns:
            Whether the table moved.
        """
        before = self._update(
            presence.client_id,
            "SET #connection = :connection, #connection_at = :at, #connection_region = :region,"
            " #connection_version = :version, #updated_at = :updated_at",
            _LATER_OFFLINE if presence.connection == "OFFLINE" else _LATER_ONLINE,
            _PRESENCE_NAMES,
            {
                ":connection": {"S": str(presence.connection)},
                ":at": {"N": str(presence.at)},
                ":region": {"S": self._region},
                ":version": {"N": str(presence.version)},
                ":restarted_after": {"N": str(presence.at + RESTART_AFTER_MS)},
                ":restarted_before": {"N": str(presence.at - RESTART_AFTER_MS)},
                ":updated_at": {"S": updated_at},
            },
        )
        return before is not None

    def _update(
        self,
        station_id: str,
        update: str,
        condition: str,
        names: dict[str, str],
        values: "dict[str, AttributeValueTypeDef]",
    ) -> "dict[str, AttributeValueTypeDef] | None":
        """Return what the item had before; None where the condition did not hold."""
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key={"station_id": {"S": station_id}},
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
                ReturnValues="ALL_OLD",  # costs nothing
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return None
        before: dict[str, AttributeValueTypeDef] = answer.get("Attributes", {})
        return before


def _attributes(
    telemetry: Telemetry, updated_at: str
) -> "tuple[dict[str, AttributeValueTypeDef], list[str]]":
    """Return what the station's item is to show, and the attributes that it must not have.

    An older message's value must not pass for the newest's.
    """
    shown: dict[str, AttributeValueTypeDef] = {
        "timestamp": {"S": telemetry.timestamp},
        "sequence": {"N": str(telemetry.sequence)},
        "message_id": {"S": telemetry.message_id},
        "updated_at": {"S": updated_at},
        "battery_available": attribute(telemetry.document["battery_available"]),
    }
    gone = []
    for name in OPTIONAL_FIELDS:
        if name in telemetry.document:
            shown[name] = attribute(telemetry.document[name])
        else:
            gone.append(name)
    return shown, gone


@lru_cache(maxsize=256)
def _text(table: str, shown: tuple[str, ...], gone: tuple[str, ...], through_broker: bool) -> str:
    """Return a statement in PartiQL; its parameters are the values shown, the key, the timestamp, the region."""
    clauses = [
        f'UPDATE "{table}"',
        *(f'SET "{name}"=?' for name in shown),
        *(f'REMOVE "{name}"' for name in gone),
    ]
    clauses.append('WHERE "station_id"=? AND "timestamp"<?')
    if through_broker:
        clauses.append('AND "connection_region"=?')
    # Not MODIFIED OLD *: that lacks what was set to the value that it had.
    clauses.append("RETURNING ALL OLD *")
    return " ".join(clauses)


def _move(telemetry: Telemetry, answer: Mapping[str, Any]) -> Move | None:
    """Return what a statement's answer says of the station; None where it does not say it."""
    error = answer.get("Error")
    if error is None:
        return Move(moved=True, before=_order(answer.get("Item", {})))
    if error.get("Code") == _NOT_GRANTED:
        raise ClientError({"Error": error}, "BatchExecuteStatement")
    shown = _order(error.get("Item", {}))
    # The table never goes back, so what was newer at the time of the call is for good.
    return Move(moved=False) if shown is not None and shown >= telemetry.order else None


def _order(item: "Mapping[str, AttributeValueTypeDef]") -> tuple[str, int, str] | None:
    """Return the order of the message that an item shows; None where it shows none of ours."""
    try:
        return item["timestamp"]["S"], int(item["sequence"]["N"]), item["message_id"]["S"]
    except KeyError:
        return None


def attribute(value: Any) -> "AttributeValueTypeDef":
    """Write a field of telemetry in DynamoDB's form."""
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, float) and abs(value) < _SMALLEST:
        return {"N": "0"}
    return {"N": repr(value)}
