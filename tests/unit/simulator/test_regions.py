"""When a station gives its region up, and when it comes home."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from simulator import regions
from simulator.connection import Endpoint
from simulator.ledger import Ledger
from simulator.regions import Region, Whereabouts


def at(*ports: int, seed: int = 1) -> Whereabouts:
    places = tuple(Region.of(Endpoint("127.0.0.1", port, None, None)) for port in ports)
    return Whereabouts("station-1", places, random.Random(seed))


def test_one_failure_is_no_lost_region_and_two_in_a_row_are() -> None:
    station = at(1, 2)
    for _ in range(3):
        station.failed()
        assert not station.away
        station.answered()
    station.failed()
    station.failed()
    assert station.away
    assert station.region.endpoint.port == 2
    assert station.home.endpoint.port == 1


def test_a_region_that_owes_an_answer_is_given_up_at_once() -> None:
    station = at(1, 2)
    station.failed(silent=True)
    assert station.away


def test_a_station_that_finds_neither_region_tries_them_in_turn() -> None:
    station = at(1, 2)
    seen = []
    for _ in range(8):
        seen.append(station.away)
        station.failed()
    assert seen == [False, False, True, True, False, False, True, True]


def test_with_one_region_there_is_nowhere_to_go() -> None:
    station = at(1)
    for _ in range(5):
        station.failed(silent=True)
    assert not station.away


class Clock:
    """Time that passes when somebody sleeps, in place of the modules ``time`` and ``asyncio``."""

    Semaphore = asyncio.Semaphore

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(regions, "time", clock)
    monkeypatch.setattr(regions, "asyncio", clock)
    return clock


def home_at(clock: Clock, well: Callable[[float], bool], monkeypatch: pytest.MonkeyPatch, seed: int) -> float:
    """Wait for a home that is well at the times that ``well`` says; return when a station goes home."""

    async def answers(_self: Whereabouts, _patience: float) -> bool:
        return well(clock.now)

    monkeypatch.setattr(Whereabouts, "_home_answers", answers)
    clock.now = 0.0
    asyncio.run(at(1, 2, seed=seed).until_home_is_well(patience=10, settle=30))
    return clock.now


def test_home_has_to_be_well_for_a_while_and_a_relapse_begins_it_anew(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    returned = [home_at(clock, lambda now: now > 100, monkeypatch, seed) for seed in range(50)]
    assert min(returned) > 130
    relapsed = [
        home_at(clock, lambda now: 100 < now < 120 or now > 140, monkeypatch, seed) for seed in range(50)
    ]
    assert min(relapsed) > 170


def test_a_fleet_comes_home_in_a_bounded_time_and_spread_over_it(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most a longest look, twice settle and one look more; and no tenth of that has a third of the fleet."""
    away = 600
    returned = [home_at(clock, lambda now: now > away, monkeypatch, seed) - away for seed in range(400)]
    longest = regions._LONGEST_LOOK + 60 + 20
    assert max(returned) <= longest
    tenths = Counter(int(10 * each / longest) for each in returned)
    assert max(tenths.values()) < len(returned) / 3


def test_a_ledger_says_which_region_acknowledged(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.ndjson")
    ledger.add("s-r-1", "s", 1, "2026-03-02T08:00:00.000Z", region="eu-central-1")
    ledger.close()
    assert '"region":"eu-central-1"' in (tmp_path / "ledger.ndjson").read_text()
