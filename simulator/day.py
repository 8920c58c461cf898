"""``python -m simulator.day``: a simulated day of a fleet beside the published figures, as Markdown and as JSON.

The JSON is what `make docs` draws and what docs/simulator.md's table comes from; the same options give the same bytes.
"""

import json
import random
import statistics
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from simulator import model
from simulator.model import Pack, Station
from simulator.scenario import NORMAL, NORMAL_DAY, Scenario, load, names

_START = datetime(2026, 3, 2, tzinfo=UTC)
_BAR = 30
_PLACES = 4
_NETWORK = 3_729

# Swaps a station and day (docs/simulator.md names the sources): the network's mean, its busiest station, its mean on
# the first day of a holiday week, what each generation can do at most, and the mean of Gogoro's network of scooters.
PUBLISHED = {
    "mean": model.MEAN_SWAPS_A_DAY,
    "busiest": 195,
    "stations": _NETWORK,
    "holiday_mean": 41,
    "most": {generation.name: generation.swaps_a_day for generation in model.GENERATIONS},
    "gogoro_mean": 153,
    "energy_kwh": model.ENERGY_A_SWAP_KWH,
    "minutes_100_kwh": 60,
    "minutes_75_kwh": 45,
}


@dataclass(frozen=True)
class Hour:
    """What the fleet did in an hour; ``ready`` is the share of packs that could be handed out at its end.

    ``ready_at`` is the same for each kind of site, and ``none_ready`` the share of stations with no pack to hand out.
    """

    swaps: int
    ready: float
    megawatts: float
    ready_at: dict[str, float]
    none_ready: float


def fleet(num_stations: int, seed: int, scenario: Scenario = NORMAL) -> list[Station]:
    """Make a fleet of stations at midnight."""
    return [Station(f"station-{number:05}", seed, _START, scenario) for number in range(1, num_stations + 1)]


def simulate(stations: list[Station]) -> list[Hour]:
    """Let 24 hours pass."""
    hours, swaps, energy = [], 0, 0.0
    sites = sorted({station.site.name for station in stations})
    for _ in range(24):
        for station in stations:
            station.step(3600)
        swapped = sum(station.swaps_total for station in stations)
        drawn = sum(station.energy_kwh for station in stations)
        at = {name: _ready([one for one in stations if one.site.name == name]) for name in sites}
        empty = sum(not station.ready for station in stations) / len(stations)
        hours.append(
            Hour(swapped - swaps, _ready(stations), (drawn - energy) / 1000, at, round(empty, _PLACES))
        )
        swaps, energy = swapped, drawn
    return hours


def _ready(stations: list[Station]) -> float:
    slots = sum(station.generation.slots for station in stations)
    return round(sum(station.ready for station in stations) / slots, _PLACES)


def charge_minutes(kwh: float) -> float:
    """Count the minutes from empty to ready at 25 °C, by the model itself."""
    station = Station("one-pack", 1, _START)
    station.packs, station.swaps_a_day = [Pack(kwh, 0.0)], 0.0
    station.hold_temperature(25.0)
    seconds = 0
    while not station.ready:
        station.step(10)
        seconds += 10
    return seconds / 60


def figures(num_stations: int, seed: int) -> dict[str, Any]:
    """Simulate a day of every scenario.

    Returns:
        ``published`` (see `PUBLISHED`), ``expected_swaps`` by hour, ``swaps_a_station`` (of the normal day, sorted),
        ``busiest``, charge times, and for each of ``scenarios`` its hours and totals.
    """
    # The published maximum is over the whole network: the middle of many drawings of as many sites.
    chance = random.Random(seed)
    busiest = statistics.median(max(model.site_demand(chance) for _ in range(_NETWORK)) for _ in range(51))
    days: dict[str, Any] = {}
    normal: list[Station] = []
    for name in names():
        stations = fleet(num_stations, seed, load(name))
        hours = simulate(stations)
        arrived = sum(station.arrivals_total for station in stations)
        swaps = sum(station.swaps_total for station in stations)
        days[name] = {
            "mean": round(swaps / num_stations, 1),
            "energy_kwh": round(sum(station.swapped_kwh for station in stations) / max(1, swaps), 1),
            "drove_on": round(
                sum(station.turned_away_total for station in stations) / max(1, arrived), _PLACES
            ),
            "hours": [asdict(hour) | {"megawatts": round(hour.megawatts, 2)} for hour in hours],
        }
        if name == NORMAL_DAY:
            normal = stations
    expected = model.MEAN_SWAPS_A_DAY * num_stations
    return {
        "published": PUBLISHED,
        "expected_swaps": [round(expected * share, 1) for share in model.HOURLY_SHARE],
        "swaps_a_station": sorted(station.swaps_total for station in normal),
        "busiest": round(busiest),
        "minutes_100_kwh": round(charge_minutes(100)),
        "minutes_75_kwh": round(charge_minutes(75)),
        "scenarios": days,
    }


