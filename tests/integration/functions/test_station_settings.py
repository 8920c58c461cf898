"""Settings by the API handler: a real table, and the testbed's own device shadow service."""

import json
from contextlib import suppress
from typing import Any

import pytest

from api_handler import settings as api
from api_handler.routes import respond
from simulator import settings as station
from tests.integration.functions.conftest import Cloud
from tests.integration.functions.test_api import never, proxy_event

pytestmark = pytest.mark.usefixtures("cloud")

PATH = "/stations/station-01/settings"


def patch(cloud: Cloud, body: Any, path: str = PATH, **authorizer: str) -> tuple[int, Any]:
    """Ask as an operator, or with what the authorizer says of him."""
    event = proxy_event(path, "PATCH")
    event["body"] = body if isinstance(body, str) else json.dumps(body)
    event["requestContext"]["authorizer"] = {"principalId": "anna", "scopes": "operate read"} | authorizer
    answer = respond(event, None, cloud.services(), never)
    return answer["statusCode"], json.loads(answer["body"] or "null")


def get(cloud: Cloud, path: str = PATH) -> tuple[int, Any]:
    answer = respond(proxy_event(path), None, cloud.services(), never)
    return answer["statusCode"], json.loads(answer["body"])


def test_a_change_is_pending_until_the_station_reports_it_and_is_told_with_who_made_it(cloud: Cloud) -> None:
    cloud.iot.report("station-01", charging_power_limit_kw=1200)
    status, accepted = patch(cloud, {"settings": {"charging_power_limit_kw": 200}, "version": 1})
    assert (status, accepted["version"], accepted["pending"]) == (202, 2, ["charging_power_limit_kw"])
    cloud.iot.report("station-01", charging_power_limit_kw=200)
    status, shown = get(cloud)
    assert (status, shown["version"], shown["pending"]) == (200, 3, [])
    [change] = shown["changes"]
    assert (change["by"], change["outcome"], change["version"]) == ("anna", "accepted", 2)
    assert change["settings"] == {"charging_power_limit_kw": 200}


def test_a_first_attempt_that_comes_late_does_not_make_an_accepted_change_unknown(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that was given up, and made again, may still be carried out after all that followed it."""
    cloud.iot.report("station-01", charging_power_limit_kw=1200)
    put, made = cloud.dynamodb.put_item, list[dict[str, Any]]()

    def noted(**call: Any) -> Any:
        made.append(call)
        return put(**call)

    monkeypatch.setattr(cloud.dynamodb, "put_item", noted)
    assert patch(cloud, {"settings": {"charging_power_limit_kw": 200}})[0] == 202
    with suppress(cloud.dynamodb.exceptions.ConditionalCheckFailedException):
        put(**made[0])
    [change] = get(cloud)[1]["changes"]
    assert (len(made), change["outcome"]) == (2, "accepted")


def test_of_two_who_saw_the_same_version_one_is_told_of_the_conflict(cloud: Cloud) -> None:
    cloud.iot.report("station-01", charging_power_limit_kw=1200)
    assert patch(cloud, {"settings": {"charging_power_limit_kw": 200}, "version": 1})[0] == 202
    status, problem = patch(cloud, {"settings": {"charging_power_limit_kw": 300}, "version": 1})
    assert (status, problem["version"]) == (409, 2)
    assert get(cloud)[1]["desired"] == {"charging_power_limit_kw": 200}
    assert patch(cloud, {"settings": {"maintenance_reason": "x"}})[0] == 202


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        ({"settings": {"charging_power_limit_kw": 1201}}, 422, "must be from 0 to 1200"),
        ({"settings": {"charging_power_limit_kw": None}}, 422, "must be a number"),
        ({"settings": {"colour": "red"}}, 422, "there is no such setting"),
        ({"settings": {"maintenance_mode": True}}, 422, "maintenance_reason"),
        ({"settings": {}}, 422, "none is named"),
        ({"charging_power_limit_kw": 1}, 422, "unknown field"),
        ([], 422, "Expected `object`"),
        ('{"settings": {"charging_power_limit_kw": NaN}}', 400, "no JSON"),
        ("", 400, "no JSON"),
    ],
)
def test_what_no_station_would_take_is_refused_with_a_reason(
    cloud: Cloud, body: Any, status: int, named: str
) -> None:
    cloud.iot.report("station-01", charging_power_limit_kw=1200)
    answered, problem = patch(cloud, body)
    assert answered == status
    assert named in problem["detail"]
    assert get(cloud)[1]["version"] == 1


def test_a_reader_cannot_set_nor_a_key_alone_where_terraform_does_not_say_so(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.iot.report("station-01", charging_power_limit_kw=1200)
    change = {"settings": {"charging_power_limit_kw": 200}}
    assert patch(cloud, change, scopes="read")[0] == 403
    event = proxy_event(PATH, "PATCH") | {"body": json.dumps(change)}
    event["requestContext"]["identity"] = {"apiKeyId": "k1"}
    assert respond(event, None, cloud.services(), never)["statusCode"] == 403
    assert get(cloud)[1]["version"] == 1
    monkeypatch.setenv("OPERATE_WITH_KEY", "1")
    assert respond(event, None, cloud.services(), never)["statusCode"] == 202
    assert get(cloud)[1]["changes"][0]["by"] == "key:k1"


@pytest.mark.parametrize("path", [PATH, "/stations/other-thing/settings"])
def test_a_thing_that_reported_nothing_or_is_no_station_is_not_found(cloud: Cloud, path: str) -> None:
    """The role may touch no thing but stations."""
    cloud.iot.report("other-thing", charging_power_limit_kw=1)
    assert get(cloud, path)[0] == 404
    assert patch(cloud, {"settings": {"charging_power_limit_kw": 200}}, path)[0] == 404


@pytest.mark.parametrize("name", [*station.TABLE, "colour"])
def test_api_and_station_refuse_the_same_in_the_same_words(name: str) -> None:
    """Two programs that import nothing of each other, over one table."""
    values = [
        None,
        True,
        0,
        0.5,
        1,
        49,
        50,
        100,
        100.1,
        1200,
        1201,
        3600,
        3601,
        "",
        "x",
        "x" * 200,
        "x" * 201,
        [],
        {},
    ]
    assert [api.fault(name, value) for value in values] == [station.fault(name, value) for value in values]


def test_the_description_has_the_tables_ranges(cloud: Cloud) -> None:
    described = get(cloud, "/openapi.json")[1]["components"]["schemas"]["Settings"]["properties"]
    without = {
        name: {k: v for k, v in each.items() if k != "description"} for name, each in described.items()
    }
    assert without == api.TABLE
