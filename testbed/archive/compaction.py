"""`scripts/testbed compact`, and the scheduled function: the many batches of an hour into few Parquet objects.

Nothing is removed before its lines have been read back from the object that replaces it, and that has been there
for a while: an Athena query that listed the Parquet objects before it was written lists the batches soon after.

Every step may be the last one before a death, and any number of compactions may run at once. A line that is in a
batch and in Parquet is one line to every reader (queries count a receipt once, the audit a message), and the next
run finds it known and only removes the batch. There is no state but what is in the bucket.

An hour is read in parts, and what Parquet has of it an object at a time: memory is bounded, whatever the hour has.
"""

import hashlib
import itertools
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
from botocore.exceptions import BotoCoreError, ClientError

from testbed.archive import reader
from testbed.archive.columns import LINE, duckdb_types
from testbed.archive.reader import Listed
from testbed.errors import TestbedError

SETTLE = timedelta(minutes=15)
# What is merged at once: compressed bytes, some 150,000 messages, and objects, which are fetched one by one.
_MOST_BYTES = 8 << 20
_MOST_OBJECTS = 2000
# The most that S3 deletes in one call.
_DELETE = 1000
_MEMORY = "512MB"


@dataclass(frozen=True)
class Merged:
    """What one hour's ``objects`` batches, or a part of them, became: so many distinct lines and unique messages.

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
    most_bytes: int = _MOST_BYTES,
    enough: Callable[[], bool] = lambda: False,
    say: Callable[[Merged], None] = lambda _: None,
) -> list[Merged]:
    """Compact every hour that ended by ``before`` (aware) and has batches, the oldest first.

    An hour that cannot be compacted keeps no other from it.

    Args:
        s3: a client.
        bucket: the archive's.
        before: as said.
        settle: how old Parquet must be before the batches that it replaces are removed, by this run or a later one.
        most_bytes: how much is merged at once, in bytes of batches.
        enough: asked before each part; once it is true, the rest is left to the next run.
        say: called for each part.

    Raises:
        TestbedError: some hours could not be compacted, such as where what was written does not hold every line of
            what it replaces; their batches stay.
    """
    done: list[Merged] = []
    problems: list[str] = []
    for folder, listed in itertools.groupby(reader.dated(s3, bucket, reader.PREFIX), _folder):
        ended = _end(folder)
        if ended is None:
            continue  # nothing of the handler's
        if ended > before or enough():
            break
        try:
            for part in _parts(list(listed), most_bytes):
                if enough():
                    break
                if merged := _merge(s3, bucket, folder, [each.key for each in part], settle):
                    say(merged)
                    done.append(merged)
        except (TestbedError, duckdb.Error, ClientError, BotoCoreError) as error:
            problems.append(f"{folder}: {error.problem if isinstance(error, TestbedError) else error}")
    if problems:
        raise TestbedError(
            f"Hours that could not be compacted: {len(problems)}. The first is {problems[0]}", "Run it again."
        )
    return done


def _folder(listed: Listed) -> str:
    return listed.key.removeprefix(reader.PREFIX).rpartition("/")[0]


def _end(folder: str) -> datetime | None:
    """Return when an hour's folder (``dt=.../hour=..``) ended."""
    try:
        begun = datetime.strptime(folder, "dt=%Y-%m-%d/hour=%H").replace(tzinfo=UTC)
    except ValueError:
        return None
    return begun + timedelta(hours=1)


def _parts(batches: Iterable[Listed], most_bytes: int) -> Iterator[list[Listed]]:
    part: list[Listed] = []
    size = 0
    for each in batches:
        if part and (size + each.size > most_bytes or len(part) == _MOST_OBJECTS):
            yield part
            part, size = [], 0
        part.append(each)
        size += each.size
    if part:
        yield part


def _merge(s3: Any, bucket: str, folder: str, keys: list[str], settle: timedelta) -> Merged | None:
    with tempfile.TemporaryDirectory() as name, reader.database() as db:
        here = Path(name)
        db.execute(f"SET memory_limit = '{_MEMORY}'")
        db.execute(f"SET temp_directory = '{here / 'spilled'}'")
        batches = reader.download(s3, bucket, keys, here)
        if not batches:
            return None  # somebody else compacted it just now
        read = [path.relative_to(here).as_posix() for path in batches]
        _load_batches(db, batches)
        prefix = f"{reader.COMPACTED}{folder}/"
        _find_stored(db, s3, bucket, reader.objects(s3, bucket, prefix), here)

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
        settled = (each.key for each in reader.dated(s3, bucket, prefix) if not settle or each.at <= youngest)
        _find_stored(db, s3, bucket, settled, here)
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
        return Merged(folder, len(read), lines, messages, before, written, size, removed=whole)


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


def _find_stored(
    db: duckdb.DuckDBPyConnection, s3: Any, bucket: str, keys: Iterable[str], folder: Path
) -> None:
    """Make the table ``stored`` of the batches' lines that the Parquet objects ``keys`` hold, too."""
    db.execute(f"CREATE OR REPLACE TABLE stored ({LINE} VARCHAR)")
    for key in keys:
        for path in reader.download(s3, bucket, [key], folder):
            db.execute(
                f"INSERT INTO stored SELECT {LINE} FROM batches WHERE {LINE} IN"  # noqa: S608
                f" (SELECT {LINE} FROM read_parquet(?))",
                [str(path)],
            )
            path.unlink()


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
