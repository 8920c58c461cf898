"""Batches of PartiQL updates that a DynamoDB is asked, one after the other, and what it answers."""

import json
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

# What is left out: DynamoDB Local keeps numbers in the words that they came in, and MODIFIED OLD * has there what was
# set to a value that it had already, where AWS was seen to leave it out.
# Written by `record` for DynamoDB Local 3.1.0, AWS's own, from Maven Central (software.amazon.dynamodb:DynamoDBLocal).
RECORDED = Path(__file__).with_name("statements.json")

_SET = 'UPDATE "{table}" SET "timestamp"=? SET "sequence"=? SET "status"=? REMOVE "power" '
_KNOWN = _SET + 'WHERE "station_id"=? AND "timestamp"<? AND "connection_at" IS NOT MISSING '
_TOLD = _KNOWN + "RETURNING ALL OLD *"


def _known(station: str, timestamp: str, sequence: str = "2", text: str = _TOLD) -> dict[str, Any]:
    parameters: list[Any] = [{"S": timestamp}, {"N": sequence}, {"S": "OK"}, {"S": station}, {"S": timestamp}]
    return {"Statement": text, "Parameters": parameters}


def _compared(operator: str, sequence: str, attribute: str = "sequence") -> dict[str, Any]:
    text = (
        f'UPDATE "{{table}}" SET "at"=? WHERE "{attribute}"{operator}? AND "station_id"=? RETURNING ALL OLD *'
    )
    return {"Statement": text, "Parameters": [{"S": operator}, {"N": sequence}, {"S": "two"}]}


_TELL = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
CALLS: list[list[dict[str, Any]]] = [
    # Moved, stale, not there, without its presence; what failed says nothing of the item, and then does.
    [_known(each, time) for each, time in (("one", "t2"), ("two", "t0"), ("none", "t2"), ("absent", "t2"))],
    [_known(each, time) | _TELL for each, time in (("one", "t2"), ("two", "t0"), ("none", "t3"), ("absent", "t3"))],
    # Words that say the same in another way.
    [_known("one", "t4", text=_TOLD.replace(" SET ", " set ").replace("AND", "and")), _known("two", "t4", "-3.25")],
    # Without what was there, and with what was set and removed of it.
    [_known("one", "t5", text=_KNOWN), _known("two", "t5", text=_KNOWN + "RETURNING ALL NEW *")],
    [_compared("=", "2.0")],
    [_compared("<", "2"), _known("one", "t7")],
    [_compared("<=", "2")],
    [_compared(">", "1.99")],
    [_compared(">=", "3")],
    # A number beside a text, and beside nothing.
    [_compared("<", "9", "timestamp")],
    [_compared(">", "1", "nothing")],
    # One statement that has too few parameters, or no key, and its neighbour.
    [_known("one", "t8") | {"Parameters": [{"S": "t8"}]}, _known("two", "t8")],
    [_known("one", "t9", text=_KNOWN.replace('"station_id"=? AND', '"station_id"<? AND')), _known("two", "t9")],
]  # fmt: skip
# An item twice: refused as a whole. DynamoDB Local writes before it refuses, so nobody looks at the items after it.
TWICE = [_known("one", "ta"), _known("two", "ta"), _known("one", "tb")]


def answers(client: Any, table: str) -> list[Any]:
    """Make the table and the calls; return what was answered to each, the items, and the answer to `TWICE`."""
    client.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "station_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "station_id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    shown = {"timestamp": {"S": "t1"}, "sequence": {"N": "1"}, "power": {"N": "1.5"}}
    for station in ("one", "two"):
        client.put_item(
            TableName=table, Item={"station_id": {"S": station}, "connection_at": {"N": "7"}, **shown}
        )
    client.put_item(TableName=table, Item={"station_id": {"S": "absent"}, **shown})
    found = [_answer(client, table, call) for call in CALLS]
    items = client.scan(TableName=table)["Items"]
    refused = _answer(client, table, TWICE)
    client.delete_table(TableName=table)
    return [*found, sorted(items, key=lambda item: str(item["station_id"])), refused]


def _answer(client: Any, table: str, call: list[dict[str, Any]]) -> Any:
    said = [{**each, "Statement": each["Statement"].format(table=table)} for each in call]
    try:
        responses = client.batch_execute_statement(Statements=said)["Responses"]
    except ClientError as refusal:
        return refusal.response["Error"]["Code"]
    # A table is named where its item was asked for; the words of a refusal are nobody's contract.
    return [
        each["Error"] | {"Message": ""} if "Error" in each else {"Item": each.get("Item")}
        for each in responses
    ]


def record(client: Any) -> None:
    """Write what this DynamoDB answers."""
    RECORDED.write_text(json.dumps(answers(client, "recorded"), indent=1, sort_keys=True) + "\n")
