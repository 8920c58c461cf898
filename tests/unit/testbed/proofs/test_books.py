"""The audit's books: which history points are due, which message is the newest, and how much memory that takes."""

import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from testbed.proofs import books as books_module
from testbed.proofs.books import Books, HistoryWindow, Point, Recency
from testbed.proofs.ledgers import LedgerLine

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
WINDOW = HistoryWindow(60, 24, NOW)
MINUTE = datetime(2026, 3, 1, 11, 30, tzinfo=UTC)


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    opened = Books(tmp_path / "audit.db", WINDOW)
    yield opened
    opened.close()


def text(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def line(seconds: float, sequence: int, message_id: str, station: str = "a") -> LedgerLine:
    return LedgerLine(message_id, station, sequence, text(MINUTE + timedelta(seconds=seconds)))


def record(entry: LedgerLine, ready: int = 1) -> dict[str, Any]:
    return {
        "message_id": entry.message_id,
        "station_id": entry.station_id,
        "sequence": entry.sequence,
        "timestamp": entry.timestamp,
        "battery_available": ready,
    }


def point(entry: LedgerLine, seconds: int = 0) -> Point:
    interval = int(MINUTE.timestamp()) + seconds
    return Point(entry.station_id, interval, Recency(entry.timestamp, entry.sequence, entry.message_id))


def test_each_minute_of_the_ledger_is_due_its_first_message(books: Books) -> None:
    """Out of order and repeated; a minute without a point is missing, one with a later message is wrong."""
    first, second, other, gone = line(5, 1, "m1"), line(20, 2, "m2"), line(70, 3, "m3"), line(130, 4, "m4")
    books.acknowledged([second, first, other, gone])
    books.archived(record(each) for each in (gone, second, other, first, second))
    books.kept([point(second), point(other, 60)])
    assert books.points_due() == 3
    assert books.points_missing(10) == (1, ["a at 2026-03-01T11:32:00Z: no point; its first message is m4"])
    assert books.points_wrong(10) == (
        1,
        ["a at 2026-03-01T11:30:00Z: another point than its first message, m1"],
    )
    books.kept([point(first), point(gone, 120)])
    assert (books.points_missing(10)[0], books.points_wrong(10)[0]) == (0, 0)


def test_what_is_not_owed_is_not_missed(books: Books) -> None:
    """Before the window; a first message that waits for a redrive; and a station that no ledger has."""
    old, waiting, foreign = line(-86400, 1, "old"), line(5, 2, "waiting"), line(5, 1, "foreign", "b")
    books.acknowledged([old, waiting])
    books.archived(record(each) for each in (old, waiting, line(9, 3, "later"), foreign))
    books.dead_lettered(["waiting"])
    assert books.points_due() == 0
    assert books.stations_due() == [("a", int(MINUTE.timestamp()))]


def test_a_tie_of_times_is_settled_as_the_handler_does(books: Books) -> None:
    """Two messages of one millisecond, without a sequence: the id decides, in whatever order they are read."""
    books.archived([record(line(1, 0, "b"), ready=7), record(line(1, 0, "a"), ready=3)])
    assert books.newest["a"] == (Recency(line(1, 0, "b").timestamp, 0, "b"), {7})


def test_an_id_that_was_used_twice_leaves_the_table_a_choice(books: Books) -> None:
    """The table keeps the one that came first, and nobody knows which that was."""
    books.archived([record(line(1, 0, "a"), ready=7), record(line(1, 0, "a"), ready=3)])
    assert books.newest["a"][1] == {7, 3}


def test_memory_does_not_grow_with_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six times the messages of the same stations take the same memory; `make bench WHAT=audit` takes ten million."""
    monkeypatch.setattr(books_module, "_BATCH", 100)

    def peak(messages: int) -> int:
        with closing(Books(tmp_path / f"{messages}.db", WINDOW)) as books:
            tracemalloc.start()
            entries = (
                line(each // 10 * 5 - 72_000, each, f"m{each}", f"s{each % 10}") for each in range(messages)
            )
            books.acknowledged(entries)
            books.archived(
                record(line(each // 10, each, f"m{each}", f"s{each % 10}")) for each in range(messages)
            )
            assert books.missing(1) == (0, [])
            used = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return used

    assert peak(6_000) < peak(1_000) + 150_000