def document(num_stations: int, seed: int) -> dict[str, Any]:
    """Put the figures under the head that all results have; no machine and no time change them."""
    return {
        "schema": 1,
        "what": "day",
        "command": f"python -m simulator.day --stations {num_stations} --seed {seed}",
        "measured_at": "",
        "machine": {},
        "versions": {},
        "scale": {"stations": num_stations, "seed": seed},
        "figures": figures(num_stations, seed),
    }


def markdown(result: dict[str, Any]) -> str:
    """Write the tables of a `document`."""
    found, published = result["figures"], result["figures"]["published"]
    day = found["scenarios"][NORMAL_DAY]
    swaps, hours = found["swaps_a_station"], day["hours"]
    lines = [
        f"`{result['command']}`\n",
        "| figure | published | simulated |",
        "|---|---|---|",
        f"| swaps a station and day, mean | {published['mean']:.0f} | {day['mean']:.1f} |",
        f"| median and 95 % | - | {statistics.median(swaps):.0f} and {statistics.quantiles(swaps, n=20)[-1]:.0f} |",
        f"| the busiest of {published['stations']:,} stations | {published['busiest']} | {found['busiest']} |",
        f"| energy a swap, kWh | {published['energy_kwh']} | {day['energy_kwh']:.1f} |",
        f"| 100 kWh pack from 0 to 93 %, minutes | {published['minutes_100_kwh']} | {found['minutes_100_kwh']} |",
        f"| 75 kWh pack from 0 to 93 %, minutes | {published['minutes_75_kwh']} | {found['minutes_75_kwh']} |",
        f"| cars that drove on because of the queue | - | {100 * day['drove_on']:.2f} % |\n",
        "| scenario | swaps a station | fewest packs ready | stations with none ready, at most | cars that drove on |",
        "|---|---|---|---|---|",
        *(_scenario_row(name, each) for name, each in found["scenarios"].items()),
        "",
        "| hour | swaps | expected | | packs ready | urban | highway | power, MW |",
        "|---|---|---|---|---|---|---|---|",
    ]
    most = max(hour["swaps"] for hour in hours)
    for number, (hour, expected) in enumerate(zip(hours, found["expected_swaps"], strict=True)):
        bar = "█" * round(_BAR * hour["swaps"] / max(1, most))
        at = " | ".join(f"{100 * hour['ready_at'].get(site, 1):.0f} %" for site in ("urban", "highway"))
        lines.append(
            f"| {number:02} | {hour['swaps']} | {expected:.0f} | {bar} | {100 * hour['ready']:.0f} % | {at} | "
            f"{hour['megawatts']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def _scenario_row(name: str, day: dict[str, Any]) -> str:
    least = min(range(24), key=lambda hour: day["hours"][hour]["ready"])
    empty = max(hour["none_ready"] for hour in day["hours"])
    return (
        f"| {name} | {day['mean']:.1f} | {100 * day['hours'][least]['ready']:.0f} % at {least + 1:02}:00 | "
        f"{100 * empty:.1f} % | {100 * day['drove_on']:.2f} % |"
    )


def main(
    stations: Annotated[int, typer.Option(min=20, help="How many stations.")] = 400,
    seed: Annotated[int, typer.Option(help="Of all randomness.")] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", help="File for the figures.")] = None,
) -> None:
    """Print a simulated day beside the published figures, as Markdown; with --json for `make docs`, too."""
    result = document(stations, seed)
    typer.echo(markdown(result))
    if json_file:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
