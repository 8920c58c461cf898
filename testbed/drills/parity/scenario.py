"""Play the scenario: two stations say good and bad things, one rule cannot deliver, and everybody asks the API."""

import base64
import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from testbed.archive import reader
from testbed.deploy.deployment import Deployment
from testbed.deploy.stations import enrolment_of
from testbed.drills.parity.volatile import settled
from testbed.errors import TestbedError
from testbed.pipeline import api, dead_letters
from testbed.stations.mqtt import connected

Json = dict[str, Any]

_PATIENCE_SECONDS = 120
# Of an API's answer; what a server says of itself is no part of a contract.
_HEADERS = (
    "content-type",
    "cache-control",
    "content-security-policy",
    "referrer-policy",
    "strict-transport-security",
    "x-content-type-options",
    "x-frame-options",
    "allow",
    "x-amzn-errortype",
)


def record(deployment: Deployment, say: Callable[[str], None]) -> Json:
    """Play the scenario and return what came of it, without what differs from run to run.

    Returns:
        ``{"api", "table", "archive", "dead_letters", "error_action"}``.

    Raises:
        TestbedError: something never came.
    """
    run = uuid.uuid4().hex[:8]
    one, two = f"parity-{run}-one", f"parity-{run}-two"
    enrolment = enrolment_of(deployment)
    enrolment.enrol([one, two])
    try:
        with (
            _failing_rule(deployment, run, two),
            _station(deployment, one) as first,
            _station(deployment, two) as second,
        ):
            for payload in _good(one):
                first(payload)
            for payload in _bad(one, two):
                first(payload)
            say("published; waiting until all of it has come to where it belongs")
            good, bad = _DIFFERENT, len(_bad(one, two))
            archived = _await(lambda: _archived(deployment, one), good, "archived messages")
            letters = _await(lambda: _letters(deployment, f"/{one}/"), bad, "dead letters")
            error = _error_action(deployment, two, second)
        found = {
            "api": _api(deployment, one),
            "table": _table(deployment, one),
            "archive": sorted(archived, key=lambda message: str(message.get("message_id"))),
            "dead_letters": sorted(letters, key=lambda letter: json.dumps(letter, sort_keys=True)),
            "error_action": error,
        }
    finally:
        enrolment.remove([one, two])
    names = {run: "<run>", deployment.topic_root: "<topic root>"}
    return {section: settled(content, names) for section, content in found.items()}


