"""Carry out batches of PartiQL updates as DynamoDB does, and cheaply.

ministack 1.5.33 reads a statement's words anew each time, answers each through JSON, takes two statements of one item
in one call, and tells nobody of a change: no stream, no replica of a global table. Its IAM asks for
``dynamodb:BatchExecuteStatement``, where AWS asks for ``dynamodb:PartiQLUpdate`` and the like on the table ("IAM
security policies with PartiQL for DynamoDB", developer guide). Here a statement's text is read once, by ministack's own
parser, and an update of an item's attributes by parameters goes straight to the table. Whatever else a batch holds goes
ministack's way.

What a call answers is held against DynamoDB Local 3.1.0, which is AWS's (tests/integration/engines/test_statements.py).
"""

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from ministack.core import iam_actions
from ministack.core.responses import error_response_json, json_response
from ministack.services import dynamodb

Answer = tuple[int, dict[str, str], bytes]
Item = dict[str, dict[str, Any]]

_REMEMBERED = 4096
_MOST_STATEMENTS = 25
_RETURNED = {None: False, "ALL OLD *": True}
_NO_SORT_KEY = "__no_sort__"
_STATEMENT_CALLS = frozenset(
    {"dynamodb:ExecuteStatement", "dynamodb:BatchExecuteStatement", "dynamodb:ExecuteTransaction"}
)
# `EXISTS` of a transaction reads.
_ACTIONS = {
    "INSERT": "Insert",
    "UPDATE": "Update",
    "DELETE": "Delete",
    "SELECT": "Select",
    "EXISTS": "Select",
}


class Update(NamedTuple):
    """An update of an item's attributes; ``int`` is a parameter's place.

    ``compared``: attribute, operator and what it is compared with, the key among them. ``present``: attributes that
    must be there, or must not. ``returned``: whether the item as it was is in the answer.
    """

    table: str
    set_to: tuple[tuple[str, int], ...]
    removed: tuple[str, ...]
    compared: tuple[tuple[str, str, int], ...]
    present: tuple[tuple[str, bool], ...]
    returned: bool
    parameters: int


class Planned(NamedTuple):
    """An update with its table, the item's key and its parameters."""

    update: Update
    table: dict[str, Any]
    key: str
    parameters: list[dict[str, Any]]
    tells_item: bool


def patch() -> None:
    """Put these in place of ministack's own."""
    dynamodb._ddb_canonicalize_number = lru_cache(_REMEMBERED)(dynamodb._ddb_canonicalize_number)
    dynamodb._number_size_bytes = lru_cache(_REMEMBERED)(dynamodb._number_size_bytes)
    dynamodb._partiql_update = _told(dynamodb._partiql_update)
    dynamodb._partiql_delete = _told(dynamodb._partiql_delete)
    others, checks = dynamodb._batch_execute_statement, iam_actions.dynamodb_transaction_checks

    def batch_execute_statement(data: dict[str, Any]) -> Answer:
        planned = _plan(data)
        if planned is None:
            answer: Answer = others(data)
            return answer
        if len({(each.update.table, each.key) for each in planned}) < len(planned):
            return error_response_json(  # type: ignore[no-any-return]
                "ValidationException", "Provided list of item keys contains duplicates", 400
            )
        return json_response({"Responses": [_carry_out(each) for each in planned]})  # type: ignore[no-any-return]

    def asked(action: str, body: bytes, region: str, account: str) -> list[tuple[str, str]]:
        if action not in _STATEMENT_CALLS:
            found: list[tuple[str, str]] = checks(action, body, region, account)
            return found
        return [
            (f"dynamodb:PartiQL{kind}", iam_actions._dynamodb_table_arn(table, region, account))
            for kind, table in _questions(body)
        ]

    dynamodb._batch_execute_statement = batch_execute_statement
    iam_actions.dynamodb_transaction_checks = asked


def _told(change: Callable[..., Answer]) -> Callable[..., Answer]:
    """Have a statement's change told to streams and replicas, as that of UpdateItem."""

    def changed(table: dict[str, Any], parsed: dict[str, Any], data: Any = None) -> Answer:
        key, sort_key, _, error = dynamodb._partiql_key_target(table, parsed)
        before = None if error else table["items"].get(key, {}).get(sort_key)
        answer = change(table, parsed, data)
        if before is not None and answer[0] == 200:
            after = table["items"].get(key, {}).get(sort_key)
            event = "REMOVE" if after is None else "MODIFY"
            dynamodb._emit_stream_event(table["TableName"], event, before, after)
        return answer

    return changed


def _plan(data: dict[str, Any]) -> list[Planned] | None:
    """Return the call's updates; None where one is for ministack."""
    statements = data.get("Statements")
    if not isinstance(statements, list) or not 0 < len(statements) <= _MOST_STATEMENTS:
        return None
    if data.get("ReturnConsumedCapacity", "NONE") != "NONE":
        return None
    planned = []
    for statement in statements:
        one = _plan_one(statement)
        if one is None:
            return None
        planned.append(one)
    return planned


