"""The audit: what the broker acknowledged, held against archive, stations table and dead-letter queue.

Everything streams through a SQLite file, so the size of a ledger is a matter of disk, not of memory.
"""

import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from testbed import archive, dead_letters
from testbed.deployment import Deployment
from testbed.errors import TestbedError

_BATCH = 10_000


@dataclass(frozen=True)
class AuditReport:
    """Counts of messages. ``missing`` and ``wrong_state`` list some of those, for a person to follow up."""

    acknowledged: int
    archived_unique: int
    archived_duplicates: int
    dead_lettered: dict[str, int]
    acknowledged_archived: int
    acknowledged_dead_lettered: int
    missing_count: int
    stations: int
    wrong_state_count: int
    still_queued: int
    missing: list[str] = field(default_factory=list)
    wrong_state: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether every guarantee held."""
        return self.missing_count == 0 and self.wrong_state_count == 0


class LedgerLine(msgspec.Struct):
    """One acknowledged message, as the simulator writes it."""

    message_id: str
    station_id: str
    sequence: int
    timestamp: str


def audit(deployment: Deployment, ledgers: Iterable[Path], *, wait_seconds: float = 120) -> AuditReport:
    """Wait until the queue is empty, then compare.

    Args:
        deployment: where.
        ledgers: NDJSON files of acknowledged messages.
        wait_seconds: how long to wait for the queue.

    Raises:
        TestbedError: a ledger cannot be read.
    """
    outputs = deployment.outputs
    sqs = deployment.client("sqs")
    queued = wait_for_empty_queue(sqs, outputs["telemetry_queue_url"], wait_seconds)
    with (
        tempfile.TemporaryDirectory(dir=deployment.path) as folder,
        sqlite3.connect(Path(folder) / "audit.db") as db,
    ):
        db.executescript(
            """
            PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
            CREATE TABLE ledger (id TEXT PRIMARY KEY) WITHOUT ROWID;
            CREATE TABLE archive (id TEXT PRIMARY KEY, copies INTEGER) WITHOUT ROWID;
            CREATE TABLE letters (id TEXT PRIMARY KEY) WITHOUT ROWID;
            """
        )
        for path in ledgers:
            _insert(
                db,
                "INSERT OR IGNORE INTO ledger VALUES (?)",
                ((line.message_id,) for line in read_ledger(path)),
            )

        newest: dict[str, tuple[str, int, Any]] = {}

        def archived() -> Iterator[tuple[str]]:
            for record in archive.records(deployment.client("s3"), outputs["telemetry_bucket_name"]):
                state = (
                    normalise(record["timestamp"]),
                    record.get("sequence") or 0,
                    record["battery_available"],
                )
                if state[:2] >= newest.get(record["station_id"], ("", -1, None))[:2]:
                    newest[record["station_id"]] = state
                yield (record["message_id"],)

        _insert(
            db,
            "INSERT INTO archive VALUES (?, 1) ON CONFLICT (id) DO UPDATE SET copies = copies + 1",
            archived(),
        )
        letters = dead_letters.read(sqs, outputs["dead_letter_queue_url"])
        _insert(
            db, "INSERT OR IGNORE INTO letters VALUES (?)",
            ((letter.message_id,) for letter in letters if letter.message_id),
        )  # fmt: skip

        def count(query: str) -> int:
            return int(db.execute(query).fetchone()[0] or 0)

        nowhere = (
            "FROM ledger WHERE id NOT IN (SELECT id FROM archive) AND id NOT IN (SELECT id FROM letters)"
        )
        wrong = sorted(_wrong_states(deployment, newest))
        return AuditReport(
            acknowledged=count("SELECT count(*) FROM ledger"),
            archived_unique=count("SELECT count(*) FROM archive"),
            archived_duplicates=count("SELECT sum(copies - 1) FROM archive"),
            dead_lettered=dict(Counter(letter.reason for letter in letters)),
            acknowledged_archived=count("SELECT count(*) FROM ledger WHERE id IN (SELECT id FROM archive)"),
            acknowledged_dead_lettered=count(
                "SELECT count(*) FROM ledger WHERE id IN (SELECT id FROM letters)"
            ),
            missing_count=count(f"SELECT count(*) {nowhere}"),
            stations=len(newest),
            wrong_state_count=len(wrong),
            still_queued=queued,
            missing=[row[0] for row in db.execute(f"SELECT id {nowhere} ORDER BY id LIMIT 10")],
            wrong_state=wrong[:10],
        )


def wait_for_empty_queue(
    sqs: Any, queue_url: str, seconds: float, say: Callable[[int], None] = lambda _: None
) -> int:
    """Wait until nothing waits or is in work; returns how many still do when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        waiting = queue_depth(sqs, queue_url)
        say(waiting)
        if waiting == 0 or time.monotonic() > deadline:
            return waiting
        time.sleep(0.2)


def queue_depth(sqs: Any, queue_url: str) -> int:
    """Messages that wait or are in work."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)["Attributes"]
    return sum(int(attributes[name]) for name in names)


def read_ledger(path: Path) -> Iterator[LedgerLine]:
    """The lines of a ledger.

    Raises:
        TestbedError: a line that is no ledger line; the last one excepted, which a kill may have cut.
    """
    decoder = msgspec.json.Decoder(LedgerLine)
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield decoder.decode(line)
            except msgspec.MsgspecError as error:
                if not line.endswith(b"\n"):
                    return
                raise TestbedError(
                    f"{path}:{number} is no ledger line: {error}.", "Name a simulator's ledger."
                ) from error


def normalise(timestamp: str) -> str:
    """An ISO 8601 time as the stations table has it: UTC, microseconds, so that text order is time order."""
    # As the handler reads it: "2026-02-03 00:00:16z" is RFC 3339, too.
    moment = msgspec.convert(timestamp, datetime)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _wrong_states(deployment: Deployment, newest: dict[str, tuple[str, int, Any]]) -> Iterator[str]:
    """Stations whose table item is not their newest archived message."""
    table = deployment.session.resource("dynamodb", endpoint_url=deployment.aws_url).Table(
        deployment.outputs["stations_table_name"]
    )
    left = dict(newest)
    options: dict[str, Any] = {}
    while True:
        page = table.scan(ConsistentRead=True, **options)
        for item in page["Items"]:
            station: Any = item["station_id"]
            expected = left.pop(station, None)
            if expected is None:
                continue
            found = (item.get("timestamp"), int(item.get("sequence", 0)), item.get("battery_available"))  # type: ignore[arg-type]
            if found != expected:
                yield f"{station}: the table has {found[:2]}, its newest message is {expected[:2]}"
        if "LastEvaluatedKey" not in page:
            break
        options = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    yield from (f"{station}: not in the table" for station in left)


def _insert(db: sqlite3.Connection, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
    batch: list[tuple[Any, ...]] = []
    for row in rows:
        batch.append(row)
        if len(batch) >= _BATCH:
            db.executemany(statement, batch)
            batch.clear()
    db.executemany(statement, batch)
    db.commit()
