"""The station model against the published figures, and against what no station can do."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import model
from simulator.model import GENERATIONS, Pack, Station
from simulator.settings import Settings

START = datetime(2026, 3, 2, tzinfo=UTC)
STATIONS = 150
SEED = 20260302


@dataclass(frozen=True)
class Day:
    """A fleet after a day, with each station's stock of energy before it."""

    stations: list[Station]
    stored_before: list[float]
    arrivals_by_hour: list[int]


def stored_kwh(station: Station) -> float:
    return sum(pack.charge * pack.kwh for pack in station.packs)


@pytest.fixture(scope="module")
def day() -> Day:
    """Simulate 150 stations through 24 hours, from the fixed seed above."""
    stations = [Station(f"station-{number:03}", SEED, START) for number in range(STATIONS)]
    before, hours, total = [stored_kwh(station) for station in stations], [], 0
    for _ in range(24):
        for station in stations:
            station.step(3600)
        arrived = sum(station.arrivals_total for station in stations)
        hours.append(arrived - total)
        total = arrived
    return Day(stations, before, hours)


def test_swaps_a_day_are_near_the_published_mean(day: Day) -> None:
    """The fleet's mean is within three standard errors (some 14 %) of 27 swaps a station and day."""
    swaps = [station.swaps_total for station in day.stations]
    mean = sum(swaps) / STATIONS
    error = sqrt(sum((count - mean) ** 2 for count in swaps) / (STATIONS - 1) / STATIONS)
    assert abs(mean - 27) < 3 * error, f"mean {mean:.1f}, standard error {error:.2f}, seed {SEED}"
    assert error < 0.06 * mean


def test_arrivals_follow_the_hours(day: Day) -> None:
    """The fleet gets its share of the day's arrivals in each hour, within four standard errors."""
    for hour, arrived in enumerate(day.arrivals_by_hour):
        expected = sum(station.swaps_a_day * station.site.hours[hour] for station in day.stations)
        assert abs(arrived - expected) < 4 * sqrt(expected), (hour, arrived, expected, SEED)


def test_no_car_vanishes(day: Day) -> None:
    """Who arrived was served, waits, or drove on."""
    for station in day.stations:
        assert station.arrivals_total == station.swaps_total + station.queue + station.turned_away_total


def test_energy_balances(day: Day) -> None:
    """What the grid gave, less the modules' losses, is in the packs or left with the cars."""
    for station, before in zip(day.stations, day.stored_before, strict=True):
        gained = stored_kwh(station) - before
        given_by_grid = station.energy_kwh * model.EFFICIENCY
        assert given_by_grid == pytest.approx(gained + station.swapped_kwh, rel=1e-9, abs=1e-6)


def test_a_swap_takes_the_published_energy(day: Day) -> None:
    """Over the fleet, a swap's energy is 52.7 kWh within 2 %."""
    swaps = sum(station.swaps_total for station in day.stations)
    energy = sum(station.swapped_kwh for station in day.stations)
    assert energy / swaps == pytest.approx(model.ENERGY_A_SWAP_KWH, rel=0.02)


@pytest.mark.parametrize(("kwh", "minutes"), [(100.0, 60), (75.0, 45)])
def test_charging_takes_the_published_time(kwh: float, minutes: float) -> None:
    """A pack goes from 0 to 93 % in the published time, within 3 %, when it is neither cold nor hot."""
    station = Station("station-01", 1, START)
    station.packs = [Pack(kwh, 0.0)]
    station.swaps_a_day = 0.0
    station.hold_temperature(25.0)
    seconds = 0
    while not station.ready:
        station.step(10)
        seconds += 10
    assert seconds / 60 == pytest.approx(minutes, rel=0.03)


