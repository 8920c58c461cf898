"""Measure time and memory of the audit's books for a ledger and an archive of so many lines.

The ledger is a file, as the simulator writes it, and the archive gzip NDJSON batches in memory, one at a time, as S3
hands them over: so what is measured is the audit's own, without an emulator. A message of a thousand is missing from
the archive and one is there twice, and the audit must say so.
"""

import gzip
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from testbed.errors import TestbedError
from testbed.proofs.books import Books, HistoryWindow, Point, Recency
from testbed.proofs.ledgers import read_ledger

_INTERVAL_SECONDS = 5
_BATCH = 1000
_LOST = 1000
_RESOLUTION = 60


class _Fleet:
    """The messages of stations that speak every five seconds, in the order of their time."""

    def __init__(self, lines: int, stations: int, end: datetime) -> None:
        self.lines, self.stations = lines, stations
        self._start = end - timedelta(seconds=_INTERVAL_SECONDS * (lines // stations + 1))

    def message(self, number: int) -> dict[str, Any]:
        turn, station = divmod(number, self.stations)
        moment = self._start + timedelta(seconds=_INTERVAL_SECONDS * turn, milliseconds=station)
        return {
            "message_id": f"station-{station:04}-20260301T120000-{turn + 1}",
            "station_id": f"station-{station:04}",
            "sequence": turn + 1,
            "timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }

    def write_ledger(self, path: Path) -> None:
        encode = msgspec.json.Encoder().encode
        with path.open("wb") as ledger:
            for number in range(self.lines):
                message = self.message(number)
                ledger.write(encode(message | {"acked_at": message["timestamp"]}) + b"\n")

    def archive(self) -> Iterator[dict[str, Any]]:
        encode, decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(dict[str, Any]).decode_lines
        for begin in range(0, self.lines, _BATCH):
            numbers = range(begin, min(begin + _BATCH, self.lines))
            kept = [self.message(each) for each in numbers if each % _LOST != 1]
            lines = [encode(each | {"battery_available": 3}) for each in [*kept, kept[0]]]
            yield from decode(gzip.decompress(gzip.compress(b"\n".join(lines), 1)))


def run(lines: int, stations: int) -> None:
    """Measure, and print the figures.

    Args:
        lines: of the ledger.
        stations: that they are of.

    Raises:
        TestbedError: the audit did not notice what is missing.
    """
    now = datetime.now(UTC)
    fleet, window = _Fleet(lines, stations, now), HistoryWindow(_RESOLUTION, 24, now)
    with tempfile.TemporaryDirectory() as name:
        ledger, path = Path(name) / "ledger.ndjson", Path(name) / "audit.db"
        begun = time.monotonic()
        fleet.write_ledger(ledger)
        print(f"{lines} lines of {stations} stations: generated in {time.monotonic() - begun:.0f} s")
        with closing(Books(path, window)) as books:
            begun = time.monotonic()
            books.acknowledged(read_ledger(ledger))
            read = time.monotonic()
            books.archived(fleet.archive())
            archived = time.monotonic()
            books.kept(Point(name, begin, Recency("", 0, "")) for name, begin in books.stations_due())
            missing, _ = books.missing(10)
            lost, wrong = books.points_missing(10)[0], books.points_wrong(10)[0]
            ended = time.monotonic()
            found = (
                f"missing {missing}, points due {books.points_due()}, of these missing {lost}, wrong {wrong}"
            )
        print(found)
        print(
            f"ledger {read - begun:.0f} s, archive {archived - read:.0f} s, questions {ended - archived:.0f} s; "
            f"files {ledger.stat().st_size / 1e9:.2f} + {path.stat().st_size / 1e9:.2f} GB; "
            f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB"
        )
    # A figure of books that do not notice would be worth nothing.
    if missing != len(range(1, lines, _LOST)):
        raise TestbedError(
            f"The audit found {missing} missing messages.",
            "Some of those that were left out were not noticed.",
        )
