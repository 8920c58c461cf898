"""The API handler against a running emulator, with events as API Gateway sends them."""

import json
import random
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import pytest

from api_handler.headers import SECURITY
from api_handler.routes import Services, respond
from api_handler.stations import Stations
from tests.integration.functions.conftest import Cloud
from tests.unit.functions.samples import NOW_MS, envelope, payload, presence, sqs_event

pytestmark = pytest.mark.usefixtures("cloud")


def never() -> None:
    """Provide what stands where a failure would be logged."""
    raise AssertionError("the request failed")


def proxy_event(path: str, method: str = "GET", **query: Any) -> dict[str, Any]:
    """Make a REST API's event."""
    parameters = {name: str(value) for name, value in query.items()}
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": {"Accept": "application/json"},
        "queryStringParameters": parameters or None,
        "multiValueQueryStringParameters": {name: [value] for name, value in parameters.items()} or None,
        "pathParameters": None,
        "requestContext": {"requestId": "request-1", "stage": "dev"},
        "body": None,
        "isBase64Encoded": False,
    }


def call(cloud: Cloud, path: str, method: str = "GET", **query: Any) -> tuple[int, Any, dict[str, str]]:
    """Return status, document and headers."""
    event = proxy_event(path, method, **query)
    answer = respond(event, None, cloud.services(), never)
    return answer["statusCode"], json.loads(answer["body"] or "null"), answer["headers"]


def fill(cloud: Cloud, stations: dict[str, int]) -> None:
    """Have ``stations`` report so many batteries."""
    bodies = [
        envelope(payload(name, battery_available=batteries), name) for name, batteries in stations.items()
    ]
    assert cloud.failed(sqs_event(*bodies)) == set()


def test_one_station(cloud: Cloud) -> None:
    """All that the station said comes back, numbers as JSON numbers."""
    fill(cloud, {"station-01": 12})
    status, station, headers = call(cloud, "/stations/station-01")
    assert status == 200
    assert headers["Content-Type"] == "application/json"
    assert station == cloud.item("station-01")
    assert (station["power_kw"], station["slots"]) == (187.5, 21)


def test_a_hand_made_event(cloud: Cloud) -> None:
    """A method and a path are enough, as somebody types them into `aws lambda invoke`."""
    fill(cloud, {"station-01": 12})
    event = {"httpMethod": "GET", "path": "/stations"}
    answer = respond(event, None, cloud.services(), never)
    assert answer["statusCode"] == 200
    page = json.loads(answer["body"])
    assert [station["station_id"] for station in page["stations"]] == ["station-01"]
    assert (page["count"], page["next_token"]) == (1, None)


def test_a_disconnected_station_is_offline(cloud: Cloud) -> None:
    """Its own last word on its status gives way, and comes back when it reconnects."""
    fill(cloud, {"station-01": 12})
    for event, shown in (("disconnected", "OFFLINE"), ("connected", "OPERATIONAL")):
        version = int(event == "connected")
        assert cloud.failed(sqs_event(presence("station-01", event, version=version))) == set()
        assert call(cloud, "/stations/station-01")[1]["status"] == shown
        assert call(cloud, "/stations")[1]["stations"][0]["status"] == shown


def test_a_stations_connections_are_listed_newest_first(cloud: Cloud) -> None:
    """Each event once, whatever their order and however often they come; not what is older than the window."""
    fill(cloud, {"station-01": 12, "station-02": 12})
    name, hour = "station-01", 3_600_000
    bodies = [
        presence(name, "disconnected", at=NOW_MS, version=2, reason="CONNECTION_LOST"),
        presence(name, "connected", at=NOW_MS, version=2),
        presence(name, "disconnected", at=NOW_MS - 5000, version=1, reason="DUPLICATE_CLIENTID"),
        presence(name, "connected", at=NOW_MS - 23 * hour, version=1),
        presence(name, "connected", at=NOW_MS - 25 * hour, version=0),
    ]
    assert cloud.failed(sqs_event(*bodies, bodies[2])) == set()
    assert cloud.failed(sqs_event(bodies[0])) == set()
    status, document, _ = call(cloud, f"/stations/{name}/connections")
    assert (status, document["station_id"], document["window_hours"]) == (200, name, 24)
    assert [(each["connection"], each.get("reason")) for each in document["connections"]] == [
        ("OFFLINE", "CONNECTION_LOST"),
        ("ONLINE", None),
        ("OFFLINE", "DUPLICATE_CLIENTID"),
        ("ONLINE", None),
    ]
    moments = [datetime.fromisoformat(each["at"]).timestamp() * 1000 for each in document["connections"]]
    assert moments == pytest.approx([NOW_MS, NOW_MS, NOW_MS - 5000, NOW_MS - 23 * hour])
    assert (
        call(cloud, f"/stations/{name}/connections", limit=1)[1]["connections"] == document["connections"][:1]
    )
    assert call(cloud, "/stations/station-02/connections")[1]["connections"] == []
    assert call(cloud, "/stations/unknown/connections")[0] == 404
    # They are no points of its history.
    assert [point["station_id"] for point in cloud.points(name).values()] == [name]