@pytest.mark.parametrize(
    ("celsius", "share"), [(-10, 0.1), (7.5, 0.5), (15, 1), (25, 1), (35, 1), (47.5, 0.5)]
)
def test_cells_that_are_cold_or_hot_charge_slower(celsius: float, share: float) -> None:
    """Full power from 15 to 35 °C, linearly less outside, and a tenth at the least."""
    station = Station("station-01", 1, START)
    station.temperature_c = celsius
    assert station._derating() == pytest.approx(share)


@pytest.mark.parametrize("generation", GENERATIONS, ids=lambda generation: generation.name)
def test_a_station_swaps_no_faster_than_its_bay(generation: model.Generation) -> None:
    """However many cars come, a station does not do more swaps than its bay has time for."""
    station = Station("station-01", 1, START)
    station.generation, station.swaps_a_day = generation, 20_000.0
    station.packs = [Pack(75.0, 1.0) for _ in range(generation.slots)]
    for _ in range(6):
        station.step(3600)
        for pack in station.packs:
            pack.charge = 1.0
    assert station.swaps_total <= 6 * 3600 / generation.swap_seconds + 1


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    steps=st.lists(st.floats(0.01, 1800), min_size=1, max_size=12),
    hour=st.integers(0, 23),
    busy=st.floats(0, 480),
)
def test_telemetry_is_always_possible(seed: int, steps: list[float], hour: int, busy: float) -> None:
    """Whatever the steps: packs fit the slots, nothing is negative, and the grid's power is not exceeded."""
    station = Station("station-01", seed, START + timedelta(hours=hour))
    station.swaps_a_day, swaps = busy, 0
    for seconds in steps:
        station.step(seconds)
        told = station.telemetry()
        assert 0 <= told["battery_available"] <= told["slots"] == station.generation.slots
        assert told["battery_available"] + told["charging"] == told["slots"]
        assert told["swaps_total"] >= swaps
        assert 0 <= told["queue_length"] <= 8
        assert 0 <= told["power_kw"] <= station.generation.grid_kw + 0.1
        assert all(0 <= pack.charge <= 1 for pack in station.packs)
        assert told["status"] == ("OK" if told["battery_available"] else "NO_BATTERY")
        swaps = told["swaps_total"]


def emptied() -> Station:
    """Make a station whose packs are all empty, and that nobody comes to."""
    station = Station("station-01", SEED, START + timedelta(hours=12))
    station.hold_temperature(25.0)
    station.packs = [Pack(75.0, 0.0) for _ in range(station.generation.slots)]
    station.swaps_a_day = 0.0
    return station


def test_a_power_limit_slows_charging_in_proportion() -> None:
    free, limited = emptied(), emptied()
    limited.settings = Settings(5, charging_power_limit_kw=free.generation.grid_kw / 4)
    free.step(600)
    limited.step(600)
    assert free.power_kw == pytest.approx(free.generation.grid_kw)
    assert limited.power_kw == pytest.approx(free.generation.grid_kw / 4)
    assert stored_kwh(limited) == pytest.approx(stored_kwh(free) / 4)


def test_packs_are_charged_to_the_highest_state_of_charge_and_handed_out_there() -> None:
    station = emptied()
    station.settings = Settings(5, max_state_of_charge_percent=80)
    station.step(6 * 3600)
    assert all(0.79 <= pack.charge <= 0.8 for pack in station.packs)
    assert station.ready == station.generation.slots


def test_a_station_in_maintenance_swaps_nothing_and_no_car_vanishes() -> None:
    station = Station("station-01", SEED, START + timedelta(hours=12))
    station.swaps_a_day = 400.0
    station.step(3600)
    swaps = station.swaps_total
    assert swaps
    station.settings = Settings(5, maintenance_mode=True, maintenance_reason="door")
    station.step(3600)
    assert station.swaps_total == swaps
    assert station.telemetry()["status"] == "MAINTENANCE"
    assert station.arrivals_total == station.swaps_total + station.queue + station.turned_away_total
    station.settings = Settings(5)
    station.step(3600)
    assert station.swaps_total > swaps
