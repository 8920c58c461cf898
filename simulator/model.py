"""The station model: what a battery-swap station does, step by step. Pure: no clock, no network, no files.

Published figures are named with their source; everything else is an assumption and says so.
"""

import math
import random
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from simulator.places import place
from simulator.scenario import NORMAL, Event, Scenario
from simulator.settings import Settings

SECONDS_A_DAY = 86_400.0


@dataclass(frozen=True)
class Generation:
    """A generation of stations.

    ``slots`` are packs held, ``swaps_a_day`` the most it can do: autoevolution 2022-12 and PCMag (NIO's
    generations 2 to 4). ``share`` of the fleet and ``grid_kw`` are assumptions.
    """

    name: str
    slots: int
    swaps_a_day: int
    grid_kw: float
    share: float

    @property
    def swap_seconds(self) -> float:
        """From a swap's start to the next one's: what the most swaps a day leave for each.

        180 s for the 4th generation: 144 s for the swap (PCMag) and the rest for cars to change. For the 3rd,
        212 s; its published 4 min 40 s (China Economic Review 2023-03) does not fit its published 408 a day.
        """
        return SECONDS_A_DAY / self.swaps_a_day


GENERATIONS = (
    Generation("2", 13, 312, 600.0, 0.35),
    Generation("3", 21, 408, 1000.0, 0.45),
    Generation("4", 23, 480, 1200.0, 0.20),
)

# Pack sizes in kWh: GA-EVLRU's charge-time table has both; their shares are an assumption.
PACK_KWH = ((75.0, 0.7), (100.0, 0.3))

# Charging: constant current to 80 % (assumed), then constant voltage with the power falling towards full.
# 100 kWh from 0 to 93 % in 60 min and 75 kWh in 45 min (GA-EVLRU) both come out at 101 kW:
#   t = (0.8 C + ln(0.20 / 0.07) * 0.20 C) / P  =>  P = 1.01 C / t.
CHARGE_KW = 101.0
CONSTANT_CURRENT_UNTIL = 0.80
READY_AT = 0.93
# Efficiency of the power modules (pandaily).
EFFICIENCY = 0.98

# Energy a swap in kWh: 5.28 TWh over 100,176,290 swaps (NIO, 2026-02).
ENERGY_A_SWAP_KWH = 52.7

# Swaps a station and day: 3,729 stations and more than 100,000 a day (eletric-vehicles.com, 2026-02).
MEAN_SWAPS_A_DAY = 27.0
# How unequal stations are (assumed log-normal): this width puts the busiest of 3,729 at 195 (CnEVPost 2024-02).
SITE_SIGMA = 0.61

# Share of a day's swaps in each hour. Assumed: commuters' peaks and quiet nights, after the shape of public
# charging in UrbanEV (CC0); no public log of real swaps was found.
_HOURLY = (8, 5, 4, 3, 3, 6, 16, 34, 44, 42, 44, 50, 56, 50, 46, 46, 50, 62, 72, 66, 54, 40, 26, 14)
HOURLY_SHARE = tuple(weight / sum(_HOURLY) for weight in _HOURLY)

# Stations at highways: their share of the network and their hours (travellers around noon) are assumed. The towns'
# hours are what is left, so that the whole network keeps the shape above.
_HIGHWAY_SHARE = 0.27
_HIGHWAY = (10, 7, 5, 4, 4, 6, 12, 22, 36, 52, 66, 72, 70, 66, 64, 66, 68, 64, 52, 40, 32, 26, 20, 14)


@dataclass(frozen=True)
class Site:
    """Where a station stands; ``hours`` are the share of a day's swaps in each hour."""

    name: str
    hours: tuple[float, ...]


HIGHWAY = Site("highway", tuple(weight / sum(_HIGHWAY) for weight in _HIGHWAY))
URBAN = Site(
    "urban",
    tuple(
        (whole - _HIGHWAY_SHARE * highway) / (1 - _HIGHWAY_SHARE)
        for whole, highway in zip(HOURLY_SHARE, HIGHWAY.hours, strict=True)
    ),
)

# LFP cells take charge from 0 to 60 °C and best from 15 to 35 °C (Lishen LP54173207).
_CHARGE_FLOOR_C, _BEST_FROM_C, _BEST_TO_C, _CHARGE_CEILING_C = 0.0, 15.0, 35.0, 60.0

# Cars that find more than this many waiting drive on. Assumed.
_PATIENCE = 8

