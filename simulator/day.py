"""``python -m simulator.day``: a simulated day of a fleet beside the published figures, as Markdown."""

import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer

from simulator import model
from simulator.model import Pack, Station

_START = datetime(2026, 3, 2, tzinfo=UTC)
_BAR = 30


@dataclass(frozen=True)
class Hour:
    """What the fleet did in an hour; ``ready`` is the share of packs that could be handed out at its end."""

    swaps: int
    ready: float
    megawatts: float


def simulate(stations: list[Station]) -> list[Hour]:
    """Let 24 hours pass."""
    hours, swaps, energy = [], 0, 0.0
    for _ in range(24):
        for station in stations:
            station.step(3600)
        swapped = sum(station.swaps_total for station in stations)
        drawn = sum(station.energy_kwh for station in stations)
        slots = sum(station.generation.slots for station in stations)
        ready = sum(station.ready for station in stations) / slots
        hours.append(Hour(swapped - swaps, ready, (drawn - energy) / 1000))
        swaps, energy = swapped, drawn
    return hours


def charge_minutes(kwh: float) -> float:
    """Minutes from empty to ready at 25 °C, by the model itself."""
    station = Station("one-pack", 1, _START)
    station.packs, station.swaps_a_day = [Pack(kwh, 0.0)], 0.0
    station.hold_temperature(25.0)
    seconds = 0
    while not station.ready:
        station.step(10)
        seconds += 10
    return seconds / 60


def report(num_stations: int, seed: int, say: Callable[[str], None]) -> None:
    """Write the tables."""
    stations = [Station(f"station-{number:05}", seed, _START) for number in range(1, num_stations + 1)]
    hours = simulate(stations)
    swaps = [station.swaps_total for station in stations]
    total = sum(swaps)
    arrived = sum(station.arrivals_total for station in stations)
    turned_away = sum(station.turned_away_total for station in stations)
    energy = sum(station.swapped_kwh for station in stations) / max(1, total)
    # The published maximum is over the whole network: the middle of many drawings of as many sites.
    chance = random.Random(seed)
    busiest = statistics.median(max(model.site_demand(chance) for _ in range(3_729)) for _ in range(51))
    say(f"`python -m simulator.day --stations {num_stations} --seed {seed}`\n")
    say("| figure | published | simulated |")
    say("|---|---|---|")
    say(f"| swaps a station and day, mean | 27 | {total / num_stations:.1f} |")
    say(
        f"| median and 95 % | - | {statistics.median(swaps):.0f} and {statistics.quantiles(swaps, n=20)[-1]:.0f} |"
    )
    say(f"| the busiest of 3,729 stations | 195 | {busiest:.0f} |")
    say(f"| energy a swap, kWh | 52.7 | {energy:.1f} |")
    say(f"| 100 kWh pack from 0 to 93 %, minutes | 60 | {charge_minutes(100):.0f} |")
    say(f"| 75 kWh pack from 0 to 93 %, minutes | 45 | {charge_minutes(75):.0f} |")
    say(f"| cars that drove on because of the queue | - | {100 * turned_away / max(1, arrived):.2f} % |\n")
    say("| hour | swaps | | packs ready | power, MW |")
    say("|---|---|---|---|---|")
    most = max(hour.swaps for hour in hours)
    for number, hour in enumerate(hours):
        bar = "█" * round(_BAR * hour.swaps / max(1, most))
        say(f"| {number:02} | {hour.swaps} | {bar} | {100 * hour.ready:.0f} % | {hour.megawatts:.2f} |")


def main(
    stations: Annotated[int, typer.Option(min=2, help="How many stations.")] = 400,
    seed: Annotated[int, typer.Option(help="Of all randomness.")] = 1,
) -> None:
    """A simulated day beside the published figures, as Markdown."""
    report(stations, seed, typer.echo)


if __name__ == "__main__":
    typer.run(main)
