"""Settings for a fleet: each station's by the REST API, at a rate, until the stations report them.

By the API and not by ``iot-data``: it checks what is asked for, writes down who asked, and wants the right to operate
and no credentials of AWS. It costs two requests a station, one to ask and one or more to see the report.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

from simulator.settings import fault
from testbed.deploy.deployment import Deployment
from testbed.errors import TestbedError
from testbed.identity.rates import Pace
from testbed.pipeline import api

# Requests at once, as many as the function runs side by side (lambda_reserved_concurrency). A batch has as many.
_PARALLEL = 2
# A share says nothing of fewer.
_ABORT_AFTER = 10
# A throttled function is a 429 or a 5xx to who asks; to ask for the same again does no harm.
_AGAIN, _TRIES = (0, 429, 500, 502, 503, 504), 4
_PAUSE_SECONDS = 1.0

Outcome = Literal["reported", "refused", "overtaken", "conflict", "unknown", "failed"]


@dataclass
class Tally:
    """How many stations are where: each is in ``asked``, and with an outcome in one other count."""

    asked: int = 0
    accepted: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    aborted: bool = False
    # Why, of the first of each outcome that is not good.
    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, outcome: Outcome, reason: str = "") -> None:
        """Count a station."""
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        if reason:
            self.reasons.setdefault(outcome, reason)

    @property
    def bad(self) -> int:
        """Stations that do not do, and will not, what was asked."""
        return sum(count for outcome, count in self.outcomes.items() if outcome != "reported")

    @property
    def pending(self) -> int:
        """Stations that have not reported yet."""
        return self.asked - sum(self.outcomes.values())


class FleetSettings:
    """One change for many stations."""

    def __init__(
        self,
        deployment: Deployment,
        settings: Mapping[str, Any],
        *,
        per_second: float,
        abort_percent: float,
        patience: float,
        told: Callable[[Tally], None] = lambda _: None,
    ) -> None:
        """Ask for nothing yet.

        Args:
            deployment: whose API.
            settings: to change, by the names of simulator/settings.json.
            per_second: requests that ask, and as many that look.
            abort_percent: of the stations that are done; no more are asked when so many do not follow.
            patience: seconds without a report until those that are missing are left.
            told: called with the counts now and then.

        Raises:
            TestbedError: no settings, or one that no station takes.
        """
        faults = {name: why for name, value in settings.items() if (why := fault(name, value))}
        if faults or not settings:
            said = "; ".join(f"{name} {why}" for name, why in faults.items()) or "No setting is given."
            raise TestbedError(said, "Such as: scripts/testbed fleet-settings --charging-power-limit 50")
        self._deployment, self._settings = deployment, dict(settings)
        self._asking, self._looking = Pace(per_second), Pace(per_second)
        self._abort_percent, self._patience, self._told = abort_percent, patience, told
        self._pending: deque[str] = deque()
        self.tally = Tally()

    def run(self, stations: Iterable[str]) -> Tally:
        """Ask all, as they come, and follow them until they have reported or patience is over."""
        with ThreadPoolExecutor(_PARALLEL) as pool:
            names = iter(stations)
            while some := list(islice(names, _PARALLEL)):
                self._ask(pool, some)
                self._look(pool)
                if self._must_abort():
                    self.tally.aborted = True
                    break
            heard_at = time.monotonic()
            while self._pending and time.monotonic() - heard_at < self._patience:
                if self._look(pool):
                    heard_at = time.monotonic()
                else:
                    time.sleep(_PAUSE_SECONDS)
        return self.tally

    def _ask(self, pool: ThreadPoolExecutor, stations: Iterable[str]) -> None:
        for station, (status, answer) in pool.map(self._change, stations):
            self.tally.asked += 1
            if status == 202:
                self.tally.accepted += 1
                self._pending.append(station)
                continue
            outcome: Outcome = "conflict" if status == 409 else "unknown" if status == 404 else "failed"
            self.tally.add(outcome, f"{station}: {answer}")
        self._told(self.tally)

    def _look(self, pool: ThreadPoolExecutor) -> int:
        """Look at those that wait longest; return how many of them are done."""
        some = [self._pending.popleft() for _ in range(min(_PARALLEL, len(self._pending)))]
        done = 0
        for station, found in zip(some, pool.map(self._outcome, some), strict=True):
            if found is None:
                self._pending.append(station)
                continue
            self.tally.add(*found)
            done += 1
        self._told(self.tally)
        return done

    def _change(self, station: str) -> tuple[str, tuple[int, str]]:
        body = {"settings": self._settings}
        for pause in (*_pauses(), None):
            self._asking.wait()
            try:
                status, document = api.send(self._deployment, "PATCH", _path(station), body)
            except TestbedError as error:
                status, document = 0, {"detail": error.problem}
            if pause is None or status not in _AGAIN:
                break
            time.sleep(pause)
        return station, (status, str(document.get("detail", document)))

    def _outcome(self, station: str) -> tuple[Outcome, str] | None:
        """Return what became of it, or None while it has not reported."""
        self._looking.wait()
        try:
            status, document = api.get(self._deployment, _path(station))
        except TestbedError:
            return None  # asked again
        if status != 200:
            return None
        wanted = self._settings
        if why := {name: document["refused"][name] for name in wanted if name in document["refused"]}:
            return "refused", f"{station}: {why}"
        if other := [name for name, value in wanted.items() if document["desired"].get(name) != value]:
            return "overtaken", f"{station}: somebody else has changed {', '.join(other)}"
        followed = all(document["reported"].get(name) == value for name, value in wanted.items())
        return ("reported", "") if followed else None

    def _must_abort(self) -> bool:
        done = sum(self.tally.outcomes.values())
        return done >= _ABORT_AFTER and 100 * self.tally.bad >= done * self._abort_percent


def _path(station: str) -> str:
    return f"/stations/{station}/settings"


def _pauses() -> Iterator[float]:
    return (_PAUSE_SECONDS * 2**attempt for attempt in range(_TRIES - 1))