def test_a_station_without_telemetry_is_none_yet(cloud: Cloud) -> None:
    """A connection alone is neither listed nor found."""
    fill(cloud, {"station-01": 12})
    cloud.invoke(sqs_event(presence("station-00", "connected", at=NOW_MS)))
    assert [station["station_id"] for station in call(cloud, "/stations")[1]["stations"]] == ["station-01"]
    assert call(cloud, "/stations/station-00")[0] == 404


def leave_ghosts(cloud: Cloud, count: int) -> None:
    """Items without telemetry, as earlier versions left them of consoles that connected."""
    for number in range(count):
        cloud.dynamodb.put_item(
            TableName=cloud.name,
            Item={"station_id": {"S": f"iotconsole-{number:04}"}, "connection": {"S": "ONLINE"}},
        )


def test_a_page_reads_a_bounded_part_of_a_table_full_of_ghosts(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be short, and its token goes on behind what was read."""
    monkeypatch.setattr("api_handler.stations._MOST_READS", 2)
    monkeypatch.setattr("api_handler.stations._FILTERED_PAGE", 10)
    fill(cloud, {f"station-{n}": 12 for n in range(5)})
    leave_ghosts(cloud, 100)
    seen, token, pages = [], None, 0
    while pages == 0 or token:
        status, page, _ = call(cloud, "/stations", limit=5, **({"next_token": token} if token else {}))
        assert status == 200
        seen += [station["station_id"] for station in page["stations"]]
        token, pages = page["next_token"], pages + 1
    assert sorted(seen) == [f"station-{n}" for n in range(5)]
    assert pages >= 5


@pytest.mark.parametrize(("limit", "least"), [(7, 0), (7, 8), (10, 10), (50, 0), (100, 3)])
def test_pages_are_full_and_give_each_station_once(cloud: Cloud, limit: int, least: int) -> None:
    """Every page but the last has `limit` stations, filter or not; together they are all, once each."""
    rng = random.Random(1)
    stations = {f"station-{n:03}": rng.randrange(13) for n in range(60)}
    fill(cloud, stations)
    leave_ghosts(cloud, 30)
    wanted = {name for name, batteries in stations.items() if batteries >= least}
    seen: list[str] = []
    token = None
    while True:
        query = {"limit": limit, "min_batteries": least} | ({"next_token": token} if token else {})
        status, page, _ = call(cloud, "/stations", **query)
        assert status == 200
        seen += [station["station_id"] for station in page["stations"]]
        assert page["count"] == len(page["stations"])
        token = page["next_token"]
        if token is None:
            break
        assert page["count"] == limit
    assert sorted(seen) == sorted(wanted)
    assert len(seen) == len(wanted)


@pytest.mark.parametrize(
    "query",
    [
        *({"limit": text} for text in ("0", "101", "-1", "ten", "", "1.5", "٣", " 5", "1_0", "9" * 5000)),
        *({"min_batteries": text} for text in ("-1", "10001", "x", "")),
        {"min_battery": "5"},
        *({"next_token": text} for text in ("", "x", "AAAA", "e30", "{}", "é", "=" * 9, "A" * 5000)),
    ],
    ids=lambda query: urlencode(query)[:30],
)
def test_a_bad_parameter_is_a_400_that_names_it(cloud: Cloud, query: dict[str, str]) -> None:
    """RFC 9457, with the parameter and the request id."""
    status, problem, headers = call(cloud, "/stations", **query)
    assert status == 400
    assert headers["Content-Type"] == "application/problem+json"
    assert problem["parameter"] == next(iter(query))
    assert (problem["status"], problem["title"]) == (400, "Bad Request")
    assert problem["request_id"] == "request-1" == headers["X-Request-Id"]


def test_a_parameter_given_twice_is_refused(cloud: Cloud) -> None:
    """It is not for us to choose which was meant."""
    event = proxy_event("/stations", limit=1)
    event["multiValueQueryStringParameters"]["limit"] = ["1", "2"]
    answer = respond(event, None, cloud.services(), never)
    assert answer["statusCode"] == 400


@pytest.mark.parametrize(
    "path", ["/nothing", "/stations/a/b", "/stations/station 01", "/stations/x", "/Stations"]
)
def test_what_is_not_there_is_a_404(cloud: Cloud, path: str) -> None:
    """An unknown path and an unknown station are problem documents too."""
    status, problem, headers = call(cloud, path)
    assert status == 404
    assert headers["Content-Type"] == "application/problem+json"
    assert problem["instance"].replace("%20", " ") == path


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/stations",
        "/stations/station-01",
        "/stations/station-01/history",
        "/stations/station-01/connections",
        "/openapi.json",
        "/summary",
        "/jobs",
        "/realtime",
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "QUERY"])
def test_other_methods_are_a_405_with_allow(cloud: Cloud, path: str, method: str) -> None:
    """The answer says which methods there are."""
    status, problem, headers = call(cloud, path, method)
    assert status == 405 == problem["status"]
    assert headers["Allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/stations",
        "/stations/station-01",
        "/stations/station-01/history",
        "/stations/station-01/connections",
        "/openapi.json",
        "/summary",
        "/jobs",
    ],
)
def test_head_and_options(cloud: Cloud, path: str) -> None:
    """HEAD has GET's status and headers and no body; OPTIONS names the methods."""
    fill(cloud, {"station-01": 12})
    got_status, _, got_headers = call(cloud, path)
    assert call(cloud, path, "HEAD") == (got_status, None, got_headers)
    status, document, headers = call(cloud, path, "OPTIONS")
    assert (status, document, headers["Allow"]) == (204, None, "GET, HEAD, OPTIONS")


@pytest.mark.parametrize("path", ["/", "/stations", "/nothing"])
def test_every_answer_has_the_security_headers(cloud: Cloud, path: str) -> None:
    """Nothing is cached, nothing is sniffed."""
    headers = call(cloud, path)[2]
    assert headers.items() >= SECURITY.items()
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in headers


def test_the_page_of_one_origin_may_read_answers(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORS_ORIGIN", "https://dashboard.example")
    for path in ("/stations", "/nothing"):
        assert call(cloud, path)[2]["Access-Control-Allow-Origin"] == "https://dashboard.example"


def test_where_an_authorizer_is_wanted_a_gateway_without_one_is_shut(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And IAM's own callers, who come without a gateway, are not."""
    monkeypatch.setenv("AUTHORIZER_REQUIRED", "1")
    status, problem, headers = call(cloud, "/stations")
    assert (status, problem["status"], headers["WWW-Authenticate"]) == (401, 401, "Bearer")
    authorized = proxy_event("/stations")
    authorized["requestContext"]["authorizer"] = {"principalId": "tester"}
    direct = {"httpMethod": "GET", "path": "/stations"}
    for event in (authorized, direct):
        assert respond(event, None, cloud.services(), never)["statusCode"] == 200


def test_a_fault_of_ours_is_a_500_without_our_inside(cloud: Cloud) -> None:
    """A missing table gives a problem document that names neither table nor exception; the log gets it."""
    failures: list[int] = []
    event = proxy_event("/stations")
    whole = cloud.services()
    broken = Services(
        Stations(cloud.dynamodb, "missing-table"),
        whole.history,
        whole.summary,
        whole.settings,
        whole.commands,
        whole.jobs,
    )
    answer = respond(event, None, broken, lambda: failures.append(1))
    assert answer["statusCode"] == 500
    assert answer["headers"]["Content-Type"] == "application/problem+json"
    assert failures == [1]
    for inside in ("missing", "Exception", "Traceback", "ResourceNotFound", "dynamodb"):
        assert inside not in answer["body"]


@pytest.mark.parametrize("event", [None, {}, [], {"httpMethod": "GET"}, {"path": "/"}, {"Records": []}])
def test_an_event_that_is_no_request_is_a_400(cloud: Cloud, event: Any) -> None:
    """It says so, whatever it is."""
    answer = respond(event, None, cloud.services(), never)
    assert answer["statusCode"] == 400
