"""The documentation's figures are those of the results that are kept beside it."""

import json
import re
import statistics
from pathlib import Path
from typing import Any

import pytest

from bench.pipeline import run
from bench.pipeline.paths import Steady
from bench.results import document, documentation
from bench.results.tables import BLOCKS
from simulator import day
from testbed.errors import TestbedError

KEPT = sorted(document.KEPT.glob("*.json"))


@pytest.mark.parametrize("page", documentation.PAGES, ids=lambda page: page.name)
def test_a_page_says_what_its_results_say(page: Path) -> None:
    """Nobody mends a table by hand: `make docs` writes it."""
    text = page.read_text()
    assert documentation.blocks(text)
    assert documentation.rendered(text) == text, "Run: make docs"
    for image in re.findall(r"\]\((images/[^)]+\.svg)\)", text):
        assert (document.KEPT.parent / image).is_file(), f"{image} is not drawn: make docs"


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_result_that_is_kept_has_the_form_and_is_shown(path: Path) -> None:
    document.read(path)
    shown = {name for page in documentation.PAGES for name in documentation.blocks(page.read_text())}
    assert path.stem in {BLOCKS[name].result for name in shown}


def test_another_figure_makes_another_page(tmp_path: Path) -> None:
    """Else the first test could not fail."""
    changed = json.loads((document.KEPT / "pipeline-embedded.json").read_text())
    changed["figures"]["latency"]["p50"] += 0.1
    document.write(changed, tmp_path / "pipeline-embedded.json")
    readme = documentation.PAGES[0].read_text()
    assert documentation.rendered(readme, tmp_path) != readme


def test_what_was_not_measured_is_said(tmp_path: Path) -> None:
    page = "<!-- results: growth -->\n| an old | table |\n<!-- end of results -->\n"
    assert (
        documentation.rendered(page, tmp_path)
        == f"<!-- results: growth -->\n{documentation.NOT_YET}\n<!-- end of results -->\n"
    )
    with pytest.raises(TestbedError, match="no block of results unknown"):
        documentation.rendered(page.replace("growth", "unknown"), tmp_path)


def test_only_results_are_kept(tmp_path: Path) -> None:
    measured = tmp_path / "measured"
    with pytest.raises(TestbedError, match="There is nothing in"):
        documentation.keep(measured, tmp_path / "kept")
    result = document.Run("growth", "growth").document({"p50": 0.123456789}, {}, {})
    document.write(result, measured / "growth.json")
    [kept] = documentation.keep(measured, tmp_path / "kept")
    assert document.read(kept)["figures"] == {"p50": 0.123457}
    (measured / "other.json").write_text("{}")
    with pytest.raises(TestbedError, match="no result of schema"):
        documentation.keep(measured, tmp_path / "kept")


# --- a simulated day --------------------------------------------------------


@pytest.fixture(scope="module")
def simulated() -> dict[str, Any]:
    return document.read(document.KEPT / "day.json")


def test_the_day_that_is_kept_is_todays_model(simulated: dict[str, Any]) -> None:
    """Its first hour, simulated anew."""
    scale, hours = simulated["scale"], simulated["figures"]["scenarios"]["normal-day"]["hours"]
    stations = day.fleet(scale["stations"], scale["seed"])
    for station in stations:
        station.step(3600)
    swaps = sum(station.swaps_total for station in stations)
    assert swaps == hours[0]["swaps"], (
        "The model changed: python -m simulator.day --json docs/results/day.json"
    )


def test_the_day_agrees_with_the_published_figures(simulated: dict[str, Any]) -> None:
    """Swaps a station and day, the hours' profile, and availability."""
    found = simulated["figures"]
    published, normal = found["published"], found["scenarios"]["normal-day"]
    assert normal["mean"] == pytest.approx(published["mean"], rel=0.05)
    assert found["busiest"] == pytest.approx(published["busiest"], rel=0.1)
    assert max(found["swaps_a_station"]) <= max(published["most"].values())
    assert found["scenarios"]["holiday-peak"]["mean"] == pytest.approx(published["holiday_mean"], rel=0.05)
    swaps = [hour["swaps"] for hour in normal["hours"]]
    assert statistics.correlation(swaps, found["expected_swaps"]) > 0.99
    assert min(hour["ready"] for hour in normal["hours"]) > 0.9
    assert normal["drove_on"] < 0.01


# --- the rates of `make bench` ----------------------------------------------


@pytest.mark.parametrize(
    ("first", "ceiling", "offered"),
    [(200, 400, [200, 250, 312, 390, 488]), (20, 14, [20, 16, 12]), (20, 0, [20, 16, 12, 10, 8, 6, 5])],
)
def test_rates_rise_to_the_ceiling_or_fall_to_it(
    monkeypatch: pytest.MonkeyPatch, first: int, ceiling: int, offered: list[int]
) -> None:
    """They end with one rate beyond what the path keeps up with and one within, and always end."""

    def steady(_path: object, rate: int, seconds: float) -> Steady:
        stored = int(rate * seconds) if rate <= ceiling else 0
        return Steady("path", rate, seconds, rate, 0, stored, 1)

    monkeypatch.setattr(run, "steady", steady)

    class Path:
        name = "path"

    steps = list(run._rates(Path(), first, run.Scale(1, 1, 1), lambda _: None))  # type: ignore[arg-type]
    assert [step.offered for step in steps] == offered
