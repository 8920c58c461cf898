"""`make faults`: breaks parts of a local deployment under load, at random but by a seed, and audits what is left.

Each fault is repaired as the testbed would (a restart with the same state) or repairs itself. Everything that is
chosen comes from the seed, which is printed, so a failure can be repeated.
"""

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from simulator.fleet import station_ids
from testbed import audit as auditing
from testbed import lifecycle, simulation
from testbed.audit import AuditReport
from testbed.deployment import Deployment
from testbed.engines import choice
from testbed.errors import TestbedError
from testbed.paths import REPOSITORY

# Long enough for several tries of a call to fail, short of what anybody would call an outage.
_FROZEN_SECONDS = 6.0
_PAUSE_SECONDS = (3.0, 8.0)


@dataclass(frozen=True)
class FaultReport:
    """What was injected how often, and the audit afterwards."""

    seed: int
    injected: dict[str, int]
    audit: AuditReport


def run(
    deployment: Deployment,
    say: Callable[[str], None],
    *,
    seconds: float,
    seed: int,
    stations: int,
    interval: float,
) -> FaultReport:
    """Run a fleet, break things until the time is over, and audit the fleet's ledger.

    Args:
        deployment: a local one.
        say: prints a line.
        seconds: how long the fleet publishes.
        seed: of the faults, their order and their pauses.
        stations: the fleet's size.
        interval: seconds between two messages of a station.

    Raises:
        TestbedError: the deployment is on AWS, or the simulator failed.
    """
    if deployment.target == "aws":
        raise TestbedError("Faults are for local deployments.", "Leave TARGET=aws out.")
    rng = random.Random(seed)  # noqa: S311  # a schedule, not a secret
    prefix = f"faults-{seed}-{time.time_ns() % 10**8}-"
    ledger = deployment.path / "ledgers" / f"{prefix}.ndjson"
    names = station_ids(stations, prefix)
    lifecycle.enrolment(deployment).enrol(names)
    log = deployment.place.log("faults-simulator")
    extra = ["--prefix", prefix, "--duration", str(seconds), "--ledger", str(ledger), "--seed", str(seed)]
    command = simulation.command(deployment, stations, interval, extra)
    say(f"Seed {seed}: {stations} stations, a message every {interval:g} s, {seconds:g} s")
    with log.open("wb") as output:
        fleet = subprocess.Popen(command, cwd=REPOSITORY, stdout=output, stderr=subprocess.STDOUT)
    injected: Counter[str] = Counter()
    try:
        _break_until_done(deployment, rng, injected, fleet, say, deadline=time.monotonic() + seconds)
        fleet.wait(timeout=120)
    finally:
        if fleet.poll() is None:
            fleet.send_signal(signal.SIGINT)
            fleet.wait(timeout=60)
    if fleet.returncode:
        raise TestbedError(f"The simulator ended with {fleet.returncode}.", f"See {log}.")
    wait_until_quiet(deployment)
    report = auditing.audit(deployment, [ledger], wait_seconds=300)
    lifecycle.enrolment(deployment).remove(names)
    return FaultReport(seed, dict(injected), report)


def _break_until_done(
    deployment: Deployment,
    rng: random.Random,
    injected: Counter[str],
    fleet: "subprocess.Popen[bytes]",
    say: Callable[[str], None],
    *,
    deadline: float,
) -> None:
    faults = {
        "bridge killed": kill_bridge,
        "broker killed": kill_broker,
        "AWS APIs frozen": freeze_cloud,
        "Lambda workers killed": kill_lambda_workers,
    }
    while True:
        pause = rng.uniform(*_PAUSE_SECONDS)
        if time.monotonic() + pause > deadline - _FROZEN_SECONDS or fleet.poll() is not None:
            return
        time.sleep(pause)
        name = rng.choice(sorted(faults))
        say(f"  {name}")
        faults[name](deployment)
        injected[name] += 1


def kill_bridge(deployment: Deployment) -> None:
    """SIGKILL, and a new one."""
    deployment.processes["bridge"].stop(kill=True)
    engine = choice.engine(deployment.engine or "embedded")
    deployment.processes["bridge"] = engine.start_bridge(deployment.place)
    deployment.save()


def kill_broker(deployment: Deployment) -> None:
    """SIGKILL, and a new one with the old one's files."""
    deployment.processes["broker"].stop(kill=True)
    engine = choice.engine(deployment.engine or "embedded")
    deployment.processes["broker"] = engine.start_broker(deployment.place)
    deployment.save()


def freeze_cloud(deployment: Deployment) -> None:
    """Stop the emulator for some seconds: it accepts connections and answers nothing."""
    pid = deployment.processes["localstack" if deployment.engine == "localstack" else "ministack"].pid
    family = [pid, *(child.pid for child in psutil.Process(pid).children())]
    try:
        for member in family:
            os.kill(member, signal.SIGSTOP)
        time.sleep(_FROZEN_SECONDS)
    finally:
        for member in family:
            os.kill(member, signal.SIGCONT)


def kill_lambda_workers(deployment: Deployment) -> None:
    """SIGKILL every process that runs a function, in the middle of whatever it does."""
    pid = deployment.processes["localstack" if deployment.engine == "localstack" else "ministack"].pid
    for child in psutil.Process(pid).children(recursive=True):
        command = " ".join(child.cmdline())
        if "worker" in command and "java" not in command:
            child.kill()


def wait_until_quiet(deployment: Deployment) -> None:
    """Wait until neither the bridge nor the queue holds a message."""
    # Imported here: the benchmark's module brings MQTT clients along.
    from testbed.bench import until_bridge_is_idle  # noqa: PLC0415

    until_bridge_is_idle(deployment)
    queue = deployment.outputs["telemetry_queue_url"]
    auditing.wait_for_empty_queue(deployment.client("sqs"), queue, 300)
