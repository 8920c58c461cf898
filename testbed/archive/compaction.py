"""`scripts/testbed compact`: the many batches of an hour into one Parquet object.

Nothing is removed before its lines have been read back from the object that replaces it, and that has been there
for a while: an Athena query that listed the Parquet objects before it was written lists the batches soon after.

Every step may be the last one before a death, and any number of compactions may run at once. A line that is in a
batch and in Parquet is one line to every reader (queries count a receipt once, the audit a message), and the next
run finds it known and only removes the batch. There is no state but what is in the bucket.
"""

import hashlib
import json
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from testbed.archive import reader
from testbed.archive.columns import LINE, duckdb_types
from testbed.archive.local import connect, download
from testbed.errors import TestbedError

SETTLE = timedelta(minutes=15)
# The most that S3 deletes in one call.
_DELETE = 1000


@dataclass(frozen=True)
class Hour:
    """One hour's compaction: of ``objects`` batches with so many distinct lines and unique messages.

    ``written`` is the new Parquet object and ``size`` its bytes, None and 0 where an earlier run had written all;
    ``removed`` is whether the batches are gone.
    """

    folder: str
    objects: int
    lines: int
    messages: int
    bytes: int
    written: str | None
    size: int
    removed: bool


def compact(
    s3: Any,
    bucket: str,
    before: datetime,
    *,
    settle: timedelta = SETTLE,
    say: Callable[[Hour], None] = lambda _: None,
) -> list[Hour]:
    """Compact every hour that ended by ``before`` (aware) and has batches.

    Args:
        s3: a client.
        bucket: the archive's.
        before: as said.
        settle: how old Parquet must be before the batches that it replaces are removed, by this run or a later one.
        say: called for each hour.

    Raises:
        TestbedError: what was written does not hold every line of what it replaces; that hour's batches stay.
    """
    batches: dict[str, list[str]] = defaultdict(list)
    for key in reader.objects(s3, bucket):
        folder = key.removeprefix(reader.PREFIX).rpartition("/")[0]
        if _end(folder) <= before:
            batches[folder].append(key)
    hours = []
    for folder, keys in sorted(batches.items()):
        hour = _compact_hour(s3, bucket, folder, keys, settle)
        if hour:
            say(hour)
            hours.append(hour)
    return hours


def _end(folder: str) -> datetime:
    """Return when an hour's folder (``dt=.../hour=..``) ended."""
    return datetime.strptime(folder, "dt=%Y-%m-%d/hour=%H").replace(tzinfo=UTC) + timedelta(hours=1)


def _compact_hour(s3: Any, bucket: str, folder: str, keys: list[str], settle: timedelta) -> Hour | None:
    with tempfile.TemporaryDirectory() as name, connect() as db:
        here = Path(name)
        batches = download(s3, bucket, keys, here)
        if not batches:
            return None  # somebody else compacted it just now
        read = [path.relative_to(here).as_posix() for path in batches]
        _load_batches(db, batches)
        prefix = f"{reader.COMPACTED}{folder}/"
        _load_stored(db, download(s3, bucket, list(reader.objects(s3, bucket, prefix)), here))

        lines, messages = _count(db, "batches")
        written = None
        if _missing(db):
            _write(db, here / "new.parquet")
            # Named after its content, so that it overwrites nothing but itself.
            digest = hashlib.sha256((here / "new.parquet").read_bytes()).hexdigest()[:32]
            written = f"{prefix}{digest}.parquet"
            with (here / "new.parquet").open("rb") as body:
                s3.put_object(Bucket=bucket, Key=written, Body=body)

        # Read back what is stored, and not what we believe to have written.
        youngest = datetime.now(UTC) - settle
        settled = [key for key, at in reader.dated(s3, bucket, prefix) if not settle or at <= youngest]
        _load_stored(db, download(s3, bucket, settled, here))
        whole = _count(db, "batches SEMI JOIN stored USING (line)") == (lines, messages)
        if whole:
            _remove(s3, bucket, read)
        elif not settle:
            raise TestbedError(
                f"{prefix} lacks {_missing(db)} of the {lines} lines that it should have: nothing was removed.",
                "Run it again.",
            )
        size = (here / "new.parquet").stat().st_size if written else 0
        before = sum(path.stat().st_size for path in batches)
        return Hour(folder, len(read), lines, messages, before, written, size, removed=whole)


def _remove(s3: Any, bucket: str, keys: list[str]) -> None:
    for start in range(0, len(keys), _DELETE):
        objects = [{"Key": key} for key in keys[start : start + _DELETE]]
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
        if answer.get("Errors"):
            error = answer["Errors"][0]
            raise TestbedError(f"{error['Key']} cannot be removed: {error.get('Message')}", "Run it again.")


def _load_batches(db: duckdb.DuckDBPyConnection, paths: list[Path]) -> None:
    """Make the table ``batches`` of the distinct lines, with the columns that queries want."""
    db.execute(
        "CREATE TABLE batches AS SELECT unnest(from_json(line, ?)), line FROM ("
        " SELECT DISTINCT CAST(json AS VARCHAR) AS line"
        " FROM read_ndjson_objects(?, format = 'newline_delimited', hive_partitioning = false))",
        [json.dumps(duckdb_types()), [str(path) for path in paths]],
    )


def _load_stored(db: duckdb.DuckDBPyConnection, paths: list[Path]) -> None:
    """Make the table ``stored`` of the lines that Parquet objects hold."""
    if paths:
        db.execute(
            f"CREATE OR REPLACE TABLE stored AS SELECT DISTINCT {LINE} FROM read_parquet(?)",  # noqa: S608
            [[str(path) for path in paths]],
        )
    else:
        db.execute(f"CREATE OR REPLACE TABLE stored ({LINE} VARCHAR)")


def _missing(db: duckdb.DuckDBPyConnection) -> int:
    return _count(db, "batches ANTI JOIN stored USING (line)")[0]


def _count(db: duckdb.DuckDBPyConnection, relation: str) -> tuple[int, int]:
    """Lines and unique message ids."""
    [row] = db.execute(f"SELECT count(*), count(DISTINCT message_id) FROM {relation}").fetchall()  # noqa: S608
    return row[0], row[1]


def _write(db: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Write the lines that no Parquet object has, in the order of receipt."""
    new = db.sql("SELECT * FROM batches ANTI JOIN stored USING (line) ORDER BY _received_at, line")
    new.write_parquet(str(path), compression="zstd")
