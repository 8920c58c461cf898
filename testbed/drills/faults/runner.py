"""A fault run: a fleet under load, faults at random but by a seed, and the audit of what is left."""

import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from simulator.messages import station_ids
from testbed.cost.bill import Counted
from testbed.deploy.deployment import Deployment
from testbed.deploy.stations import enrolment_of
from testbed.drills.faults import proxy as fault_proxy
from testbed.drills.faults.catalogue import Fault, catalogue
from testbed.drills.faults.parts import FROZEN_SECONDS, Parts
from testbed.drills.faults.stations import Misbehaving
from testbed.errors import TestbedError
from testbed.paths import REPOSITORY
from testbed.pipeline import quiet
from testbed.proofs.audit import AuditReport, audit
from testbed.stations import simulation

_PAUSE_SECONDS = (2.0, 6.0)
_MISBEHAVING = 3
_SILENT = 2
# For a simulator whose time is over: it waits for what is not acknowledged; and for one that is told to end.
_LATE_SECONDS = 120
_ENDING_SECONDS = 60


@dataclass(frozen=True)
class Injected:
    """A fault: how often it was injected, and how many calls or messages it hit."""

    name: str
    times: int
    hits: int


@dataclass(frozen=True)
class FaultReport:
    """What was injected, and the audit afterwards.

    ``calls``: what functions and bridge called, broken calls and repetitions too. ``lost_poison``: refused payloads
    that are in no DLQ.
    """

    seed: int
    engine: str
    seconds: float
    stations: int
    interval: float
    injected: list[Injected]
    audit: AuditReport
    calls: Counted
    poison_sent: int
    lost_poison: list[str]
    stored_poison: list[str]

    @property
    def clean(self) -> bool:
        """Whether every guarantee held."""
        return (
            self.audit.clean
            and not self.audit.still_queued
            and not self.lost_poison
            and not self.stored_poison
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
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
    """Run a fleet, break things until the time is over, and audit the fleet's ledger.

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
        TestbedError: the deployment is on AWS, a name in ``only`` is none, or the simulator failed.
    """
    engine = deployment.local_engine
    engine.lacks.refuse("processes of this machine")
    rng = random.Random(seed)  # noqa: S311  # a schedule, not a secret
    prefix = f"faults-{seed}-{time.time_ns() % 10**8}-"
    ledgers = [deployment.path / "ledgers" / f"{prefix}{part}.ndjson" for part in ("fleet", "misbehaving")]
    ledgers[0].parent.mkdir(parents=True, exist_ok=True)
    names = station_ids(stations, prefix)
    odd = [f"{prefix}odd-{number}" for number in range(1, _MISBEHAVING + 1)]
    silent = [f"{prefix}silent-{number}" for number in range(1, _SILENT + 1)]
    enrolment = enrolment_of(deployment)
    enrolment.enrol([*names, *odd, *silent])
    say(f"Seed {seed}: {stations} stations, a message every {interval:g} s, {seconds:g} s")
    with ExitStack() as stack:
        proxy = fault_proxy.start(
            deployment.aws_url or "", log=deployment.place.log("fault-proxy"), folder=deployment.path
        )
        stack.callback(proxy.process.stop)
        parts = Parts(deployment, proxy, frozen_seconds)
        function = fault_proxy.telemetry_function(deployment)
        stack.enter_context(fault_proxy.functions_through(deployment, proxy.url, [function]))
        stack.enter_context(parts.bridge_through_proxy())
        misbehaving = Misbehaving(deployment, odd, silent, ledgers[1], rng)
        faults = catalogue(parts, proxy, misbehaving, rng, restarts_cloud=engine.keeps_state)
        faults = [fault for fault in faults if not only or any(part in fault.name for part in only)]
        if not faults:
            raise TestbedError(f"No fault is named {', '.join(only)}.", "See docs/reliability.md.")
        extra = [
            "--prefix",
            prefix,
            "--duration",
            str(seconds),
            "--ledger",
            str(ledgers[0]),
            "--seed",
            str(seed),
        ]
        command = simulation.command(deployment, stations, interval, extra)
        injected = _run_fleet(
            command,
            deployment.place.log("faults-simulator"),
            lambda fleet: _break_until_done(
                faults, rng, fleet, say, time.monotonic() + seconds - frozen_seconds
            ),
        )
        # While the proxy is there: the bridge and the functions still call through it.
        quiet.wait_until_quiet(deployment)
        for fault in (each for each in faults if each.at_the_end):
            say(f"  {fault.name}")
            fault.inject()
            injected[fault.name] += 1
            quiet.wait_until_quiet(deployment)
        counts = proxy.counts()
    hits = counts["hits"]
    report = audit(deployment, ledgers, wait_seconds=quiet.QUIET_SECONDS)
    result = FaultReport(
        seed,
        engine.name,
        seconds,
        stations,
        interval,
        [
            Injected(
                each.name,
                injected[each.name],
                hits.get(each.name, 0) if each.by_proxy else injected[each.name],
            )
            for each in faults
        ],
        report,
        Counted.from_proxy(max(1, report.acknowledged), 0, counts["calls"]),
        misbehaving.poison_sent,
        misbehaving.lost_poison(),
        misbehaving.stored_poison(),
    )
    enrolment.remove([*names, *odd, *silent])
    return result


def _run_fleet(
    command: Sequence[str], log: Path, meanwhile: Callable[["subprocess.Popen[bytes]"], Counter[str]]
) -> Counter[str]:
    with log.open("wb") as output:
        fleet = subprocess.Popen(command, cwd=REPOSITORY, stdout=output, stderr=subprocess.STDOUT)
    try:
        injected = meanwhile(fleet)
        fleet.wait(_LATE_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise TestbedError(f"The simulator did not end in {_LATE_SECONDS} s more.", f"See {log}.") from error
    finally:
        _end(fleet)
    if fleet.returncode:
        raise TestbedError(f"The simulator ended with {fleet.returncode}.", f"See {log}.")
    return injected


def _end(fleet: "subprocess.Popen[bytes]") -> None:
    """End a fleet that still runs: it is asked first, so that its ledger is whole."""
    if fleet.poll() is None:
        fleet.send_signal(signal.SIGINT)
        try:
            fleet.wait(_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            fleet.kill()
            fleet.wait()


def _break_until_done(
    faults: Sequence[Fault],
    rng: random.Random,
    fleet: "subprocess.Popen[bytes]",
    say: Callable[[str], None],
    deadline: float,
) -> Counter[str]:
    injected: Counter[str] = Counter()
    round_: list[Fault] = []
    while True:
        pause = rng.uniform(*_PAUSE_SECONDS)
        if time.monotonic() + pause > deadline or fleet.poll() is not None:
            return injected
        time.sleep(pause)
        # In rounds, so that a short run does not miss a fault that a long one has often.
        if not round_:
            round_ = rng.sample(list(faults), len(faults))
        fault = round_.pop()
        say(f"  {fault.name}")
        fault.inject()
        injected[fault.name] += 1
