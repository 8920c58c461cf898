"""The audit: what the broker acknowledged, held against archive, stations table, history and dead-letter queue.

What the API accepted is held against shadows, operations table and stations' journals: `testbed.proofs.operations`.
"""

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from testbed.archive import reader
from testbed.deploy.deployment import Deployment
from testbed.pipeline import dead_letters, stream
from testbed.pipeline.dead_letters import DeadLetter
from testbed.pipeline.quiet import wait_until_handled
from testbed.proofs.books import Books, HistoryWindow, Point, Recency, recency
from testbed.proofs.ledgers import OPERATIONS_SUFFIX, OperationsLine, read_ledger, read_operations
from testbed.proofs.operations import OperationsReport, collect, judge

# Of what is wrong, so many are named.
_SHOWN = 10


@dataclass(frozen=True)
class AuditReport:
    """Counts of messages, and of points of the history.

    ``points_due``: intervals (minutes) of the ledger that should have a point; not those whose first message is
    in the dead-letter queue, which owes it until a redrive. ``missing``, ``wrong_state`` and ``wrong_points`` (missing
    or not the first message) list some, for a person to follow up. ``operations`` is None where the project has no
    operations table.
    """

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
    points_due: int
    points_missing_count: int
    points_wrong_count: int
    missing: list[str] = field(default_factory=list)
    wrong_state: list[str] = field(default_factory=list)
    wrong_points: list[str] = field(default_factory=list)
    operations: OperationsReport | None = None

    @property
    def clean(self) -> bool:
        """Whether every guarantee held."""
        return not (
            self.missing_count
            or self.wrong_state_count
            or self.points_missing_count
            or self.points_wrong_count
            or (self.operations and not self.operations.clean)
        )


def audit(deployment: Deployment, ledgers: Iterable[Path], *, wait_seconds: float = 120) -> AuditReport:
    """Wait until the queue is empty, and the stream's last record done, then compare.

    A fleet may run meanwhile: what is acknowledged after the ledgers were read is left to the next audit.

    Args:
        deployment: where.
        ledgers: NDJSON files of acknowledged messages, each with the journal beside it, if there is one; operators'
            ledgers (``.operations``) stand for themselves.
        wait_seconds: how long to wait for the queue.

    Raises:
        TestbedError: a ledger cannot be read.
    """
    outputs = deployment.outputs
    sqs = deployment.client("sqs")
    paths = [*ledgers]
    messages = [path for path in paths if path.suffix != OPERATIONS_SUFFIX]
    begun = datetime.now(UTC)
    with (
        tempfile.TemporaryDirectory(dir=deployment.path) as folder,
        closing(Books(Path(folder) / "audit.db", _history_window(deployment))) as books,
    ):
        for path in messages:
            books.acknowledged(read_ledger(path))
        queued = wait_until_handled(deployment, wait_seconds)
        books.archived(reader.records(deployment.client("s3"), outputs.telemetry_bucket_name))
        letters: Counter[str] = Counter()
        books.dead_lettered(_ids(dead_letters.each(sqs, outputs.dead_letter_queue_url), letters, deployment))
        books.kept(_points(deployment, books.stations_due()))
        wrong = _not_overtaken(deployment, [*wrong_states(deployment, books.newest)], begun)
        report = _report(books, letters, sorted(map(str, wrong)), queued)
        if not outputs.operations_table_name:
            return report
        spoke = {station: _moment(order.timestamp) for station, (order, _) in books.newest.items()}
        return replace(report, operations=judge(_operations(paths), collect(deployment, spoke)))


def _operations(ledgers: Iterable[Path]) -> Iterator[OperationsLine]:
    """Yield what operators' ledgers say, and the journals beside the others."""
    for path in sorted({ledger.with_suffix(OPERATIONS_SUFFIX) for ledger in ledgers}):
        if path.is_file():
            yield from read_operations(path)


def _moment(timestamp: str) -> datetime:
    return datetime.fromisoformat(timestamp)


def _ids(letters: Iterable[DeadLetter], reasons: Counter[str], deployment: Deployment) -> Iterator[str]:
    """Yield the letters' message ids, and count the letters by reason.

    A letter that stands for records of the stream is as good as they are: its ids are read there.
    """
    for letter in letters:
        reasons[letter.reason] += 1
        found = [letter.message_id]
        if letter.given_up:
            bodies = stream.bodies(deployment.client("kinesis"), letter.given_up)
            found = [dead_letters.message_id_of(body.decode("utf-8", "replace")) for body in bodies]
        yield from (each for each in found if each)


