"""The archive: the full history, one gzip NDJSON object a batch and hour of receipt."""

import gzip
import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from telemetry_handler.envelope import Message
from telemetry_handler.telemetry import Telemetry

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# 1,000 records of 320 bytes: level 6 takes 5.8 ms and 48.0 kB, level 5 3.9 ms and 48.2 kB, level 3 2.1 ms and 55 kB.
_COMPRESSION = 5

_encoder = msgspec.json.Encoder()


class Line(msgspec.Struct, frozen=True, order=True, gc=False):
    """A line of the archive and when its message was received (epoch ms). Sorted, they have one order."""

    received_at: int
    text: bytes


class ArchiveObject(msgspec.Struct, frozen=True):
    """What a batch's messages of one hour become: equal ones in any order give the same key and the same bytes."""

    key: str
    body: bytes


def line(message: Message, telemetry: Telemetry) -> Line:
    """Join the station's own object and what the broker and the queue knew of it.

    Raises:
        RecursionError: never, as validated telemetry is not nested that deep.
    """
    document = {
        **telemetry.document,
        "message_id": telemetry.message_id,
        "_received_at": message.received_at,
        "_topic": message.topic,
        "_source_message_id": message.source_message_id,
    }
    return Line(message.received_at, _encoder.encode(document))


def pack(lines: list[Line]) -> ArchiveObject:
    """Pack at least one line, all of one hour. The name is the content's digest: nothing else is overwritten."""
    ordered = sorted(lines)
    text = b"".join(each.text + b"\n" for each in ordered)
    received = datetime.fromtimestamp(ordered[0].received_at / 1000, UTC)
    folder = f"telemetry/dt={received:%Y-%m-%d}/hour={received:%H}"
    name = hashlib.sha256(text).hexdigest()[:32]
    return ArchiveObject(f"{folder}/{name}.ndjson.gz", gzip.compress(text, _COMPRESSION, mtime=0))


class Archive:
    """The archive bucket."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def put(self, packed: ArchiveObject) -> None:
        """Store an object. Storing it again changes nothing."""
        self._client.put_object(
            Bucket=self._bucket, Key=packed.key, Body=packed.body, ContentType="application/gzip"
        )