def _time(**ago: float) -> str:
    return (datetime.now(UTC) - timedelta(**ago)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# Of the good messages one is sent twice.
_DIFFERENT = 4


def _good(station: str) -> list[bytes]:
    """Return good payloads: whole, twice the same, late, with the least of fields, with fields that nobody knows."""
    whole = {
        "station_id": station,
        "battery_available": 7,
        "slots": 13,
        "charging": 3,
        "swaps_total": 41,
        "queue_length": 2,
        "power_kw": 187.5,
        "temperature_c": 25.3,
        "status": "OPERATIONAL",
        "firmware": "1.4.2",
        "timestamp": _time(seconds=10),
        "message_id": f"{station}-1",
        "sequence": 1,
    }
    late = whole | {
        "timestamp": _time(hours=3),
        "message_id": f"{station}-0",
        "sequence": 0,
        "battery_available": 1,
    }
    least = {
        "station_id": station,
        "battery_available": 0,
        "timestamp": _time(seconds=5),
        "message_id": f"{station}-2",
    }
    unknown = least | {
        "message_id": f"{station}-3",
        "timestamp": _time(),
        "colour": "grün",
        "deep": {"a": [1, 2.5, None]},
    }
    return [json.dumps(message).encode() for message in (whole, whole, late, least, unknown)]


def _bad(station: str, other: str) -> list[bytes]:
    good: Json = {"station_id": station, "battery_available": 1, "timestamp": "2024-01-15T14:00:00Z"}
    wrong: list[Json] = [
        {name: value for name, value in good.items() if name != "battery_available"},
        good | {"battery_available": "many"},
        good | {"battery_available": -1},
        good | {"battery_available": 5, "slots": 4},
        good | {"station_id": other},
        good | {"timestamp": "2124-01-15T14:00:00Z"},
        good | {"timestamp": "yesterday"},
    ]
    return [
        b"not json",
        b"\xff\xfe",
        b"[1, 2]",
        b'{"battery_available": NaN}',
        *(json.dumps(x).encode() for x in wrong),
    ]


@contextmanager
def _station(deployment: Deployment, station: str) -> Iterator[Callable[[bytes], None]]:
    with connected(deployment, deployment.certificates / f"{station}.crt") as device:

        def publish(payload: bytes) -> None:
            if not all(device.deliver(deployment.telemetry_topic(station), payload)):
                raise TestbedError(
                    f"The broker did not acknowledge a message of {station}.", "See make logs."
                )

        yield publish


@contextmanager
def _failing_rule(deployment: Deployment, run: str, station: str) -> Iterator[None]:
    """Make a rule for one station whose queue does not exist, with the dead-letter queue as error action."""
    iot = deployment.client("iot")
    own = iot.get_topic_rule(ruleName=deployment.outputs.telemetry_rule_name)["rule"]
    error_action = own["errorAction"]
    missing = error_action["sqs"] | {"queueUrl": f"{error_action['sqs']['queueUrl']}-missing"}
    name = f"parity_{run}"
    iot.create_topic_rule(
        ruleName=name,
        topicRulePayload={
            "sql": f"SELECT battery_available FROM '{deployment.telemetry_topic(station)}'",  # noqa: S608  # a topic
            "awsIotSqlVersion": "2016-03-23",
            "actions": [{"sqs": missing}],
            "errorAction": error_action,
        },
    )
    try:
        yield
    finally:
        iot.delete_topic_rule(ruleName=name)


def _error_action(deployment: Deployment, station: str, publish: Callable[[bytes], None]) -> Json:
    """Publish until the new rule is in force, which takes seconds here and up to minutes on AWS."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    message = {
        "station_id": station,
        "battery_available": 3,
        "timestamp": _time(),
        "message_id": f"{station}-1",
    }
    while time.monotonic() < deadline:
        publish(json.dumps(message).encode())
        for letter in dead_letters.read(deployment.client("sqs"), deployment.outputs.dead_letter_queue_url):
            document: Json = _json(letter.body)
            if f"/{station}/" in str(document.get("topic")) and "failures" in document:
                document["base64OriginalPayload"] = _decoded(document["base64OriginalPayload"])
                return document
        time.sleep(1)
    raise TestbedError("No error action's message came.", "See `make logs`: did the bridge take the rule?")


def _archived(deployment: Deployment, station: str) -> list[Json]:
    """Return each archived message once; whether a duplicate is dropped in its batch is a matter of moments."""
    records = reader.records(deployment.client("s3"), deployment.outputs.telemetry_bucket_name)
    found = {record["message_id"]: record for record in records if record["station_id"] == station}
    return list(found.values())


def _letters(deployment: Deployment, part: str) -> list[Json]:
    found = []
    for letter in dead_letters.read(deployment.client("sqs"), deployment.outputs.dead_letter_queue_url):
        if part in letter.body:
            document = _json(letter.body)
            document["payload_base64"] = _decoded(document["payload_base64"])
            found.append(document)
    return found


def _table(deployment: Deployment, station: str) -> Json:
    item: Json = deployment.client("dynamodb").get_item(
        TableName=deployment.outputs.stations_table_name, Key={"station_id": {"S": station}}
    )["Item"]
    # Presence comes when it comes, and has a section of the e2e tests to itself.
    return {name: value for name, value in sorted(item.items()) if not name.startswith("connection")}


def _api(deployment: Deployment, station: str) -> Json:
    key = api.headers(deployment)
    asked: list[tuple[str, str, dict[str, str]]] = [
        ("GET", "/", key),
        ("GET", f"/stations/{station}", key),
        ("HEAD", f"/stations/{station}", key),
        ("OPTIONS", f"/stations/{station}", key),
        ("GET", f"/stations/{station}/history?limit=1", key),
        ("GET", "/stations?limit=0", key),
        ("GET", "/stations?limit=1&limit=2", key),
        ("GET", "/stations?next_token=forged", key),
        ("GET", "/stations?colour=red", key),
        ("GET", "/stations/no-such-station", key),
        ("GET", "/stations/gr%C3%BCn", key),
        ("GET", "/batteries", key),
        ("DELETE", "/stations", key),
        ("GET", "/stations", {}),
        ("GET", "/stations", {"x-api-key": "wrong"}),
    ]
    return {
        f"{method} {path}" + ("" if headers is key else f" with {headers or 'no key'}"): _ask(
            deployment, method, path, headers
        )
        for method, path, headers in asked
    }


def _ask(deployment: Deployment, method: str, path: str, headers: dict[str, str]) -> Json:
    request = urllib.request.Request(f"{deployment.api_url}{path}", method=method, headers=headers)  # noqa: S310
    try:
        answer = urllib.request.urlopen(request, timeout=60)  # noqa: S310  # our own API
    except urllib.error.HTTPError as refusal:
        answer = refusal
    with answer:
        body = answer.read().decode()
        said = {name: answer.headers[name] for name in _HEADERS if answer.headers[name]}
        document = _json(body) if body else None
        if isinstance(document, dict):
            # Whether a station is connected is a matter of moments.
            document = {
                name: value
                for name, value in document.items()
                if not name.startswith("connection") and (name != "status" or isinstance(value, int))
            }
        return {"status": answer.status, "headers": said, "body": document}


def _await(look: Callable[[], list[Json]], least: int, what: str) -> list[Json]:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        found = look()
        if len(found) >= least:
            return found
        if time.monotonic() > deadline:
            raise TestbedError(f"Only {len(found)} of {least} {what} came.", "See `make logs`.")
        time.sleep(0.5)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode(errors="backslashreplace")