def _report(books: Books, letters: Counter[str], wrong: list[str], queued: int) -> AuditReport:
    archived_unique, archived_duplicates = books.archived_count()
    missing_count, missing = books.missing(_SHOWN)
    points_missing_count, points_missing = books.points_missing(_SHOWN)
    points_wrong_count, points_wrong = books.points_wrong(_SHOWN)
    return AuditReport(
        acknowledged=books.acknowledged_count(),
        archived_unique=archived_unique,
        archived_duplicates=archived_duplicates,
        dead_lettered=dict(letters),
        acknowledged_archived=books.acknowledged_and_archived(),
        acknowledged_dead_lettered=books.acknowledged_and_dead_lettered(),
        missing_count=missing_count,
        stations=len(books.newest),
        wrong_state_count=len(wrong),
        still_queued=queued,
        points_due=books.points_due(),
        points_missing_count=points_missing_count,
        points_wrong_count=points_wrong_count,
        missing=missing,
        wrong_state=wrong[:_SHOWN],
        wrong_points=[*points_missing, *points_wrong][:_SHOWN],
    )


@dataclass(frozen=True)
class WrongState:
    """A station whose table item is not its newest archived message.

    ``shown``: the item's place in the order, and ``ready`` its batteries; None where it has no item.
    """

    station: str
    newest: Recency
    shown: Recency | None = None
    ready: Any = None

    def __str__(self) -> str:
        if self.shown is None:
            return f"{self.station}: not in the table"
        return (
            f"{self.station}: the table has {tuple(self.shown)}, its newest message is {tuple(self.newest)}"
        )

    @property
    def ahead(self) -> bool:
        """Whether the table has something newer."""
        return self.shown is not None and None not in self.shown and self.shown > self.newest


def wrong_states(deployment: Deployment, newest: dict[str, tuple[Recency, set[Any]]]) -> Iterator[WrongState]:
    """Yield the stations whose table item is not their newest archived message."""
    table = deployment.session.resource("dynamodb", endpoint_url=deployment.aws_url).Table(
        deployment.outputs.stations_table_name
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
            sequence: Any = item.get("sequence", 0)
            timestamp: Any = item.get("timestamp")
            message_id: Any = item.get("message_id")
            shown, ready = Recency(timestamp, int(sequence), message_id), item.get("battery_available")
            if shown != expected[0] or ready not in expected[1]:
                yield WrongState(station, expected[0], shown, ready)
        if "LastEvaluatedKey" not in page:
            break
        options = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    yield from (WrongState(station, order) for station, (order, _) in left.items())


def _not_overtaken(deployment: Deployment, wrong: list[WrongState], begun: datetime) -> list[WrongState]:
    """Leave out the stations that spoke again while the archive was read: the table shows what was archived since."""
    ahead = {each.shown.message_id for each in wrong if each.shown and each.ahead}
    if not ahead:
        return wrong
    s3, bucket = deployment.client("s3"), deployment.outputs.telemetry_bucket_name
    fresh = [
        record
        for listed in reader.dated(s3, bucket, reader.PREFIX)
        # S3's clock is not ours, and knows seconds.
        if listed.at > begun - timedelta(minutes=1)
        for record in reader.read(s3, bucket, listed.key)
        if record["message_id"] in ahead
    ]
    archived = {
        (
            record["station_id"],
            recency(record["timestamp"], record.get("sequence") or 0, record["message_id"]),
            record["battery_available"],
        )
        for record in fresh
    }
    return [
        each for each in wrong if not each.ahead or (each.station, each.shown, each.ready) not in archived
    ]


def _history_window(deployment: Deployment) -> HistoryWindow:
    """Return the window as the handler has it."""
    function = deployment.outputs.telemetry_function_name
    configuration = deployment.client("lambda").get_function_configuration(FunctionName=function)
    variables = configuration["Environment"]["Variables"]
    return HistoryWindow(
        int(variables["HISTORY_RESOLUTION_SECONDS"]), int(variables["HISTORY_HOURS"]), datetime.now(UTC)
    )


def _points(deployment: Deployment, stations: Iterable[tuple[str, int]]) -> Iterator[Point]:
    """Yield the points of these stations, each from an interval on: the table's other stations cost nothing."""
    pages = deployment.client("dynamodb").get_paginator("query")
    for station, begin in stations:
        for page in pages.paginate(
            TableName=deployment.outputs.history_table_name,
            ConsistentRead=True,
            KeyConditionExpression="station_id = :station AND #interval >= :begin",
            ExpressionAttributeNames={"#interval": "interval"},
            ExpressionAttributeValues={":station": {"S": station}, ":begin": {"N": str(begin)}},
        ):
            for item in page["Items"]:
                order = Recency(item["timestamp"]["S"], int(item["sequence"]["N"]), item["message_id"]["S"])
                yield Point(station, int(item["interval"]["N"]), order)
