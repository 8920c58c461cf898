"""What a network goes through, read from a file."""

import tomllib
from pathlib import Path
from typing import Annotated

import msgspec

DEFAULT_FILE = Path(__file__).with_name("scenarios.toml")
NORMAL_DAY = "normal-day"

_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Hour = Annotated[float, msgspec.Meta(ge=0, le=24)]
_Factor = Annotated[float, msgspec.Meta(ge=0)]


class ScenarioError(Exception):
    """There is no such scenario, or its file is not as it should be."""


class Demand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many times the usual number of cars come."""

    urban: _Factor = 1.0
    highway: _Factor = 1.0


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Between two hours of each day, at a ``share`` of the stations: what is left of the grid connection, and
    how many slots do not charge.
    """

    start: _Hour = msgspec.field(name="from")
    end: _Hour = msgspec.field(name="to")
    share: _Share = 1.0
    grid: _Share = 1.0
    broken_slots: Annotated[int, msgspec.Meta(ge=0)] = 0

    def lasts(self, hour: float) -> bool:
        """Tell whether it is on at this hour of the day; from 22 to 2 is over midnight."""
        if self.start <= self.end:
            return self.start <= hour < self.end
        return hour >= self.start or hour < self.end

    def moments(self) -> list[tuple[float, str]]:
        """Say what happens at which hours: when it begins, and when it is over."""
        where = "everywhere" if self.share == 1 else f"at {self.share:.0%} of the stations"
        said = []
        if self.grid == 0:
            said += [(self.start, f"The grid fails {where}"), (self.end, "The grid is back")]
        elif self.grid < 1:
            said += [
                (self.start, f"The grid gives {self.grid:.0%} {where}"),
                (self.end, "The grid gives all again"),
            ]
        if self.broken_slots:
            said += [
                (self.start, f"{self.broken_slots} slots do not charge {where}"),
                (self.end, "All slots charge"),
            ]
        return said


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that differs from a normal day; ``warmer`` in degrees Celsius."""

    says: str = ""
    demand: Demand = Demand()
    warmer: float = 0.0
    events: tuple[Event, ...] = ()


NORMAL = Scenario()


def load(name: str = NORMAL_DAY, file: Path = DEFAULT_FILE) -> Scenario:
    """Load a scenario by its name.

    Raises:
        ScenarioError: there is none of that name, or the file is wrong; with what is there, or where.
    """
    scenarios = _read(file)
    if name not in scenarios:
        raise ScenarioError(f"There is no scenario {name} in {file}.\n  Known: {', '.join(scenarios)}")
    return scenarios[name]


def names(file: Path = DEFAULT_FILE) -> list[str]:
    """List the scenarios' names in the file's order.

    Raises:
        ScenarioError: the file is wrong.
    """
    return list(_read(file))


def _read(file: Path) -> dict[str, Scenario]:
    try:
        return msgspec.convert(tomllib.loads(file.read_text()), dict[str, Scenario])
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ScenarioError(f"{file} is no file of scenarios: {error}") from error
