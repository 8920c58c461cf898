"""The audit's books: ledger, archive, dead letters and history points, held against each other in a SQLite file.

Everything streams in, so the size of a ledger is a matter of disk, not of memory: what is kept in memory is a few
values a station. `bench/audit_memory.py` measures it.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from testbed.proofs.ledgers import LedgerLine

_BATCH = 10_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
# No audit takes longer; a point that expires within it is not asked for.
_AUDIT_SECONDS = 900
_NOWHERE = "FROM ledger WHERE id NOT IN (SELECT id FROM archive) AND id NOT IN (SELECT id FROM letters)"
# A dead letter that a redrive may yet send back owes its point; see docs/decisions/0010-history.md.
_DUE = "FROM due JOIN firsts USING (station, interval) WHERE firsts.id NOT IN (SELECT id FROM letters)"
_POINT = "SELECT 1 FROM points WHERE points.station = due.station AND points.interval = due.interval"
_THE_FIRST = (
    " AND points.timestamp = firsts.timestamp AND points.sequence = firsts.sequence AND points.id = firsts.id"
)


class Recency(NamedTuple):
    """What makes a station's message newer than another; the handler's order, too."""

    timestamp: str
    sequence: int
    message_id: str


def recency(timestamp: str, sequence: int, message_id: str) -> Recency:
    """Return a message's place in the order, from what it says itself; the time as the stations table has it."""
    return Recency(_text(_moment(timestamp)), sequence, message_id)


class Point(NamedTuple):
    """A point of the history table; ``interval`` is where its interval begins, epoch seconds."""

    station: str
    interval: int
    order: Recency


@dataclass(frozen=True)
class HistoryWindow:
    """A point each ``resolution`` seconds, for ``hours``; ``now`` is the audit's time (aware)."""

    resolution: int
    hours: int
    now: datetime

    @property
    def begin(self) -> int:
        """The first interval that surely does not expire while the audit runs, epoch seconds."""
        oldest = (self.now - _EPOCH) // _SECOND - self.hours * 3600 + _AUDIT_SECONDS
        return oldest - oldest % self.resolution

    def interval(self, moment: datetime) -> int:
        """Return where the interval of a moment begins, epoch seconds."""
        seconds = (moment - _EPOCH) // _SECOND
        return seconds - seconds % self.resolution


