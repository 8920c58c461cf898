"""Reads the archive back."""

import gzip
from collections.abc import Iterator
from typing import Any

import msgspec

PREFIX = "telemetry/"
_DECODER = msgspec.json.Decoder(dict[str, Any])


def objects(s3: Any, bucket: str) -> Iterator[str]:
    """The keys of all batches, in order."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=PREFIX):
        for entry in page.get("Contents", []):
            yield entry["Key"]


def records(s3: Any, bucket: str) -> Iterator[dict[str, Any]]:
    """Every archived message, duplicates included, one object in memory at a time."""
    for key in objects(s3, bucket):
        yield from read(s3, bucket, key)


def read(s3: Any, bucket: str, key: str) -> list[dict[str, Any]]:
    """The messages of one batch."""
    body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    return _DECODER.decode_lines(gzip.decompress(body))
