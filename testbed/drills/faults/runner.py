"""A fault run: a fleet under load, faults at random but by a seed, and the audit of what is left.

Once the fleet has begun, an audit ends the run, whatever fails: a fault that cannot be injected, the simulator, the way
back from the fault proxy, Ctrl-C. Each failure is in the report, and its traceback in the log ``faults-errors``.
"""

import random
import subprocess
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from simulator.messages import station_ids
from testbed.cost.bill import Counted
from testbed.deploy.deployment import Deployment
from testbed.deploy.project import project
from testbed.deploy.stations import enrolment_of
from testbed.drills.faults.catalogue import Fault, catalogue
from testbed.drills.faults.operators import Operator
from testbed.drills.faults.parts import FROZEN_SECONDS, Parts
from testbed.drills.faults.proxy import FaultProxy, functions_through, proxy_of, telemetry_function
from testbed.drills.faults.stations import Misbehaving
from testbed.errors import TestbedError
from testbed.paths import REPOSITORY
from testbed.pipeline import quiet
from testbed.proofs.audit import AuditReport, audit
from testbed.proofs.ledgers import OPERATIONS_SUFFIX
from testbed.stations import simulation

_PAUSE_SECONDS = (2.0, 6.0)
_MISBEHAVING = 3
_SILENT = 2
# For a simulator whose time is over: it waits for what is not acknowledged.
_LATE_SECONDS = 120


@dataclass(frozen=True)
class Injected:
    """A fault: how often it was injected, and how many calls or messages it hit."""

    name: str
    times: int
    hits: int


@dataclass(frozen=True)
class Failed:
    """What the drill itself could not do: the name of a fault or of a step, and the error."""

    what: str
    why: str


@dataclass(frozen=True)
class FaultReport:
    """What was injected, and the audit afterwards.

    ``failed``: where the drill's own tools failed; it went on without. ``calls``: what functions and bridge called,
    broken calls and repetitions too. ``lost_poison``: refused payloads that are in no DLQ. ``operators``: what became
    of the changes and commands that they wanted.
    """

    seed: int
    engine: str
    seconds: float
    stations: int
    interval: float
    injected: list[Injected]
    failed: list[Failed]
    audit: AuditReport
    calls: Counted
    poison_sent: int
    lost_poison: list[str]
    stored_poison: list[str]
    operators: dict[str, int]

    @property
    def clean(self) -> bool:
        """Whether every guarantee held, and every fault could be injected."""
        return (
            self.audit.clean
            and not self.audit.still_queued
            and not self.lost_poison
            and not self.stored_poison
            and not self.failed
        )

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self) | {"clean": self.clean}


def run(
    deployment: Deployment,
    say: Callable[[str], None],
    *,
    seconds: float,
    seed: int,
    stations: int,
    interval: float,
    only: Sequence[str] = (),
    frozen_seconds: float = FROZEN_SECONDS,
) -> FaultReport:
    """Run a fleet, break things until the time is over or Ctrl-C, and audit the fleet's ledger, whatever happened.

    Args:
        deployment: a local one.
        say: prints a line.
        seconds: how long the fleet publishes.
        seed: of the faults, their order and their pauses.
        stations: the fleet's size.
        interval: seconds between two messages of a station.
        only: names of faults, or parts of them; without any, all.
        frozen_seconds: how long what is frozen stays so.

    Raises:
        TestbedError: the deployment is on AWS, a name in ``only`` is none, or the drill could not begin.
    """
    engine = deployment.local_engine
    engine.lacks.refuse("faults")
    rng = random.Random(seed)  # noqa: S311  # a schedule, not a secret
    drill = _Drill(deployment, say, rng, _prefix(seed), stations)
    enrolment = enrolment_of(deployment)
    enrolment.enrol(drill.all_stations)
    say(f"Seed {seed}: {stations} stations, a message every {interval:g} s, {seconds:g} s")
    counts: dict[str, Any] = {"hits": {}, "calls": {}}
    misbehaving = Misbehaving(deployment, drill.odd, drill.silent, drill.ledgers[1], rng)
    operator = Operator(deployment, drill.fleet, drill.ledgers[2], seed)
    with drill.through_proxy(frozen_seconds) as (proxy, parts):
        faults = _chosen(drill.catalogue(parts, proxy, misbehaving), only)
        drill.play(faults, operator, drill.command(interval, seed), seconds, seconds - frozen_seconds)
        with drill.survives("the fault proxy's counts"):
            counts = proxy.counts()
    audited = audit(deployment, drill.ledgers, wait_seconds=quiet.QUIET_SECONDS)
    with drill.survives("removing the stations"):
        enrolment.remove(drill.all_stations)
    return FaultReport(
        seed,
        engine.name,
        seconds,
        stations,
        interval,
        [drill.told(each, counts["hits"]) for each in faults],
        drill.failed,
        audited,
        Counted.from_proxy(max(1, audited.acknowledged), 0, counts["calls"]),
        misbehaving.poison_sent,
        misbehaving.lost_poison(),
        misbehaving.stored_poison(),
        dict(operator.counts),
    )


