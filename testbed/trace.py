"""Follows one message through the pipeline: where it was, and when."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from testbed import archive, dead_letters, simulation
from testbed.deployment import Deployment


@dataclass(frozen=True)
class Sighting:
    """A place that a message was seen at; ``when`` is ISO 8601 in UTC, or empty where nobody wrote it down."""

    when: str
    where: str
    detail: str


def trace(deployment: Deployment, message_id: str) -> list[Sighting]:
    """Every trace of a message, in order of time."""
    found = [
        *_in_ledgers(deployment, message_id),
        *_in_archive(deployment, message_id),
        *_in_dead_letters(deployment, message_id),
        *_in_table(deployment, message_id),
    ]
    return sorted(found, key=lambda sighting: sighting.when or "9999")


def _in_ledgers(deployment: Deployment, message_id: str) -> Iterator[Sighting]:
    needle = f'"{message_id}"'.encode()
    for path in simulation.ledgers(deployment):
        with path.open("rb") as lines:
            for line in lines:
                if needle in line:
                    entry: dict[str, Any] = msgspec.json.decode(line)
                    yield Sighting(entry["timestamp"], "measured", f"by {entry['station_id']}")
                    yield Sighting(entry["acked_at"], "acknowledged", f"by the broker ({path.name})")


def _in_archive(deployment: Deployment, message_id: str) -> Iterator[Sighting]:
    s3, bucket = deployment.client("s3"), deployment.outputs["telemetry_bucket_name"]
    for key in archive.everything(s3, bucket):
        for record in archive.read(s3, bucket, key):
            if record["message_id"] == message_id:
                yield Sighting(
                    _iso(record["_received_at"]), "queued", f"by the rule, from {record['_topic']}"
                )
                stored = s3.head_object(Bucket=bucket, Key=key)["LastModified"].astimezone(UTC)
                yield Sighting(stored.isoformat().replace("+00:00", "Z"), "archived", f"s3://{bucket}/{key}")


def _in_dead_letters(deployment: Deployment, message_id: str) -> Iterator[Sighting]:
    url = deployment.outputs["dead_letter_queue_url"]
    for letter in dead_letters.read(deployment.client("sqs"), url):
        if letter.message_id == message_id:
            document = msgspec.json.decode(letter.body)
            yield Sighting(str(document.get("refused_at", "")), "dead-lettered", letter.reason)


def _in_table(deployment: Deployment, message_id: str) -> Iterator[Sighting]:
    table = deployment.session.resource("dynamodb", endpoint_url=deployment.aws_url).Table(
        deployment.outputs["stations_table_name"]
    )
    # A station's id may hold hyphens; the run and the sequence after it do not.
    station = message_id.rsplit("-", 2)[0]
    item = table.get_item(Key={"station_id": station}).get("Item")
    if item is None:
        return
    if item.get("message_id") == message_id:
        yield Sighting(str(item.get("updated_at", "")), "latest state", f"of {station}")
    else:
        yield Sighting("", "not the latest state", f"of {station}, which is {item.get('message_id')!s}")


def _iso(milliseconds: int) -> str:
    return (
        datetime.fromtimestamp(milliseconds / 1000, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )
