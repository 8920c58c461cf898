"""Reads the archive back."""

import gzip
from collections.abc import Iterator
from typing import Any

import msgspec

PREFIX = "telemetry/"


def objects(s3: Any, bucket: str) -> Iterator[str]:
    """The keys of all batches, in order."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=PREFIX):
        for entry in page.get("Contents", []):
            yield entry["Key"]


def records(s3: Any, bucket: str) -> Iterator[dict[str, Any]]:
    """Every archived message, duplicates included, one object in memory at a time."""
    decoder = msgspec.json.Decoder(dict[str, Any])
    for key in objects(s3, bucket):
        body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        yield from decoder.decode_lines(gzip.decompress(body))
