"""What a custom authorizer is asked and may say: custom-auth-lambda.html of the AWS IoT Core developer guide."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest

from bridge.authorizers import RefusedError, Shown, decide
from bridge.clients import FunctionFailedError

AUTHORIZER = {
    "authorizerName": "a",
    "authorizerArn": "arn:aws:iot:eu-central-1:000000000000:authorizer/a",
    "authorizerFunctionArn": "f",
    "status": "ACTIVE",
    "signingDisabled": True,
}
POLICY = {"Version": "2012-10-17", "Statement": []}
ANSWER = {
    "isAuthenticated": True,
    "principalId": "someone1",
    "disconnectAfterInSeconds": 86400,
    "refreshAfterInSeconds": 300,
    "policyDocuments": [POLICY],
}


def test_the_event_has_what_the_client_shows_and_nothing_else() -> None:
    events: list[Any] = []

    def function(_name: str, event: Mapping[str, Any]) -> Any:
        events.append(event)
        return ANSWER

    shown = Shown(
        "broker.example", username="u?x-amz-customauthorizer-name=a", password=b"\xff", client_id="c"
    )
    decision = decide(shown, AUTHORIZER, function)
    assert (decision.principal, decision.policies) == ("someone1", (POLICY,))
    assert events == [
        {
            "signatureVerified": False,
            "protocols": ["tls", "mqtt"],
            "protocolData": {
                "tls": {"serverName": "broker.example"},
                "mqtt": {
                    "username": "u?x-amz-customauthorizer-name=a",
                    "password": base64.b64encode(b"\xff").decode(),
                    "clientId": "c",
                },
            },
            "connectionMetadata": {"id": shown.connection},
        }
    ]


def test_a_value_comes_from_headers_query_or_user_name() -> None:
    assert Shown(headers={"TOKEN": "h"}, query="token=q", username="u?token=n").value("token") == "h"
    assert Shown(query="a=1&token=q+%2B", username="u?token=n").value("token") == "q++"
    assert Shown(username="u?token=n%3D").value("token") == "n="
    assert Shown(username="token=n").value("token") is None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"isAuthenticated": False}, "isAuthenticated"),
        ({"isAuthenticated": "true"}, "isAuthenticated"),
        ({"principalId": "with-dash"}, "principalId"),
        ({"principalId": "a" * 129}, "principalId"),
        ({"disconnectAfterInSeconds": 299}, "disconnectAfterInSeconds"),
        ({"refreshAfterInSeconds": 86_401}, "refreshAfterInSeconds"),
        ({"refreshAfterInSeconds": None}, "refreshAfterInSeconds"),
        ({"policyDocuments": None}, "policyDocuments"),
        ({"policyDocuments": [POLICY] * 11}, "policyDocuments"),
        ({"policyDocuments": [POLICY | {"Id": "x" * 2048}]}, "2048 characters"),
        ({"policyDocuments": ["not JSON"]}, "not JSON"),
    ],
)
def test_an_answer_that_aws_does_not_take_lets_nobody_in(change: dict[str, Any], why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        decide(Shown(), AUTHORIZER, lambda _name, _event: ANSWER | change)


def test_a_policy_may_be_an_object_or_text() -> None:
    answer = ANSWER | {"policyDocuments": [json.dumps(POLICY), POLICY]}
    assert decide(Shown(), AUTHORIZER, lambda _name, _event: answer).policies == (POLICY, POLICY)


def test_a_function_that_fails_lets_nobody_in() -> None:
    def function(_name: str, _event: Mapping[str, Any]) -> Any:
        raise FunctionFailedError("it raised")

    with pytest.raises(RefusedError, match="it raised"):
        decide(Shown(), AUTHORIZER, function)


def test_an_authorizer_that_is_not_active_is_not_asked() -> None:
    with pytest.raises(RefusedError, match="not ACTIVE"):
        decide(Shown(), AUTHORIZER | {"status": "INACTIVE"}, lambda _name, _event: ANSWER)
