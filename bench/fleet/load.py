"""Make a load, and measure what it cost the program that made it."""

import json
import os
import resource
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

from testbed.errors import TestbedError
from testbed.host import processes


@dataclass(frozen=True)
class Load:
    """What every generator is asked for: the same clients, each with a window of 20 unacknowledged messages.

    ``names`` are the clients' ids, connected at ``ramp`` a second; then each publishes ``messages`` of
    ``payload_bytes`` at QoS 1, one every ``interval`` seconds (0: as fast as they are acknowledged), to
    ``topic``, and stays connected for ``hold`` seconds more. ``certificates`` is a folder with ``<name>.crt``
    and ``.key``, or empty for plain TCP. ``limit`` is the seconds after which the program is ended.
    """

    host: str
    port: int
    ca: str
    certificates: str
    names: tuple[str, ...]
    topic: str
    messages: int = 0
    payload_bytes: int = 256
    interval: float = 0.0
    ramp: float = 1000.0
    hold: float = 0.0
    report: str = ""
    limit: float = 300.0

    def written(self, folder: Path) -> str:
        """Write it to a file for the drivers, and return the path: ten thousand names are no argument."""
        path = folder / "load.json"
        path.write_text(json.dumps(asdict(self)))
        return str(path)

    def with_messages(self, messages: int) -> "Load":
        """Return the same load, shorter or longer."""
        return replace(self, messages=messages)


@dataclass(frozen=True)
class Cost:
    """A run's cost: seconds of the clock and of CPU (user and system, children too), and the most memory.

    ``said`` is what the program told of itself.
    """

    seconds: float
    cpu: float
    rss_bytes: int
    said: dict[str, Any]


class RunError(TestbedError):
    """A program failed or was ended because it took too long; ``cost`` is what it had cost until then."""

    def __init__(self, message: str, remedy: str, cost: Cost) -> None:
        """See `TestbedError`."""
        super().__init__(message, remedy)
        self.cost = cost


def run(command: Sequence[str], *, log: Path, load: Load, stdin: Path | None = None, tell: str = "") -> Cost:
    """Run a program to its end; ``tell`` is the file of the load, for one that takes no arguments.

    Raises:
        RunError: it failed, or took too long.
    """
    begun = time.monotonic()
    variables = dict(os.environ) | ({"LOAD": tell} if tell else {})
    with log.open("wb") as output, (stdin or Path(os.devnull)).open("rb") as source:
        process = subprocess.Popen(
            command, stdin=source, stdout=output, stderr=subprocess.STDOUT, env=variables
        )
        watcher = _Watcher(process.pid, load.limit)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            most = watcher.stop()
            # Told, because wait4 has taken the status that Popen would look for.
            process.returncode = 0
    cost = Cost(time.monotonic() - begun, usage.ru_utime + usage.ru_stime, most, _last_json(log))
    name = Path(command[0]).name
    if watcher.too_long:
        raise RunError(f"{name} was not done after {load.limit:.0f} s and was ended", f"See {log}.", cost)
    if status:
        code = os.waitstatus_to_exitcode(status)
        lines = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
        why = f"was killed by signal {-code}" if code < 0 else f"failed: {lines[-1][-200:]}"
        raise RunError(f"{name} {why}", f"See {log}.", cost)
    return cost


def raise_file_limit(files: int) -> None:
    """Let this process, and what it starts, open so many files: each connection is one.

    Raises:
        TestbedError: the system allows fewer.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= files:
        return
    if hard != resource.RLIM_INFINITY and hard < files:
        raise TestbedError(
            f"{files} open files are needed, and this shell allows {hard}.",
            "Raise it (ulimit -Hn), or ask for less.",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))


class _Watcher(Thread):
    """A thread that samples a process's memory, its children's included, and ends what runs for too long."""

    def __init__(self, pid: int, limit: float) -> None:
        super().__init__(daemon=True)
        self._pid, self._most, self._ended = pid, 0, Event()
        self._deadline = time.monotonic() + limit
        self.too_long = False
        self.start()

    def run(self) -> None:
        """Sample ten times a second until `stop`."""
        while not self._ended.wait(0.1):
            self._most = max(self._most, processes.resident_bytes(self._pid))
            if time.monotonic() > self._deadline:
                self.too_long = True
                for member in processes.family(self._pid):
                    processes.unless_gone(member.kill, None)

    def stop(self) -> int:
        """Stop, and return the most bytes that were seen."""
        self._ended.set()
        self.join()
        return self._most


def _last_json(log: Path) -> dict[str, Any]:
    for line in reversed(log.read_text(errors="replace").splitlines()):
        start = line.find("{")
        if start >= 0:
            try:
                found = json.loads(line[start:])
            except ValueError:
                continue
            if isinstance(found, dict):
                return found
    return {}