def _plan_one(statement: dict[str, Any]) -> Planned | None:
    text, parameters = statement.get("Statement"), statement.get("Parameters") or []
    update = understand(text) if isinstance(text, str) else None
    if update is None or len(parameters) < update.parameters:
        return None
    table = dynamodb._tables.get(update.table)
    if not table or table["sk_name"] or table.get("GlobalSecondaryIndexes"):
        return None
    name = table["pk_name"]
    keys = [place for attribute, operator, place in update.compared if (attribute, operator) == (name, "=")]
    if len(keys) != 1 or name in update.removed or any(attribute == name for attribute, _ in update.set_to):
        return None
    # Numbers are made canonical.
    if any(dynamodb._validate_attribute_value("", each) for each in parameters):
        return None
    key = parameters[keys[0]].get("S")
    if not key or {"AttributeName": name, "AttributeType": "S"} not in table["AttributeDefinitions"]:
        return None
    return Planned(
        update, table, key, parameters, statement.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
    )


def _carry_out(planned: Planned) -> dict[str, Any]:
    update, table, key, parameters, tells_item = planned
    before: Item | None = table["items"].get(key, {}).get(_NO_SORT_KEY)
    if before is None or not _holds(update, before, parameters):
        failed = {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"}
        if tells_item and before is not None:
            failed["Item"] = before  # type: ignore[assignment]
        return {"Error": failed, "TableName": update.table}
    after = {**before, **{name: parameters[place] for name, place in update.set_to}}
    for name in update.removed:
        after.pop(name, None)
    if dynamodb._item_size_bytes(after) > dynamodb._DDB_ITEM_MAX_BYTES:
        return {"Error": {"Code": "ValidationError", "Message": dynamodb._UPDATE_SIZE_MSG}}
    dynamodb._set_item(table, key, _NO_SORT_KEY, after)
    dynamodb._emit_stream_event(table["TableName"], "MODIFY", before, after)
    answer: dict[str, Any] = {"TableName": update.table}
    if update.returned:
        answer["Item"] = before
    return answer


def _holds(update: Update, item: Item, parameters: list[dict[str, Any]]) -> bool:
    # None of these comparisons holds of what is not there.
    return all(name in item for name, _, _ in update.compared) and (
        all((name in item) is there for name, there in update.present)
        and all(
            dynamodb._compare_ddb(item[name], operator, parameters[place])
            for name, operator, place in update.compared
        )
    )


@lru_cache(_REMEMBERED)
def understand(text: str) -> Update | None:
    """Read an update that sets attributes to parameters and compares attributes with parameters; None of any other."""
    markers = [{"S": str(place)} for place in range(text.count("?"))]
    try:
        parsed = dynamodb._parse_partiql(text, markers)
        if parsed["op"] != "UPDATE":
            return None
        places = {id(marker): place for place, marker in enumerate(markers)}
        set_to = tuple((_name(path), places[id(value[1])]) for path, value in parsed["assignments"])
        removed = tuple(_name(path) for path in parsed["removes"])
        compared, present = _conditions(parsed["where"], places)
        returned = _RETURNED[parsed.get("returning")]
    except (ValueError, LookupError):
        return None
    # A path that is there twice is refused by DynamoDB.
    if len({*removed, *(name for name, _ in set_to)}) < len(removed) + len(set_to):
        return None
    return Update(parsed["table"], set_to, removed, compared, present, returned, len(markers))


def _conditions(
    where: Any, places: dict[int, int]
) -> tuple[tuple[tuple[str, str, int], ...], tuple[tuple[str, bool], ...]]:
    """Return what is compared and what must be there.

    Raises:
        LookupError: there is more to it.
    """
    compared, present, waiting = [], [], [where]
    while waiting:
        match waiting.pop():
            case ("and", left, right):
                waiting += (right, left)
            case ("cmp", ("=" | "<" | "<=" | ">" | ">=") as operator, ("path", path, *_), ("lit", marker, _)):
                compared.append((_name(path), operator, places[id(marker)]))
            case ("is", ("path", path, *_), "MISSING", negated):
                present.append((_name(path), negated))
            case _:
                raise LookupError
    return tuple(compared), tuple(present)


def _name(path: list[Any]) -> str:
    if len(path) != 1:
        raise LookupError
    return str(path[0])


def _questions(body: bytes) -> list[tuple[str, str]]:
    """Return what a call's statements are and which tables they name, each once."""
    try:
        data = json.loads(body)
    except ValueError:
        return []
    if not isinstance(data, dict):
        return []
    members = data.get("Statements") or data.get("TransactStatements") or [data]
    found = {
        question
        for each in members
        if isinstance(each, dict) and (question := _question(str(each.get("Statement", ""))))
    }
    return sorted(found)


@lru_cache(_REMEMBERED)
def _question(text: str) -> tuple[str, str] | None:
    # Values that a function takes as a set, say, refuse a marker; the words in front say enough then.
    try:
        parsed = dynamodb.parse_partiql_statement(text, [{"S": ""}] * text.count("?"))
    except ValueError:
        return None
    table = parsed.get("table") or (parsed.get("select") or {}).get("table")
    return (_ACTIONS[parsed["op"]], table) if table else None
