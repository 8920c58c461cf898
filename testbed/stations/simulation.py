"""Runs the simulator against a deployment: enrols the stations, then hands over."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil

from simulator.messages import station_ids
from testbed.deploy.deployment import Deployment
from testbed.deploy.project import project
from testbed.deploy.stations import enrolment_of
from testbed.errors import TestbedError
from testbed.host import guests
from testbed.host.endings import TerminatedError
from testbed.host.processes import ChildProcess, unless_gone
from testbed.paths import REPOSITORY

# Beside the stations' connections.
_BROKERS_FILES = 100
# For one that is told to end: it waits for what is not acknowledged.
_ENDING_SECONDS = 60
# A process of the simulator connects some 700 stations a second on a core that it has to itself.
_STATIONS_A_PROCESS = 5_000


def run(
    deployment: Deployment,
    num_stations: int,
    interval: float,
    extra: Sequence[str],
    say: Callable[[str], None],
) -> int:
    """Enrol what is not enrolled, and run the simulator until it ends.

    Args:
        deployment: where.
        num_stations: how many.
        interval: seconds between two messages of a station.
        extra: further options of the simulator.
        say: prints a line.

    Returns:
        The simulator's exit code.
    """
    ids = station_ids(num_stations, _option(extra, "--prefix", project().device_prefix))
    _check_room(deployment, num_stations)
    begun = time.monotonic()
    new = enrolment_of(deployment).enrol(ids)
    if new:
        say(f"Enrolled {new} devices in {time.monotonic() - begun:.1f} s")
    words = [*spread(num_stations, extra), *extra]
    process = subprocess.Popen(
        command(deployment, num_stations, interval, words), cwd=REPOSITORY, env=_environment()
    )
    with guests.listed(deployment.path, _guest(process, Path(os.devnull))):
        while True:
            try:
                return process.wait()
            except TerminatedError:
                process.terminate()
            except KeyboardInterrupt:
                # The terminal has told the simulator, too: it ends by itself, and cleanly.
                continue


@contextmanager
def started(
    deployment: Deployment, num_stations: int, extra: Sequence[str], log: Path, interval: float = 5
) -> "Iterator[subprocess.Popen[bytes]]":
    """Enrol, and run the simulator in the background while the context lasts, with its output in ``log``."""
    prefix = _option(extra, "--prefix", project().device_prefix)
    enrolment_of(deployment).enrol(station_ids(num_stations, prefix))
    with log.open("wb") as output:
        process = subprocess.Popen(
            command(deployment, num_stations, interval, extra),
            cwd=REPOSITORY,
            env=_environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    with guests.listed(deployment.path, _guest(process, log)):
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


def _guest(process: "subprocess.Popen[bytes]", log: Path) -> ChildProcess:
    return ChildProcess.of("simulator", process.pid, log)


def _check_room(deployment: Deployment, stations: int) -> None:
    """Check that the broker may have a connection, an open file, for each station; the simulator sees to itself."""
    broker = deployment.processes.get("broker")
    family = broker.family() if broker else []
    if not family or not psutil.LINUX:
        return  # elsewhere nobody tells what another process may have
    unlimited = (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY)
    _, hard = unless_gone(lambda: family[-1].rlimit(psutil.RLIMIT_NOFILE), unlimited)
    if hard != psutil.RLIM_INFINITY and stations + _BROKERS_FILES > hard:
        raise TestbedError(
            f"{stations} stations need {stations + _BROKERS_FILES} open files in the broker, which may have {hard}.",
            "Raise the limit in the shell that starts it (ulimit -Hn), then: make down, make up.",
        )


def command(deployment: Deployment, num_stations: int, interval: float, extra: Sequence[str]) -> list[str]:
    """Return the simulator's command line for a deployment; with a ledger of its own if ``extra`` names none."""
    ledger = [] if "--ledger" in extra else ["--ledger", str(_new_ledger(deployment))]
    return [
        sys.executable,
        "-m",
        "simulator",
        "--endpoint",
        deployment.mqtt_host,
        "--port",
        str(deployment.mqtt_port),
        "--ca",
        str(deployment.server_ca),
        "--certs",
        str(deployment.certificates),
        "--topic",
        deployment.telemetry_topic("{device}"),
        *_model(deployment),
        *_settings(deployment),
        "--num-stations",
        str(num_stations),
        "--interval",
        str(interval),
        *ledger,
        *extra,
    ]


def spread(num_stations: int, extra: Sequence[str]) -> list[str]:
    """Return the simulator's option that spreads a large fleet over processes, at most one for each core.

    It is left out where one process does, and where ``extra`` says how the fleet is run.
    """
    processes = min(-(-num_stations // _STATIONS_A_PROCESS), os.cpu_count() or 1)
    said = any(word.split("=")[0] in ("--processes", "--shard") for word in extra)
    return [] if said or processes == 1 else ["--processes", str(processes)]


def _model(deployment: Deployment) -> list[str]:
    """Return the simulator's options of the project's devices."""
    here = project()
    model = here.described.devices.model
    if model.endswith(".json"):
        model = str(here.folder / model)
    if here.described.devices.message:
        file = deployment.path / "model.json"
        file.write_bytes(msgspec.json.encode(here.described.devices.message))
        model = str(file)
    return ["--prefix", here.device_prefix, *(["--model", model] if model else [])]


def _settings(deployment: Deployment) -> list[str]:
    """Return the options of battery-swap stations, which listen; ``--no-shadow`` after them switches it off."""
    if project().described.devices.model or project().described.devices.message:
        return []
    kept = str(deployment.path / "stations.sqlite")
    return ["--topic-root", deployment.topic_root, "--shadow", "--settings", kept]


def _environment() -> dict[str, str]:
    """Return an environment in which a model of the project's own can be imported."""
    path = [str(project().folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(path)}


def _new_ledger(deployment: Deployment) -> Path:
    return (
        deployment.path
        / "ledgers"
        / f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{time.monotonic_ns() % 10**6}.ndjson"
    )


def _option(extra: Sequence[str], name: str, default: str) -> str:
    return extra[extra.index(name) + 1] if name in extra else default


def end(fleet: "subprocess.Popen[bytes]") -> None:
    """End a fleet that still runs. It is asked first, so that its ledger is whole."""
    if fleet.poll() is None:
        fleet.send_signal(signal.SIGINT)
        try:
            fleet.wait(_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            fleet.kill()
            fleet.wait()
