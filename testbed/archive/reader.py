"""Reads the archive back: batches as the handler wrote them, and hours as compaction left them."""

import concurrent.futures
import gzip
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import msgspec

from testbed.errors import TestbedError

# One gzip NDJSON object a batch.
PREFIX = "telemetry/"
# Parquet objects of an hour each; every line is in the column `line`, as it was.
COMPACTED = "compacted/"
_DECODER = msgspec.json.Decoder(dict[str, Any])
_FETCH = 10_000
_THREADS = 10  # botocore's pool of connections


class Listed(NamedTuple):
    """An object as S3 lists it: when it was written (aware), and its bytes."""

    key: str
    at: datetime
    size: int


def objects(s3: Any, bucket: str, prefix: str = PREFIX) -> Iterator[str]:
    """Yield the keys under ``prefix``, by default those of all batches, in order."""
    for listed in dated(s3, bucket, prefix):
        yield listed.key


def dated(s3: Any, bucket: str, prefix: str) -> Iterator[Listed]:
    """Yield the objects under ``prefix``, in the order of their keys."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", []):
            yield Listed(entry["Key"], entry["LastModified"], entry["Size"])


def everything(s3: Any, bucket: str) -> Iterator[str]:
    """Yield the keys of all batches, then of all compacted hours.

    In that order: a batch that is compacted while somebody reads is gone from the first list at worst after it has
    appeared in the second.
    """
    yield from objects(s3, bucket)
    yield from objects(s3, bucket, COMPACTED)


def records(s3: Any, bucket: str) -> Iterator[dict[str, Any]]:
    """Every archived message, duplicates included, one object in memory at a time."""
    for key in everything(s3, bucket):
        try:
            yield from read(s3, bucket, key)
        except s3.exceptions.NoSuchKey:
            continue  # compacted since it was listed: see `everything`


def fetch(s3: Any, bucket: str, key: str) -> Any:
    """Return the body of an object.

    Raises:
        NoSuchKey: it is gone.
        TestbedError: it is in a storage class that wants a restore first.
    """
    try:
        return s3.get_object(Bucket=bucket, Key=key)["Body"]
    except s3.exceptions.InvalidObjectState as error:
        kind = error.response["Error"].get("StorageClass", "an archive class")
        raise TestbedError(
            f"{key} is in {kind}, and cannot be read at once: earlier deployments moved old objects there.",
            f"Restore it: aws s3api restore-object --bucket {bucket} --key '{key}' --restore-request Days=7",
        ) from error


def read(s3: Any, bucket: str, key: str) -> Iterator[dict[str, Any]]:
    """Yield the messages of one object.

    Raises:
        NoSuchKey: it is gone.
    """
    body = fetch(s3, bucket, key)
    if not key.endswith(".parquet"):
        yield from _DECODER.decode_lines(gzip.decompress(body.read()))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hour.parquet"
        with path.open("wb") as file:
            for chunk in body.iter_chunks(1 << 20):
                file.write(chunk)
        with duckdb.connect() as db:
            cursor = db.execute("SELECT line FROM read_parquet(?)", [str(path)])
            while lines := cursor.fetchmany(_FETCH):
                for (line,) in lines:
                    yield _DECODER.decode(line)


@contextmanager
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a DuckDB in memory, whose times are UTC wherever we are."""
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        yield db


def download(s3: Any, bucket: str, keys: list[str], folder: Path) -> list[Path]:
    """Fetch objects into ``folder``, under their keys; those that are gone since they were listed are left out."""

    def get(key: str) -> Path | None:
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.write_bytes(fetch(s3, bucket, key).read())
        except s3.exceptions.NoSuchKey:
            return None
        return path

    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        return [path for path in pool.map(get, keys) if path]
