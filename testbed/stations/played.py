"""A day that is played in minutes: the simulator's options for it, and its moments as notes on the page's charts."""

import math
import time
from dataclasses import dataclass
from typing import Any

from simulator import scenario
from testbed.errors import TestbedError

# The hour that a played day begins at: before the morning's peak.
FIRST_HOUR = 6.0
# A played day moves on by steps of this, whatever the deployment's stations do.
INTERVAL_SECONDS = 1.0
_MARK_EVERY_HOURS = 6
_DAY_HOURS = 24
_HOUR_SECONDS = 3600


@dataclass(frozen=True)
class PlayedDay:
    """A scenario's day, ``speed`` times as fast as ours."""

    name: str
    speed: float

    def __post_init__(self) -> None:
        if not self.speed > 0:
            raise TestbedError(f"--speed {self.speed:g} does not move.", "A day in four minutes: --speed 360")
        self._scenario()

    def _scenario(self) -> scenario.Scenario:
        try:
            return scenario.load(self.name)
        except scenario.ScenarioError as error:
            first, _, rest = str(error).partition("\n")
            raise TestbedError(first, rest.strip()) from error

    @property
    def seconds(self) -> int:
        """Seconds of ours that the whole day lasts."""
        return math.ceil(_DAY_HOURS * _HOUR_SECONDS / self.speed)

    def options(self) -> list[str]:
        """Return the simulator's options."""
        return [
            "--scenario",
            self.name,
            "--speed",
            f"{self.speed:g}",
            "--from-hour",
            f"{FIRST_HOUR:g}",
            "--interval",
            f"{INTERVAL_SECONDS:g}",
        ]

    def notes(self, begun: float | None = None) -> dict[str, Any]:
        """Return what the page is told of a day that began at ``begun`` (epoch seconds; None: now).

        Returns:
            ``{"scenario", "says", "speed", "notes": [{"at": epoch seconds, "says"}]}``, in time's order.
        """
        begun = time.time() if begun is None else begun
        found = self._scenario()
        moments = [moment for event in found.events for moment in event.moments()]
        marks = [(float(hour), "") for hour in range(0, _DAY_HOURS, _MARK_EVERY_HOURS) if hour != FIRST_HOUR]
        said = [
            {
                "at": round(begun + (hour - FIRST_HOUR) % _DAY_HOURS * _HOUR_SECONDS / self.speed, 1),
                "says": f"{int(hour) % _DAY_HOURS:02}:{round(hour % 1 * 60):02} {words}".strip(),
            }
            for hour, words in (*marks, *moments)
        ]
        said.sort(key=lambda note: (note["at"], str(note["says"])))
        return {"scenario": self.name, "says": found.says, "speed": self.speed, "notes": said}
