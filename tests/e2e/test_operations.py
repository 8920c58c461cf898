"""Audit, trace and redrive on what really happened."""

import base64
import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from testbed.deploy.deployment import Deployment
from testbed.errors import TestbedError
from testbed.pipeline import logs
from testbed.pipeline.quiet import wait_until_quiet
from testbed.proofs import redrive, trace
from testbed.proofs.audit import audit
from testbed.stations import device, simulation
from tests.e2e.conftest import Connect, archived, now, station_in_api, wait_for


def test_a_fleet_is_audited_clean_and_a_lost_message_is_found(deployment: Deployment, tmp_path: Path) -> None:
    """Ten stations over MQTT: each acknowledged message is archived; one that never was is reported.

    So are a history point that somebody took away, and one that is not its minute's first message.
    """
    ledger = tmp_path / "ledger.ndjson"
    prefix = f"audit-{uuid.uuid4().hex[:6]}-"
    extra = ["--prefix", prefix, "--messages", "5", "--ledger", str(ledger)]
    assert simulation.run(deployment, 10, 0.5, extra, print) == 0

    report = audit(deployment, [ledger])
    assert report.acknowledged == 50
    assert report.acknowledged_archived == 50
    assert report.clean, repr(report)
    assert report.points_due >= 10
    _spoil_history(deployment, f"{prefix}02", f"{prefix}03")
    with ledger.open("a") as lines:
        lost = {
            "message_id": "lost",
            "station_id": f"{prefix}01",
            "sequence": 6,
            "timestamp": now(),
            "acked_at": now(),
        }
        lines.write(json.dumps(lost) + "\n")
    report = audit(deployment, [ledger])
    assert report.missing == ["lost"]
    assert (report.points_missing_count, report.points_wrong_count) == (1, 1)
    assert [text.split()[0] for text in report.wrong_points] == [f"{prefix}02", f"{prefix}03"]


def _spoil_history(deployment: Deployment, gone: str, wrong: str) -> None:
    """Take the first point of ``gone`` away, and let the first of ``wrong`` be another message."""
    dynamodb, table = deployment.client("dynamodb"), deployment.outputs.history_table_name

    def first(station: str) -> dict[str, Any]:
        found: dict[str, Any] = dynamodb.query(
            TableName=table,
            Limit=1,
            KeyConditionExpression="station_id = :station",
            ExpressionAttributeValues={":station": {"S": station}},
        )["Items"][0]
        return found

    dynamodb.delete_item(
        TableName=table, Key={name: first(gone)[name] for name in ("station_id", "interval")}
    )
    dynamodb.put_item(TableName=table, Item=first(wrong) | {"message_id": {"S": "another"}})


def test_a_message_can_be_followed(deployment: Deployment, connect: Connect, name: str) -> None:
    """One that is stored, one that is refused, one that is no JSON, one that waits, and one that is lost."""
    ids = {
        kind: f"{name}-run-{number}" for number, kind in enumerate(("stored", "refused", "broken", "lost"), 1)
    }
    ledger = deployment.path / "ledgers" / f"{name}.ndjson"
    ledger.parent.mkdir(exist_ok=True)
    with ledger.open("w") as lines:
        for number, message_id in enumerate(ids.values(), 1):
            entry = {"message_id": message_id, "station_id": name, "sequence": number, "timestamp": now()}
            lines.write(json.dumps(entry | {"acked_at": now()}) + "\n")
    try:
        good = {"station_id": name, "battery_available": 4, "timestamp": now(), "message_id": ids["stored"]}
        station = connect(name)
        # The good one last: its neighbours' places are known when it has its own.
        station.publish(json.dumps(good | {"slots": 3, "message_id": ids["refused"]}).encode())
        station.publish(json.dumps(good | {"message_id": ids["broken"]}).encode()[:-1])
        station.publish(json.dumps(good).encode())

        def seen(kind: str, last: str) -> list[str]:
            """Return the places, once it is at the last one."""

            def places() -> list[str]:
                found = [sighting.where for sighting in trace.trace(deployment, ids[kind])]
                return found if last in found else []

            found: list[str] = wait_for(places)
            return found

        # Each trace reads the archive: ask when all is where it will be.
        assert wait_for(lambda: (station_in_api(deployment, name) or {}).get("message_id") == ids["stored"])
        wait_until_quiet(deployment)
        known = ["measured", "acknowledged", "queued"]
        assert seen("stored", "latest state") == [*known, "batched", "archived", "latest state"]
        assert seen("refused", "refused")[:4] == [*known, "refused"]
        assert seen("broken", "refused")[:4] == [*known, "refused"]
        assert seen("lost", "missing")
        # Out of the handler's reach for a while, as what it has failed to store is.
        deployment.client("sqs").send_message(
            QueueUrl=deployment.outputs.telemetry_queue_url, MessageBody="{}", DelaySeconds=10
        )
        assert seen("lost", "waiting")
    finally:
        ledger.unlink()


def test_a_redrive_stores_what_an_outage_kept_out_and_only_that(deployment: Deployment, name: str) -> None:
    """A message that the queue gave up on goes back and is stored; a malformed one stays; twice does no harm."""
    sqs, url = deployment.client("sqs"), deployment.outputs.dead_letter_queue_url
    payload = json.dumps(
        {"station_id": name, "battery_available": 9, "timestamp": now(), "message_id": f"{name}-1"}
    )
    envelope = {
        "payload_base64": base64.b64encode(payload.encode()).decode(),
        "topic": f"ev-swap/stations/{name}/telemetry",
        "client_id": name,
        "received_at": int(datetime.now(UTC).timestamp() * 1000),
    }
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps(envelope))
    sqs.send_message(
        QueueUrl=url, MessageBody=json.dumps(envelope | {"reason": {"code": "not_json", "detail": name}})
    )

    assert redrive.redrive(deployment).sent_back >= 1
    assert wait_for(lambda: len(archived(deployment, name)) == 1)
    assert redrive.redrive(deployment, dry_run=True).found.get("max_receives_exceeded") is None
    assert redrive.redrive(deployment).found["not_json"] >= 1


def test_logs_tell_why_a_message_was_refused_and_no_metrics(
    deployment: Deployment, connect: Connect, name: str
) -> None:
    # Connected for sure: a CONNECT under way would take the name from the one that publishes below.
    assert connect(name).connected()
    device.publish(deployment, name, b'{"no": "telemetry"}')

    def refused() -> list[logs.Line]:
        found = logs.newest(deployment, only=["telemetry"], minutes=5, lines=100)
        return [line for line in found if line.fields.get("client_id") == name]

    (line,) = wait_for(refused)
    assert (line.level, line.message) == ("WARNING", "refused")
    assert line.fields["reason"]["code"] == "missing_field"
    assert not [line for line in logs.newest(deployment, minutes=5, lines=100) if "_aws" in line.message]


def test_a_mistyped_station_is_not_enrolled(deployment: Deployment, connect: Connect, name: str) -> None:
    connect(name)
    typo = f"{name}x"
    with pytest.raises(TestbedError, match="no station") as error:
        device.publish(deployment, typo, b"{}")
    assert f"Did you mean {name}" in error.value.remedy
    assert "--enrol" in error.value.remedy
    things = deployment.client("iot").list_things(maxResults=250)["things"]
    assert typo not in {thing["thingName"] for thing in things}
