"""How a fleet is started."""

import os

import pytest

from testbed.stations.simulation import spread


@pytest.mark.parametrize(
    ("stations", "cores", "processes"),
    [(10, 2, None), (5_000, 2, None), (5_001, 2, "2"), (10_000, 2, "2"), (10_000, 1, None), (40_000, 4, "4")],
)
def test_a_large_fleet_is_spread_over_the_cores(
    stations: int, cores: int, processes: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert spread(stations, ()) == (["--processes", processes] if processes else [])


@pytest.mark.parametrize("said", [["--processes", "3"], ["--processes=1"], ["--shard", "1/4"]])
def test_who_says_how_the_fleet_is_run_has_it_so(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert spread(40_000, said) == []