# The model moves in steps of at most this, so that a long interval loses no swap; and of at least that, so
# that a fleet made to publish hundreds of messages a second does not spend its time on charging curves.
_LONGEST_STEP, _SHORTEST_STEP = 30.0, 1.0

FIRMWARE = ("2.4.1", "2.4.2", "3.0.0")


def site_demand(chance: random.Random) -> float:
    """Draw the swaps a day that a site expects: log-normal around the mean."""
    return MEAN_SWAPS_A_DAY * math.exp(chance.gauss(-(SITE_SIGMA**2) / 2, SITE_SIGMA))


@dataclass
class Pack:
    """A battery in a slot; ``charge`` from 0 to 1."""

    kwh: float
    charge: float


class Station:
    """One station. The same seed and id give the same life, whatever else is simulated."""

    def __init__(self, station_id: str, seed: int, start: datetime, scenario: Scenario = NORMAL) -> None:
        """Stock the station.

        Args:
            station_id: its name, and part of its seed.
            seed: the fleet's.
            start: the time of the first step (time zone aware).
            scenario: what it goes through.
        """
        self.station_id = station_id
        self._random = random.Random(f"{seed}/{station_id}")
        # Apart from the life's, so that a scenario changes what it is about and nothing else.
        fate = random.Random(f"{seed}/{station_id}/site")
        self.site = HIGHWAY if fate.random() < _HIGHWAY_SHARE else URBAN
        # Apart again: the map came later than the lives.
        self.latitude, self.longitude = place(
            random.Random(f"{seed}/{station_id}/place"), motorway=self.site is HIGHWAY
        )
        self._demand = scenario.demand.highway if self.site is HIGHWAY else scenario.demand.urban
        self._warmer = scenario.warmer
        self._events = tuple(event for event in scenario.events if fate.random() < event.share)
        self.settings = Settings(0)
        self._clock = start.timestamp()
        self._zone = start.tzinfo
        self.generation = self._random.choices(GENERATIONS, [kind.share for kind in GENERATIONS])[0]
        self.swaps_a_day = min(site_demand(self._random), float(self.generation.swaps_a_day))
        self.packs = [self._new_pack() for _ in range(self.generation.slots)]
        self.queue = 0
        self.swaps_total = 0
        self.arrivals_total = 0
        self.turned_away_total = 0
        # From the grid, and gone with the cars.
        self.energy_kwh = self.swapped_kwh = 0.0
        self.power_kw = 0.0
        self._bay_free_in = 0.0
        self._owed = 0.0
        self._mean_temperature = self._random.uniform(8.0, 24.0) + self._warmer
        self.temperature_c = self._ambient()
        self.firmware = self._random.choice(FIRMWARE)

    def hold_temperature(self, celsius: float) -> None:
        """Set the temperature, and the mean that it swings around."""
        self._mean_temperature = self.temperature_c = celsius

    def step(self, seconds: float) -> None:
        """Let time pass; less than a second is kept for the next step."""
        self._owed += seconds
        while self._owed >= _SHORTEST_STEP:
            part = min(self._owed, _LONGEST_STEP)
            self._advance(part)
            self._owed -= part

    @property
    def ready(self) -> int:
        """Packs that can be handed out."""
        enough = self._ready_at
        return sum(pack.charge >= enough for pack in self.packs)

    @property
    def _full(self) -> float:
        return self.settings.max_state_of_charge_percent / 100

    @property
    def _ready_at(self) -> float:
        """Charge of a pack that is handed out: where less is charged, that much less a percent. Assumed."""
        return min(READY_AT, self._full - 0.01)

    def telemetry(self) -> dict[str, Any]:
        """Return what the station reports now, without what the sender adds (message id, sequence, timestamp)."""
        ready = self.ready
        return {
            "station_id": self.station_id,
            "battery_available": ready,
            "slots": self.generation.slots,
            "charging": self.generation.slots - ready,
            "swaps_total": self.swaps_total,
            "queue_length": self.queue,
            "power_kw": round(self.power_kw, 1),
            "temperature_c": round(self.temperature_c, 1),
            "grid_kw": round(self._grid_kw(), 1),
            "latitude": self.latitude,
            "longitude": self.longitude,
            "slot_charge": [int(100 * pack.charge) for pack in self.packs],
            "status": self._status(ready),
            "firmware": self.firmware,
        }

    def _happening(self) -> list[Event]:
        if not self._events:
            return []
        moment = datetime.fromtimestamp(self._clock, self._zone)
        return [event for event in self._events if event.lasts(moment.hour + moment.minute / 60)]

    def _status(self, ready: int) -> str:
        if self.settings.maintenance_mode:
            return "MAINTENANCE"
        events = self._happening()
        if any(event.grid == 0 for event in events):
            return "GRID_OUTAGE"
        if any(event.broken_slots for event in events):
            return "CHARGER_FAULT"
        return "OK" if ready else "NO_BATTERY"

    def _advance(self, seconds: float) -> None:
        self._clock += seconds
        self.temperature_c += (self._ambient() - self.temperature_c) * min(1.0, seconds / 1800)
        arrived = self._poisson(self.arrival_rate() * seconds)
        self.arrivals_total += arrived
        room = 0 if self.settings.maintenance_mode else max(0, _PATIENCE - self.queue)
        self.turned_away_total += max(0, arrived - room)
        self.queue += min(arrived, room)
        self._swap(seconds)
        self._charge(seconds)

    def arrival_rate(self) -> float:
        """Return the cars a second at this hour: the rate of a non-homogeneous Poisson process."""
        moment = datetime.fromtimestamp(self._clock, self._zone)
        return self.swaps_a_day * self._demand * self.site.hours[moment.hour] / 3600.0

    def _swap(self, seconds: float) -> None:
        self._bay_free_in = max(0.0, self._bay_free_in - seconds)
        while self.queue and self._bay_free_in < seconds and not self.settings.maintenance_mode:
            full = max(self.packs, key=lambda pack: pack.charge)
            if full.charge < self._ready_at:
                return
            # The slot gets the car's pack, emptied by the mean energy of a swap, give or take a fifth.
            used = ENERGY_A_SWAP_KWH * self._random.uniform(0.8, 1.2)
            left = max(0.02, full.charge - used / full.kwh)
            self.swapped_kwh += (full.charge - left) * full.kwh
            full.charge = left
            self.queue -= 1
            self.swaps_total += 1
            self._bay_free_in += self.generation.swap_seconds

    def _charge(self, seconds: float) -> None:
        events = self._happening()
        broken = max((event.broken_slots for event in events), default=0)
        limit = min(0.999, self._full)
        wanted = [(pack, self._charge_kw(pack)) for pack in self.packs[broken:] if pack.charge < limit]
        total = sum(kw for _, kw in wanted)
        share = min(1.0, self._grid_kw() * EFFICIENCY / total) if total else 0.0
        for pack, kw in wanted:
            pack.charge = min(self._full, pack.charge + kw * share * seconds / 3600 / pack.kwh)
        self.power_kw = total * share / EFFICIENCY
        self.energy_kwh += self.power_kw * seconds / 3600

    def _grid_kw(self) -> float:
        """Return what all slots share: the grid connection, or what events and an operator leave of it."""
        left = min((event.grid for event in self._happening()), default=1.0)
        return min(left * self.generation.grid_kw, self.settings.charging_power_limit_kw)

    def _charge_kw(self, pack: Pack) -> float:
        power = CHARGE_KW
        if pack.charge > CONSTANT_CURRENT_UNTIL:
            power *= (1 - pack.charge) / (1 - CONSTANT_CURRENT_UNTIL)
        return power * self._derating()

    def _derating(self) -> float:
        """Share of the charging power that the cells take at this temperature (linear outside the best range)."""
        celsius = self.temperature_c
        cold = (celsius - _CHARGE_FLOOR_C) / (_BEST_FROM_C - _CHARGE_FLOOR_C)
        hot = (_CHARGE_CEILING_C - celsius) / (_CHARGE_CEILING_C - _BEST_TO_C)
        # A station keeps its packs from freezing: never less than a tenth. Assumed.
        return max(0.1, min(1.0, cold, hot))

    def _ambient(self) -> float:
        """Return the outside temperature in °C: warmest at 15:00, 6 degrees either way. Assumed."""
        hour = datetime.fromtimestamp(self._clock, self._zone)
        phase = (hour.hour + hour.minute / 60 - 15) / 24 * 2 * math.pi
        return self._mean_temperature + 6 * math.cos(phase) + self._random.gauss(0, 0.15)

    def _new_pack(self) -> Pack:
        [kwh] = self._random.choices([size for size, _ in PACK_KWH], [share for _, share in PACK_KWH])
        # Three in four are ready, as in the afternoon. Assumed.
        return Pack(kwh, self._random.betavariate(20, 1))

    def _poisson(self, mean: float) -> int:
        """Draw from a Poisson distribution by Knuth's method: the means of a step are far below one."""
        limit, count, product = math.exp(-mean), 0, self._random.random()
        while product > limit:
            count += 1
            product *= self._random.random()
        return count
