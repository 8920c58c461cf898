"""Follows one message, or one command, through the pipeline: where it was, and when."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from boto3.dynamodb.conditions import Attr

from testbed.archive import reader
from testbed.deploy.deployment import Deployment
from testbed.pipeline import dead_letters, stream
from testbed.pipeline.quiet import before_handler, in_flight
from testbed.proofs.ledgers import CarriedOut, ledgers_of, operations_of, read_operations

_PLACES = (
    "commanded",
    "carried out",
    "answered",
    "measured",
    "acknowledged",
    "queued",
    "batched",
    "archived",
    "refused",
    "dead-lettered",
    "latest state",
    "not the latest state",
)


@dataclass(frozen=True)
class Sighting:
    """A place that a message was seen at; ``when`` is ISO 8601 in UTC, or empty where nobody wrote it down."""

    when: str
    where: str
    detail: str


def trace(deployment: Deployment, message_id: str) -> list[Sighting]:
    """Every trace of a message, in the pipeline's order; of one that is acknowledged and nowhere, that it waits."""
    acknowledged = list(_in_ledgers(deployment, message_id))
    stored = [*_in_archive(deployment, message_id), *_in_dead_letters(deployment, message_id)]
    found = [*acknowledged, *stored, *_in_table(deployment, message_id), *_commands(deployment, message_id)]
    # Not by time alone: S3 tells whole seconds.
    ordered = sorted(found, key=lambda sighting: (_PLACES.index(sighting.where), sighting.when))
    return [*ordered, _waiting(deployment)] if acknowledged and not stored else ordered


def _in_ledgers(deployment: Deployment, message_id: str) -> Iterator[Sighting]:
    needle = f'"{message_id}"'.encode()
    for path in ledgers_of(deployment):
        with path.open("rb") as lines:
            for line in lines:
                if needle in line:
                    entry: dict[str, Any] = msgspec.json.decode(line)
                    yield Sighting(entry["timestamp"], "measured", f"by {entry['station_id']}")
                    yield Sighting(entry["acked_at"], "acknowledged", f"by the broker ({path.name})")


def _in_archive(deployment: Deployment, message_id: str) -> Iterator[Sighting]:
    s3, bucket = deployment.client("s3"), deployment.outputs.telemetry_bucket_name
    for key in reader.everything(s3, bucket):
        found, lines = [], 0
        for record in reader.read(s3, bucket, key):
            lines += 1
            if record["message_id"] == message_id:
                found.append(record)
        for record in found:
            yield _queued(record["_received_at"], record["_topic"])
            stored = s3.head_object(Bucket=bucket, Key=key)["LastModified"].astimezone(UTC)
            when = stored.isoformat().replace("+00:00", "Z")
            if not key.startswith(reader.COMPACTED):
                yield Sighting(when, "batched", f"one of {lines} in a batch")
            yield Sighting(when, "archived", f"s3://{bucket}/{key}")


def _in_dead_letters(deployment: Deployment, message_id: str) -> Iterator[Sighting]:
    url = deployment.outputs.dead_letter_queue_url
    # What is no JSON may still say its id.
    needle = f'"{message_id}"'.encode()
    for letter in dead_letters.each(deployment.client("sqs"), url):
        if letter.given_up:
            bodies = stream.bodies(deployment.client("kinesis"), letter.given_up)
            if message_id in [dead_letters.message_id_of(body.decode("utf-8", "replace")) for body in bodies]:
                yield Sighting("", "dead-lettered", f"{letter.reason} (see scripts/testbed redrive)")
            continue
        if letter.message_id != message_id and (letter.message_id or needle not in letter.payload):
            continue
        try:
            document = msgspec.json.decode(letter.body, type=dict[str, Any])
        except msgspec.MsgspecError:
            document = {}
        if isinstance(document.get("received_at"), int):
            yield _queued(document["received_at"], document.get("topic"))
        if isinstance(document.get("reason"), dict):
            why = f"{letter.reason}: {document['reason'].get('detail')}"
            yield Sighting(
                str(document.get("refused_at", "")), "refused", f"{why} (in the dead-letter queue)"
            )
        else:
            yield Sighting("", "dead-lettered", f"{letter.reason} (see scripts/testbed redrive)")


def _in_table(deployment: Deployment, message_id: str) -> Iterator[Sighting]:
    resource = deployment.session.resource("dynamodb", endpoint_url=deployment.aws_url)
    # A station's id may hold hyphens; the run and the sequence after it do not.
    station = message_id.rsplit("-", 2)[0]
    item = (
        resource.Table(deployment.outputs.stations_table_name)
        .get_item(Key={"station_id": station})
        .get("Item")
    )
    if item is None or "message_id" not in item:  # no telemetry yet, or presence alone
        return
    if item["message_id"] == message_id:
        yield Sighting(str(item.get("updated_at", "")), "latest state", f"of {station}")
    else:
        yield Sighting("", "not the latest state", f"of {station}, which is {item['message_id']!s}")


def _commands(deployment: Deployment, command_id: str) -> Iterator[Sighting]:
    """Yield a command of this id, what carried it out, and its answer; ids are a station's own."""
    for path in operations_of(deployment):
        for line in read_operations(path):
            if isinstance(line, CarriedOut) and line.command_id == command_id:
                yield Sighting(line.at, "carried out", f"by {line.station_id} ({path.name})")
    if not deployment.outputs.operations_table_name:
        return
    resource = deployment.session.resource("dynamodb", endpoint_url=deployment.aws_url)
    table = resource.Table(deployment.outputs.operations_table_name)
    wanted = Attr("operation").is_in([f"command#{command_id}", f"answer#{command_id}"])
    more: dict[str, Any] = {}
    while True:
        page = table.scan(FilterExpression=wanted, **more)
        items: list[dict[str, Any]] = page["Items"]
        for item in items:
            if str(item["operation"]).startswith("answer#"):
                told = f"{item.get('outcome')}: {item.get('detail')}"
                yield Sighting(
                    str(item.get("answered_at", "")), "answered", f"by {item['station_id']}, {told}"
                )
            else:
                told = f"{item['command']} to {item['station_id']} by {item['by']}, answer by {item['answer_by']}"
                yield Sighting(str(item["at"]), "commanded", told)
        if "LastEvaluatedKey" not in page:
            return
        more = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def _waiting(deployment: Deployment) -> Sighting:
    depth = before_handler(deployment)
    bridge = in_flight(deployment)
    if depth or bridge:
        return Sighting("", "waiting", f"{depth} messages are before the handler, {bridge} at the bridge")
    return Sighting("", "missing", "neither archived nor dead-lettered, and nothing waits any more")


def _queued(received_at: int, topic: str | None) -> Sighting:
    return Sighting(_iso(received_at), "queued", f"by the rule, from {topic}")


def _iso(milliseconds: int) -> str:
    return (
        datetime.fromtimestamp(milliseconds / 1000, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )
