"""Measure what it costs to enrol a fleet, enrol it again and remove it, at an emulator of its own.

CPU is what the kernel counted for the emulator's process and for this one with its children; wall-clock time says
something only beside the load average.
"""

import json
import os
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from bridge.authority import Authority
from simulator.messages import station_ids
from testbed.engines.base import Place, Ports
from testbed.engines.embedded import start_ministack
from testbed.host import emulated, ports
from testbed.host.processes import ChildProcess
from testbed.identity.enrolment import Enrolment

_REGION = "eu-central-1"


@dataclass(frozen=True)
class Figures:
    """What one step of a fleet's enrolment took: seconds of the clock, and of CPU in the emulator and here."""

    what: str
    stations: int
    seconds: float
    emulator_cpu_seconds: float
    our_cpu_seconds: float
    load_average: float

    @property
    def cpu_milliseconds_a_station(self) -> float:
        """CPU time of both together a station, in milliseconds."""
        return (self.emulator_cpu_seconds + self.our_cpu_seconds) / self.stations * 1000


def run(stations: int, say: Callable[[str], None], *, report: Path | None = None) -> list[Figures]:
    """Measure on loopback, and leave nothing behind.

    Args:
        stations: how many.
        say: prints a line.
        report: file for the figures as JSON.

    Raises:
        TestbedError: the emulator does not start.
    """
    with tempfile.TemporaryDirectory(prefix="bench-enrolment-") as folder:
        port = ports.choose(None, what="the emulator")
        place = Place(Path(folder), Ports(aws=port, mqtt=0, metrics=0), _REGION)
        emulator = start_ministack(place, port, name="ministack")
        try:
            found = _measure(stations, place, emulator, say)
        finally:
            emulator.stop(kill=True)
    if report:
        report.parent.mkdir(parents=True, exist_ok=True)
        document = {"cores": os.cpu_count(), "figures": [asdict(one) for one in found]}
        report.write_text(json.dumps(document, indent=1) + "\n")
    return found


def _measure(
    stations: int, place: Place, emulator: ChildProcess, say: Callable[[str], None]
) -> list[Figures]:
    session = emulated.session(_REGION)
    url = f"http://127.0.0.1:{place.ports.aws}"
    policy = json.dumps({"Version": "2012-10-17", "Statement": []})
    session.client("iot", endpoint_url=url).create_policy(policyName="bench", policyDocument=policy)
    enrolment = Enrolment(
        session,
        url,
        authority=Authority.load_or_create(place.certificates / "authority", name="bench"),
        policy="bench",
        folder=place.certificates,
    )
    ids = station_ids(stations)
    beside = psutil.Process(emulator.pid)
    steps: list[tuple[str, Callable[[], int], int]] = [
        ("enrolled", lambda: enrolment.enrol(ids), stations),
        ("enrolled again", lambda: enrolment.enrol(ids), 0),
        ("removed", enrolment.remove, stations),
    ]
    found = []
    for what, step, expected in steps:
        begun, theirs, ours = time.monotonic(), _cpu(beside), _own_cpu()
        done = step()
        assert done == expected, f"{what}: {done} of {expected}"  # noqa: S101  # a figure of something else is none
        one = Figures(
            what,
            stations,
            round(time.monotonic() - begun, 2),
            round(_cpu(beside) - theirs, 2),
            round(_own_cpu() - ours, 2),
            round(os.getloadavg()[0], 1),
        )
        say(
            f"{what:15} {stations:6} stations: {one.seconds:7.2f} s; CPU: ministack {one.emulator_cpu_seconds:.1f} s, "
            f"here {one.our_cpu_seconds:.1f} s ({one.cpu_milliseconds_a_station:.1f} ms a station); "
            f"load average {one.load_average}"
        )
        found.append(one)
    return found


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _own_cpu() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
