"""MQTT -> rule -> queue -> Lambda -> DynamoDB + S3 -> REST API."""

import json
from datetime import UTC, datetime, timedelta

from testbed.deploy.deployment import Deployment
from testbed.pipeline import api, dead_letters, quiet
from tests.e2e.conftest import Connect, archived, now, station_in_api, wait_for


def test_a_message_is_served_and_archived(deployment: Deployment, connect: Connect, name: str) -> None:
    """What a station publishes, the API serves, and the archive keeps whole, unknown fields too."""
    message = {
        "station_id": name,
        "battery_available": 7,
        "timestamp": now(),
        "message_id": f"{name}-run-1",
        "sequence": 1,
        "slots": 13,
        "temperature_c": 25.3,
        "colour": "green",
    }
    connect(name).publish(json.dumps(message).encode())

    served = wait_for(lambda: station_in_api(deployment, name))
    assert served
    assert served["battery_available"] == 7
    assert served["temperature_c"] == 25.3
    [kept] = wait_for(lambda: archived(deployment, name))
    assert {field: kept[field] for field in message} == message


def test_basic_ingest_takes_the_same_path(deployment: Deployment, connect: Connect, name: str) -> None:
    """A message sent straight to the rule arrives as one sent through the broker."""
    rule = deployment.outputs.telemetry_rule_name
    payload = json.dumps({"station_id": name, "battery_available": 3, "timestamp": now()}).encode()
    connect(name).publish(payload, f"$aws/rules/{rule}/ev-swap/stations/{name}/telemetry")

    served = wait_for(lambda: station_in_api(deployment, name))
    assert served
    assert served["battery_available"] == 3


def test_the_table_never_moves_back(deployment: Deployment, connect: Connect, name: str) -> None:
    """Late data is archived and leaves the latest state alone."""
    station = connect(name)
    moments = [datetime.now(UTC) - timedelta(hours=hours) for hours in (1, 3, 2)]
    for batteries, moment in enumerate(moments):
        payload = {"station_id": name, "battery_available": batteries, "timestamp": moment.isoformat()}
        station.publish(json.dumps(payload).encode())

    assert wait_for(lambda: len(archived(deployment, name)) == 3)
    # The archive is written before the table: wait until the last batch is out of the handler's hands.
    assert quiet.wait_until_handled(deployment, 60) == 0
    served = station_in_api(deployment, name)
    assert served
    assert served["battery_available"] == 0


def test_a_station_that_leaves_is_offline(deployment: Deployment, connect: Connect, name: str) -> None:
    """Presence comes from the broker, so a station that says nothing more is known to be gone."""
    station = connect(name)
    station.publish(json.dumps({"station_id": name, "battery_available": 5, "timestamp": now()}).encode())

    def status() -> str | None:
        served = station_in_api(deployment, name)
        return served["connection"] if served and "connection" in served else None

    assert wait_for(lambda: status() == "ONLINE")
    station.close()
    assert wait_for(lambda: status() == "OFFLINE")
    served = station_in_api(deployment, name)
    assert served
    assert served["status"] == "OFFLINE"
    assert served["battery_available"] == 5

    def came_and_went() -> list[str]:
        found = api.get(deployment, f"/stations/{name}/connections")[1]["connections"]
        return [f"{each['connection']} {each.get('reason', '')}".strip() for each in found]

    # The event is kept beside the state, not before it.
    assert wait_for(lambda: came_and_went()[:1] == ["OFFLINE CLIENT_INITIATED_DISCONNECT"])
    assert came_and_went()[-1] == "ONLINE"


def test_a_hundred_bad_messages_cost_no_good_one(deployment: Deployment, connect: Connect, name: str) -> None:
    """Each bad message is in the dead-letter queue with its reason; its neighbours are stored."""
    station = connect(name)
    good = {"station_id": name, "battery_available": 1, "timestamp": now(), "slots": 13}
    tomorrow = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    kinds: list[tuple[str, object]] = [
        ("not_json", b"batteries: 12"),
        ("not_json", b"\xff\xfe\x00"),
        ("not_json", json.dumps(good).encode()[:-1]),
        ("not_object", [good]),
        ("missing_field", {field: good[field] for field in ("station_id", "timestamp")}),
        ("wrong_type", good | {"battery_available": "12"}),
        ("wrong_type", good | {"battery_available": True}),
        ("out_of_range", good | {"battery_available": -1}),
        ("out_of_range", good | {"battery_available": 14}),
        ("not_finite", json.dumps(good | {"temperature_c": float("nan")}).encode()),
        ("bad_timestamp", good | {"timestamp": "yesterday"}),
        ("timestamp_in_future", good | {"timestamp": tomorrow}),
        ("station_mismatch", good | {"station_id": "somebody-else"}),
    ]
    expected: dict[str, int] = {}
    for index in range(100):
        reason, kind = kinds[index % len(kinds)]
        expected[reason] = expected.get(reason, 0) + 1
        station.send(kind if isinstance(kind, bytes) else json.dumps(kind).encode())
        station.send(json.dumps(good | {"message_id": f"{name}-{index}", "sequence": index}).encode())
    station.publish(json.dumps(good | {"message_id": f"{name}-last", "sequence": 1000}).encode())

    ids = {f"{name}-{index}" for index in range(100)} | {f"{name}-last"}
    assert wait_for(lambda: {record["message_id"] for record in archived(deployment, name)} == ids)

    def reasons() -> dict[str, int]:
        counts: dict[str, int] = {}
        url = deployment.outputs.dead_letter_queue_url
        for letter in dead_letters.read(deployment.client("sqs"), url):
            if f"/{name}/" in letter.body:
                counts[letter.reason] = counts.get(letter.reason, 0) + 1
        return counts

    assert wait_for(lambda: sum(reasons().values()) >= 100)
    assert reasons() == expected


def test_a_payload_over_128_kib_is_refused_and_stops_nobody(
    deployment: Deployment, connect: Connect, name: str
) -> None:
    """AWS IoT closes the connection of such a publisher; a broker that takes it hands it to the DLQ."""
    too_large = json.dumps(
        {"station_id": name, "battery_available": 1, "timestamp": now(), "x": "y" * 131_072}
    )
    giant = connect(name)
    giant.send(too_large.encode())

    def refused() -> bool:
        url = deployment.outputs.dead_letter_queue_url
        letters = dead_letters.read(deployment.client("sqs"), url)
        return giant.gone() or any(f"/{name}/" in letter.body for letter in letters)

    assert wait_for(refused)
    neighbour = connect(f"{name}-n")
    payload = {"station_id": neighbour.name, "battery_available": 2, "timestamp": now()}
    neighbour.publish(json.dumps(payload).encode())
    assert wait_for(lambda: station_in_api(deployment, neighbour.name))
    assert not archived(deployment, name)
