"""What a fleet's ledger says while it grows: who acknowledged what, and where each station is."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import msgspec

from testbed.proofs.books import Recency, recency


class Line(msgspec.Struct):
    """A line of a ledger of two regions."""

    message_id: str
    station_id: str
    sequence: int
    timestamp: str
    acked_at: datetime
    region: str


@dataclass
class Watch:
    """A ledger, read as far as it is written."""

    path: Path
    # By station: its newest message, and region and time of its last acknowledgement.
    newest: dict[str, Recency] = field(default_factory=dict)
    region: dict[str, str] = field(default_factory=dict)
    spoke_at: dict[str, datetime] = field(default_factory=dict)
    acknowledged: Counter[str] = field(default_factory=Counter)
    # Station, the region that it came to, and when.
    moves: list[tuple[str, str, datetime]] = field(default_factory=list)
    _read: int = 0

    def look(self) -> None:
        """Read what is new."""
        if not self.path.is_file():
            return
        with self.path.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in msgspec.json.Decoder(Line).decode_lines(whole):
            self._take(line)

    def _take(self, line: Line) -> None:
        station = line.station_id
        order = recency(line.timestamp, line.sequence, line.message_id)
        self.newest[station] = max(order, self.newest.get(station, order))
        if self.region.get(station) != line.region:
            self.region[station] = line.region
            self.moves.append((station, line.region, line.acked_at))
        self.spoke_at[station] = line.acked_at
        self.acknowledged[line.region] += 1

    def all_at(self, region: str, stations: int) -> bool:
        """Return whether so many stations had their last acknowledgement from a region, and none from another."""
        self.look()
        return Counter(self.region.values()) == {region: stations}

    def all_spoke_after(self, moment: datetime) -> bool:
        """Return whether each station had an acknowledgement after a moment."""
        self.look()
        return min(self.spoke_at.values()) > moment

    def arrivals(self, region: str, since: datetime) -> list[float]:
        """Return after how many seconds each station that moved to a region arrived there, in order."""
        return sorted(
            (when - since).total_seconds() for _, to, when in self.moves if to == region and when >= since
        )


def busiest_second(arrivals: list[float]) -> int:
    """Return how many arrived in the second with the most."""
    return max(Counter(map(int, arrivals)).values(), default=0)