def _prefix(seed: int) -> str:
    """Name a drill's stations. Those of another name than the project's cannot be set: the API's role is for these."""
    return f"{project().device_prefix}faults-{seed}-{time.time_ns() % 10**8}-"


def _chosen(faults: Sequence[Fault], only: Sequence[str]) -> list[Fault]:
    chosen = [fault for fault in faults if not only or any(part in fault.name for part in only)]
    if not chosen:
        raise TestbedError(f"No fault is named {', '.join(only)}.", "See docs/reliability.md.")
    return chosen


class _Drill:
    """A drill: its stations, what was injected, and what its own tools could not do."""

    def __init__(
        self,
        deployment: Deployment,
        say: Callable[[str], None],
        rng: random.Random,
        prefix: str,
        stations: int,
    ) -> None:
        self._deployment, self._say, self._rng, self._prefix = deployment, say, rng, prefix
        self.fleet = station_ids(stations, prefix)
        self.odd = [f"{prefix}odd-{number}" for number in range(1, _MISBEHAVING + 1)]
        self.silent = [f"{prefix}silent-{number}" for number in range(1, _SILENT + 1)]
        folder = deployment.path / "ledgers"
        folder.mkdir(parents=True, exist_ok=True)
        names = ("fleet.ndjson", "misbehaving.ndjson", f"operator{OPERATIONS_SUFFIX}")
        self.ledgers = [folder / f"{prefix}{name}" for name in names]
        self.begun = False
        self.injected: Counter[str] = Counter()
        self.failed: list[Failed] = []

    @property
    def all_stations(self) -> list[str]:
        return [*self.fleet, *self.odd, *self.silent]

    def command(self, interval: float, seed: int) -> list[str]:
        """Return the command line of the fleet's simulator, which ends when it is told to."""
        extra = {"--prefix": self._prefix, "--ledger": self.ledgers[0], "--seed": seed}
        words = [str(word) for pair in extra.items() for word in pair]
        return simulation.command(self._deployment, len(self.fleet), interval, words)

    @contextmanager
    def through_proxy(self, frozen_seconds: float) -> Iterator[tuple[FaultProxy, Parts]]:
        """Have the telemetry function and the bridge call AWS through a fault proxy, until the block ends."""
        deployment = self._deployment
        with self.survives("the way back from the fault proxy"), ExitStack() as stack:
            proxy = proxy_of(deployment, "fault-proxy")
            stack.callback(proxy.process.stop)
            parts = Parts(deployment, proxy, frozen_seconds)
            function = telemetry_function(deployment)
            stack.enter_context(functions_through(deployment, proxy.url, [function]))
            stack.enter_context(parts.bridge_through_proxy())
            yield proxy, parts

    @contextmanager
    def survives(self, what: str) -> Iterator[None]:
        """Note an error of the block and go on after it: once the fleet has begun, an audit ends the drill."""
        try:
            yield
        except Exception as error:
            if not self.begun:
                raise
            why = str(error) if isinstance(error, TestbedError) else f"{type(error).__name__}: {error}"
            self.failed.append(Failed(what, why))
            self._say(f"  {what}: failed: {why}")
            with self._deployment.place.log("faults-errors").open("a") as log:
                log.write(f"{what}\n{traceback.format_exc()}\n")

    def catalogue(self, parts: Parts, proxy: FaultProxy, misbehaving: Misbehaving) -> list[Fault]:
        """Return the faults that this deployment can have."""
        return catalogue(
            parts,
            proxy,
            misbehaving,
            self._rng,
            restarts_cloud=self._deployment.local_engine.keeps_state,
            has_stream=bool(self._deployment.outputs.telemetry_stream_name),
            signals_callers="processes of this machine" not in self._deployment.local_engine.lacks.features,
        )

    def inject(self, fault: Fault) -> None:
        """Inject a fault; one that cannot be injected is noted."""
        self._say(f"  {fault.name}")
        with self.survives(fault.name):
            fault.inject()
            self.injected[fault.name] += 1

    def play(
        self,
        faults: Sequence[Fault],
        operator: Operator,
        fleet: Sequence[str],
        seconds: float,
        breaking: float,
    ) -> None:
        """Run the drill from the fleet's begin to where there is nothing left but to audit.

        Args:
            faults: what is injected.
            operator: changes settings and sends commands meanwhile.
            fleet: the command line of a fleet that ends when it is told to.
            seconds: how long the fleet runs.
            breaking: for how many of these seconds faults are injected.
        """
        self.begun = True
        with self.survives("the fleet"), operator.working():
            self.run_fleet(faults, [*fleet, "--duration", str(seconds)], breaking)
        with self.survives("the fleet that comes back"):
            self.bring_back(operator, fleet)
        self.end(faults)

    def run_fleet(self, faults: Sequence[Fault], command: Sequence[str], seconds: float) -> None:
        """Run the fleet to its end, and inject faults for so many seconds."""
        deadline = time.monotonic() + seconds
        log = self._deployment.place.log("faults-simulator")
        _run_fleet(command, log, lambda fleet: self.break_until_done(faults, fleet, deadline))

    def bring_back(self, operator: Operator, command: Sequence[str]) -> None:
        """Change settings while the stations are away, and run them again until they have reported everything."""

        def settle(fleet: "subprocess.Popen[bytes]") -> None:
            operator.wait_until_reported()
            operator.send_again()
            operator.command_some()
            simulation.end(fleet)

        self._say("  the stations are away, are changed, and come back")
        operator.change_some()
        _run_fleet(command, self._deployment.place.log("faults-simulator-again"), settle)

    def end(self, faults: Sequence[Fault]) -> None:
        """Wait for what is on its way, and inject the faults that belong at the end, while the proxy is there."""
        self.wait_until_quiet()
        for fault in (each for each in faults if each.at_the_end):
            self.inject(fault)
            self.wait_until_quiet()

    def wait_until_quiet(self) -> None:
        """Wait until neither the bridge nor the queue holds a message; what is stuck is the audit's to find."""
        with self.survives("waiting for the pipeline"):
            quiet.wait_until_quiet(self._deployment)

    def told(self, fault: Fault, hits: dict[str, int]) -> Injected:
        times = self.injected[fault.name]
        return Injected(fault.name, times, hits.get(fault.name, 0) if fault.by_proxy else times)

    def break_until_done(
        self, faults: Sequence[Fault], fleet: "subprocess.Popen[bytes]", deadline: float
    ) -> None:
        """Inject faults, with pauses, until the deadline (of the monotonic clock) or the fleet's end."""
        round_: list[Fault] = []
        while True:
            pause = self._rng.uniform(*_PAUSE_SECONDS)
            if time.monotonic() + pause > deadline or fleet.poll() is not None:
                return
            time.sleep(pause)
            # In rounds, so that a short run does not miss a fault that a long one has often.
            if not round_:
                round_ = self._rng.sample(list(faults), len(faults))
            self.inject(round_.pop())


def _run_fleet(
    command: Sequence[str], log: Path, meanwhile: Callable[["subprocess.Popen[bytes]"], None]
) -> None:
    with log.open("wb") as output:
        fleet = subprocess.Popen(command, cwd=REPOSITORY, stdout=output, stderr=subprocess.STDOUT)
    try:
        meanwhile(fleet)
        fleet.wait(_LATE_SECONDS)
    except KeyboardInterrupt as interrupt:
        raise TestbedError("It was stopped by hand.") from interrupt
    except subprocess.TimeoutExpired as error:
        raise TestbedError(f"The simulator did not end in {_LATE_SECONDS} s more.", f"See {log}.") from error
    finally:
        simulation.end(fleet)
    if fleet.returncode:
        raise TestbedError(f"The simulator ended with {fleet.returncode}.", f"See {log}.")
