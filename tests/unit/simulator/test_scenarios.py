"""A scenario changes what it says, and nothing else."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from simulator.model import HIGHWAY, Station
from simulator.scenario import Scenario, ScenarioError, load

START = datetime(2026, 3, 2, tzinfo=UTC)
SEED = 7


def day(scenario: Scenario, stations: int = 60, hours: int = 24) -> list[Station]:
    """Simulate a fleet after some hours of the scenario."""
    fleet = [Station(f"station-{number:02}", SEED, START, scenario) for number in range(stations)]
    for station in fleet:
        station.step(3600 * hours)
    return fleet


def test_every_scenario_of_the_file_can_be_lived() -> None:
    """All five are there, and a day of each ends."""
    for name in ("normal-day", "holiday-peak", "grid-outage", "broken-charger", "heat-wave"):
        assert load(name).says
        assert sum(station.swaps_total for station in day(load(name), stations=4)) > 0


def test_a_normal_day_is_the_model_itself() -> None:
    """The scenario that is taken unless another is named adds nothing."""
    plain = Station("station-01", SEED, START)
    plain.step(86_400)
    [station] = [one for one in day(load(), 2) if one.station_id == "station-01"]
    assert station.telemetry() == plain.telemetry()


def test_a_holiday_brings_the_published_rise_to_the_highways() -> None:
    """41 swaps where the mean is 27: expected demand rises by half, at the highways alone."""
    fleet = day(load("holiday-peak"), 800, hours=0)
    usual = sum(station.swaps_a_day for station in fleet)
    rise = sum(station.swaps_a_day * station._demand for station in fleet) / usual
    assert rise == pytest.approx(41 / 27, rel=0.15), f"seed {SEED}"
    assert {station._demand > 1 for station in fleet if station.site is HIGHWAY} == {True}
    assert {station._demand < 1 for station in fleet if station.site is not HIGHWAY} == {True}


def test_an_outage_stops_charging_where_it_hits_and_only_then() -> None:
    """At 18:00 three in ten draw nothing and say so; at 20:00 nobody is without a grid."""
    fleet = day(load("grid-outage"), hours=18)
    hit = [station for station in fleet if station.telemetry()["status"] == "GRID_OUTAGE"]
    assert 0.1 * len(fleet) < len(hit) < 0.5 * len(fleet), f"seed {SEED}"
    for station in fleet:
        station.step(600)
    assert {station.power_kw for station in hit} == {0}
    assert sum(station.power_kw for station in fleet) > 0
    for station in fleet:
        station.step(2 * 3600)
    assert not [station for station in fleet if station.telemetry()["status"] == "GRID_OUTAGE"]


def test_broken_slots_do_not_charge() -> None:
    """Where chargers are broken, the first four packs only ever lose charge."""
    fleet = [Station(f"station-{number:02}", SEED, START, load("broken-charger")) for number in range(40)]
    hit = [station for station in fleet if station.telemetry()["status"] == "CHARGER_FAULT"]
    assert hit, f"seed {SEED}"
    before = [[pack.charge for pack in station.packs[:4]] for station in hit]
    for station in hit:
        station.swaps_a_day = 0.0
        station.step(7200)
    assert [[pack.charge for pack in station.packs[:4]] for station in hit] == before


def test_a_heat_wave_warms_every_station() -> None:
    """Sixteen degrees more at the start, whatever the site."""
    for usual, hot in zip(day(load(), hours=0), day(load("heat-wave"), hours=0), strict=True):
        assert hot.temperature_c - usual.temperature_c == pytest.approx(16)


def test_a_scenario_that_is_none_is_named(tmp_path: Path) -> None:
    """A wrong name lists the known ones; a wrong file says what is wrong in it."""
    with pytest.raises(ScenarioError, match=r"no scenario doomsday .*\n  Known: normal-day"):
        load("doomsday")
    file = tmp_path / "mine.toml"
    file.write_text("[mine]\nevents = [{ from = 25, to = 3 }]\n")
    with pytest.raises(ScenarioError, match="<= 24"):
        load("mine", file)
