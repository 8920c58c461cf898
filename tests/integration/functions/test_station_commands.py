"""Commands by the API handler: a real table; what is published is caught."""

import json
from typing import Any

import pytest

from api_handler.routes import respond
from tests.integration.functions.conftest import Cloud
from tests.integration.functions.test_api import fill, never, proxy_event

pytestmark = pytest.mark.usefixtures("cloud")

PATH = "/stations/station-01/commands"


def ask(cloud: Cloud, path: str = PATH, body: Any = None, scopes: str = "operate") -> tuple[int, Any]:
    """POST where there is a body, else GET."""
    event = proxy_event(path, "GET" if body is None else "POST")
    event["body"] = body if isinstance(body, str) else json.dumps(body)
    event["requestContext"]["authorizer"] = {"principalId": "anna", "scopes": scopes}
    answer = respond(event, None, cloud.services(), never)
    return answer["statusCode"], json.loads(answer["body"] or "null")


def answered(cloud: Cloud, command_id: str, outcome: str) -> None:
    """Write what the rule writes of a station's answer."""
    item = {
        "station_id": "station-01",
        "operation": f"answer#{command_id}",
        "outcome": outcome,
        "detail": "d",
    }
    cloud.dynamodb.put_item(
        TableName=cloud.operations_name, Item={name: {"S": value} for name, value in item.items()}
    )


def test_a_command_is_published_with_its_time_and_has_the_answer(cloud: Cloud) -> None:
    fill(cloud, {"station-01": 1})
    status, sent = ask(cloud, body={"command": "unlock_slot", "slot": 3})
    assert (status, sent["state"], sent["by"]) == (202, "sent", "anna")
    [message] = cloud.iot.published
    assert (message["topic"], message["qos"]) == ("ev-swap/stations/station-01/commands", 1)
    assert json.loads(message["payload"]) == {
        "command_id": sent["command_id"],
        "command": "unlock_slot",
        "slot": 3,
        "expires_at": sent["answer_by"],
    }
    answered(cloud, sent["command_id"], "succeeded")
    status, known = ask(cloud, f"{PATH}/{sent['command_id']}")
    assert (status, known["state"], known["detail"]) == (200, "succeeded", "d")
    assert ask(cloud)[1]["commands"] == [known]


def test_the_same_id_is_the_same_command_until_it_is_answered(cloud: Cloud) -> None:
    """Sent again it is published again, for the first may not have arrived: the station knows the id."""
    fill(cloud, {"station-01": 1})
    wanted = {"command": "restart", "command_id": "once"}
    first = ask(cloud, body=wanted)
    assert ask(cloud, body=wanted) == first
    assert len(cloud.iot.published) == 2
    assert cloud.iot.published[0] == cloud.iot.published[1]
    answered(cloud, "once", "failed")
    assert ask(cloud, body=wanted)[1]["state"] == "failed"
    assert len(cloud.iot.published) == 2
    assert ask(cloud, body={"command": "identify", "command_id": "once"})[0] == 409


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 400),
        ([], 422),
        ({"command": "explode"}, 422),
        ({"command": "restart", "slot": 1}, 422),
        ({"command": "unlock_slot"}, 422),
        ({"command": "unlock_slot", "slot": 0}, 422),
        ({"command": "restart", "command_id": "a b"}, 422),
        ({"command": "restart", "timeout_seconds": 0}, 422),
        ({"command": "restart", "colour": "red"}, 422),
    ],
)
def test_what_is_no_command_is_refused_and_not_published(cloud: Cloud, body: Any, status: int) -> None:
    fill(cloud, {"station-01": 1})
    assert ask(cloud, body=body)[0] == status
    assert not cloud.iot.published


def test_a_reader_sends_none_and_an_unknown_station_gets_none(cloud: Cloud) -> None:
    fill(cloud, {"station-01": 1})
    assert ask(cloud, body={"command": "restart"}, scopes="read")[0] == 403
    assert ask(cloud, "/stations/station-02/commands", {"command": "restart"})[0] == 404
    assert ask(cloud, f"{PATH}/nothing")[0] == 404
    assert not cloud.iot.published