class Books:
    """See the module. Fill it in the order of its methods, then ask."""

    def __init__(self, path: Path, window: HistoryWindow) -> None:
        """``path`` of a SQLite file that is made."""
        self._db = sqlite3.connect(path)
        self._window = window
        # What the newest message of each station says; more than one where a station used its id for two.
        self.newest: dict[str, tuple[Recency, set[Any]]] = {}
        self._db.executescript(
            """
            PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = FILE; PRAGMA cache_size = -65536;
            CREATE TABLE ledger (id TEXT PRIMARY KEY) WITHOUT ROWID;
            CREATE TABLE archive (id TEXT PRIMARY KEY, copies INTEGER) WITHOUT ROWID;
            CREATE TABLE letters (id TEXT PRIMARY KEY) WITHOUT ROWID;
            CREATE TABLE due (station TEXT, interval INTEGER, PRIMARY KEY (station, interval)) WITHOUT ROWID;
            CREATE TABLE firsts (station TEXT, interval INTEGER, timestamp TEXT, sequence INTEGER, id TEXT,
                                 PRIMARY KEY (station, interval)) WITHOUT ROWID;
            CREATE TABLE points (station TEXT, interval INTEGER, timestamp TEXT, sequence INTEGER, id TEXT,
                                 PRIMARY KEY (station, interval)) WITHOUT ROWID;
            """
        )

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def acknowledged(self, lines: Iterable[LedgerLine]) -> None:
        """Enter a ledger's lines."""
        last: dict[str, int] = {}

        def rows() -> Iterator[tuple[str]]:
            intervals: list[tuple[str, int]] = []
            for line in lines:
                interval = self._window.interval(_moment(line.timestamp))
                if interval >= self._window.begin and last.get(line.station_id) != interval:
                    last[line.station_id] = interval
                    intervals.append((line.station_id, interval))
                    if len(intervals) >= _BATCH:
                        self._db.executemany("INSERT OR IGNORE INTO due VALUES (?, ?)", intervals)
                        intervals.clear()
                yield (line.message_id,)
            self._db.executemany("INSERT OR IGNORE INTO due VALUES (?, ?)", intervals)

        self._insert("INSERT OR IGNORE INTO ledger VALUES (?)", rows())

    def archived(self, records: Iterable[dict[str, Any]]) -> None:
        """Enter the archive's lines, duplicates included."""
        # Of each station the interval that was seen last, and its first message so far: mostly that is all.
        last: dict[str, tuple[int, Recency]] = {}

        def rows() -> Iterator[tuple[str]]:
            firsts: list[tuple[str, int, str, int, str]] = []
            for record in records:
                station, moment = record["station_id"], _moment(record["timestamp"])
                order = recency(record["timestamp"], record.get("sequence") or 0, record["message_id"])
                known = self.newest.get(station)
                if known is None or order > known[0]:
                    self.newest[station] = order, {record["battery_available"]}
                elif order == known[0]:
                    known[1].add(record["battery_available"])
                interval = self._window.interval(moment)
                seen = last.get(station)
                if interval >= self._window.begin and (
                    seen is None or seen[0] != interval or order < seen[1]
                ):
                    last[station] = interval, order
                    firsts.append((station, interval, *order))
                    if len(firsts) >= _BATCH:
                        self._first(firsts)
                yield (order.message_id,)
            self._first(firsts)

        self._insert(
            "INSERT INTO archive VALUES (?, 1) ON CONFLICT (id) DO UPDATE SET copies = copies + 1", rows()
        )

    def _first(self, rows: list[tuple[str, int, str, int, str]]) -> None:
        self._db.executemany(
            """
            INSERT INTO firsts VALUES (?, ?, ?, ?, ?) ON CONFLICT (station, interval)
            DO UPDATE SET timestamp = excluded.timestamp, sequence = excluded.sequence, id = excluded.id
            WHERE (excluded.timestamp, excluded.sequence, excluded.id) < (timestamp, sequence, id)
            """,
            rows,
        )
        rows.clear()

    def dead_lettered(self, message_ids: Iterable[str]) -> None:
        """Enter the dead letters that have an id."""
        self._insert("INSERT OR IGNORE INTO letters VALUES (?)", ((each,) for each in message_ids))

    def stations_due(self) -> list[tuple[str, int]]:
        """Return the stations of the ledger that should have points, each with the earliest interval."""
        return self._db.execute("SELECT station, min(interval) FROM due GROUP BY station").fetchall()

    def kept(self, points: Iterable[Point]) -> None:
        """Enter the history's points."""
        self._insert(
            "INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?, ?)",
            ((point.station, point.interval, *point.order) for point in points),
        )

    # --- questions -----------------------------------------------------------------------------------------------

    def acknowledged_count(self) -> int:
        """Messages of the ledgers."""
        return self._count("FROM ledger")

    def acknowledged_and_archived(self) -> int:
        """Those of the ledgers that the archive has."""
        return self._count("FROM ledger WHERE id IN (SELECT id FROM archive)")

    def acknowledged_and_dead_lettered(self) -> int:
        """Those of the ledgers that the dead-letter queue has."""
        return self._count("FROM ledger WHERE id IN (SELECT id FROM letters)")

    def archived_count(self) -> tuple[int, int]:
        """Return unique messages in the archive, and further copies."""
        unique, lines = self._db.execute("SELECT count(*), sum(copies) FROM archive").fetchone()
        return unique, (lines or 0) - unique

    def missing(self, limit: int) -> tuple[int, list[str]]:
        """Acknowledged messages that are neither archived nor dead-lettered: how many, and some."""
        return self._count(_NOWHERE), [
            row[0] for row in self._db.execute(f"SELECT id {_NOWHERE} ORDER BY id LIMIT {limit}")
        ]

    def points_due(self) -> int:
        """Intervals of the ledger that should have a point now."""
        return self._count(_DUE)

    def points_missing(self, limit: int) -> tuple[int, list[str]]:
        """Intervals without a point: how many, and some, described."""
        return self._described(f"{_DUE} AND NOT EXISTS ({_POINT})", "no point; its first message is", limit)

    def points_wrong(self, limit: int) -> tuple[int, list[str]]:
        """Intervals whose point is not their first message: how many, and some, described."""
        where = f"{_DUE} AND EXISTS ({_POINT}) AND NOT EXISTS ({_POINT}{_THE_FIRST})"
        return self._described(where, "another point than its first message,", limit)

    def _described(self, where: str, what: str, limit: int) -> tuple[int, list[str]]:
        rows = self._db.execute(
            f"SELECT due.station, due.interval, firsts.id {where} ORDER BY 1, 2 LIMIT {limit}"
        )
        return self._count(where), [
            f"{station} at {datetime.fromtimestamp(interval, UTC):%Y-%m-%dT%H:%M:%SZ}: {what} {message_id}"
            for station, interval, message_id in rows
        ]

    def _count(self, where: str) -> int:
        return int(self._db.execute(f"SELECT count(*) {where}").fetchone()[0])

    def _insert(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        batch: list[tuple[Any, ...]] = []
        for row in rows:
            batch.append(row)
            if len(batch) >= _BATCH:
                self._db.executemany(statement, batch)
                batch.clear()
        self._db.executemany(statement, batch)
        self._db.commit()


def _moment(timestamp: str) -> datetime:
    # As the handler reads it: "2026-02-03 00:00:16z" is RFC 3339, too.
    return msgspec.convert(timestamp, datetime)


def _text(moment: datetime) -> str:
    """Write it as the stations table has it: UTC, microseconds, so that text order is time order."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
