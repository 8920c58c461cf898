"""A fleet's regions: a home, and one to fail over to; and which of them a station is at."""

import asyncio
import random
import time
from dataclasses import dataclass, field

from simulator.connection import Connection, Endpoint, Identities

# Handshakes at once with a region: each is milliseconds of CPU, and more at once only time out together. A region that
# does not answer takes no other's.
_HANDSHAKES = 64
# In a row without an acknowledgement between them, then the other region is tried. A broker that restarts is one.
_FAILURES = 2
# How often a station that is away looks after its home, while that does not answer and while it does.
_FIRST_LOOK, _LONGEST_LOOK = 5.0, 60.0
_LOOKS_A_SETTLE = 3


@dataclass(frozen=True)
class Region:
    """A region's endpoint, and what all stations share there."""

    endpoint: Endpoint
    identities: Identities
    handshakes: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_HANDSHAKES))

    @classmethod
    def of(cls, endpoint: Endpoint) -> "Region":
        """Load the authority of an endpoint.

        Raises:
            OSError: it cannot be read.
        """
        return cls(endpoint, Identities(endpoint))


class Whereabouts:
    """The region that one station is at, or tries to be at."""

    __slots__ = ("_failures", "_random", "_regions", "_station_id", "away")

    def __init__(self, station_id: str, regions: tuple[Region, ...], chance: random.Random) -> None:
        """Begin at home, the first of one or two ``regions``."""
        self._station_id = station_id
        self._regions = regions
        self._random = chance
        self._failures = 0
        self.away = False

    @property
    def region(self) -> Region:
        """Where the station is."""
        return self._regions[self.away]

    @property
    def home(self) -> Region:
        """Where the station belongs."""
        return self._regions[0]

    def answered(self) -> None:
        """Note an acknowledgement: only this proves that a region is of use."""
        self._failures = 0

    def failed(self, *, silent: bool = False) -> None:
        """Note a connection that ended or did not come about; one that was ``silent`` was waited for enough."""
        self._failures += _FAILURES if silent else 1
        if self._failures >= _FAILURES and len(self._regions) > 1:
            self._failures = 0
            self.away = not self.away

    async def until_home_is_well(self, patience: float, settle: float) -> None:
        """Return when home has answered every look for ``settle`` to twice as many seconds, another time a station.

        A look is a TCP connection and TLS handshake of ``patience`` seconds at most, without MQTT: a CONNECT would show
        the station as connected where it is not. Pauses are random in all of their width, so a fleet neither looks nor
        comes home at once.
        """
        longest, well_since = _FIRST_LOOK, None
        wanted = self._random.uniform(settle, 2 * settle)
        while well_since is None or time.monotonic() - well_since < wanted:
            await asyncio.sleep(self._random.uniform(0, longest))
            if await self._home_answers(patience):
                well_since, longest = well_since or time.monotonic(), 2 * settle / _LOOKS_A_SETTLE
            else:
                well_since, longest = None, min(2 * longest, _LONGEST_LOOK)

    async def _home_answers(self, patience: float) -> bool:
        home = self.home
        look = Connection(
            self._station_id, home.endpoint, home.identities, acknowledged=lambda _: None, lost=lambda: None
        )
        try:
            async with home.handshakes:
                await look.reach(patience)
        except OSError:
            return False
        return True
