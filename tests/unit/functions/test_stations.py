"""What the handler reads from the answers to many stations' writes, and what it asks."""

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from telemetry_handler.stations import AT_ONCE, Move, Stations
from telemetry_handler.telemetry import OPTIONAL_FIELDS, Telemetry

TWO = [
    Telemetry(
        name, "2025-11-23T12:00:02.000000Z", 2, f"{name}-2", {"battery_available": 5, "status": "OK"}, at
    )
    for name, at in (("one", None), ("two", 1_000))
]


class Answering:
    """A client that gives one answer, or raises it, and keeps what it was asked."""

    exceptions = SimpleNamespace()

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self.asked: list[dict[str, Any]] = []

    def batch_execute_statement(self, Statements: list[dict[str, Any]]) -> Any:  # noqa: N803  # the API's name
        self.asked += Statements
        if isinstance(self._answer, Exception):
            raise self._answer
        return {"Responses": self._answer}


def moves(*answer: Any) -> list[Move | None]:
    return Stations(Answering(list(answer)), "stations", "here").move_all_forward(TWO, "now")  # type: ignore[arg-type]


def item(sequence: int, second: int = 2) -> dict[str, Any]:
    return {
        "timestamp": {"S": f"2025-11-23T12:00:0{second}.000000Z"},
        "sequence": {"N": str(sequence)},
        "message_id": {"S": "one-2"},
    }


def failed(code: str = "ConditionalCheckFailed", **more: Any) -> dict[str, Any]:
    return {"Error": {"Code": code, "Message": "why", **more}, "TableName": "stations"}


def test_a_statement_that_moved_its_station_says_what_was_shown_before() -> None:
    assert moves({"TableName": "stations", "Item": item(7, 1)}, {"TableName": "stations"}) == [
        Move(moved=True, before=("2025-11-23T12:00:01.000000Z", 7, "one-2")),
        Move(moved=True),  # without what was there, the history is asked
    ]


def test_what_is_shown_decides_where_a_condition_does_not_hold() -> None:
    """The same message or a newer one: nothing to do. An older one, or none: the station is asked for by itself."""
    assert moves(failed(Item=item(2)), failed(Item=item(1, 3))) == [Move(moved=False)] * 2
    assert moves(failed(Item=item(1)), failed()) == [None, None]
    assert moves(failed(Item={"station_id": {"S": "one"}}), failed(Item=item(0, 0))) == [None, None]


@pytest.mark.parametrize(
    "code", ["ProvisionedThroughputExceeded", "ThrottlingError", "InternalServerError", "ValidationError"]
)
def test_what_fails_for_another_reason_is_tried_by_itself(code: str) -> None:
    """Codes of BatchStatementError, DynamoDB's API reference."""
    assert moves(failed(code), {"Item": item(1, 1)})[0] is None


def test_what_is_not_granted_is_no_reason_to_ask_otherwise() -> None:
    """Or a policy that lacks it would be noticed by the bill alone."""
    with pytest.raises(ClientError, match=r"AccessDenied.*BatchExecuteStatement.*why"):
        moves({"Item": item(1, 1)}, failed("AccessDenied"))


@pytest.mark.parametrize(
    ("code", "expected"), [("ValidationException", [None, None]), ("AccessDeniedException", None)]
)
def test_a_refused_call_is_made_by_station_only_where_one_of_them_can_be_the_reason(
    code: str, expected: Any
) -> None:
    client = Answering(ClientError({"Error": {"Code": code, "Message": ""}}, "BatchExecuteStatement"))
    stations = Stations(client, "stations", "here")  # type: ignore[arg-type]
    if expected is None:
        with pytest.raises(ClientError):
            stations.move_all_forward(TWO, "now")
    else:
        assert stations.move_all_forward(TWO, "now") == expected


def test_values_are_parameters_and_statements_short_enough() -> None:
    """A statement has at most 8,192 characters (BatchStatementRequest, API reference): with every field, too."""
    full = Telemetry(
        "s" * 128, "t", 2, "m'--", dict.fromkeys(("battery_available", *OPTIONAL_FIELDS), 1), 1_000
    )
    client = Answering([{}] * 3)
    Stations(client, "stations", "here").move_all_forward([*TWO, full], "now")  # type: ignore[arg-type]
    for statement, telemetry in zip(client.asked, [*TWO, full], strict=True):
        text, parameters = statement["Statement"], statement["Parameters"]
        assert text.count("?") == len(parameters)
        assert telemetry.message_id not in text
        assert telemetry.station_id not in text
        assert len(text) < 1_500
        # Where presence is another region's, or not known, the message says more than a state.
        by_broker = telemetry.through_broker_at is not None
        assert ('"connection_region"=?' in text) == by_broker == (parameters[-1] == {"S": "here"})
        for name in OPTIONAL_FIELDS:
            assert (f'REMOVE "{name}"' in text) == (name not in telemetry.document)
    assert AT_ONCE == 25
