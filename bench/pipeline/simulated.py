"""A fleet of the simulator's, run as users start it, for a benchmark."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.deploy.deployment import Deployment
from testbed.errors import TestbedError
from testbed.host.processes import last_line
from testbed.stations import simulation

_PATIENCE_SECONDS = 120.0
_CONNECTED = re.compile(r"(?:shard (\d+)/\d+, )?\d+ s: connected (\d+)/\d+")


@dataclass
class Fleet:
    """A running simulator."""

    process: "subprocess.Popen[bytes]"
    log: Path
    summary: Path
    size: int

    @property
    def pid(self) -> int:
        return self.process.pid

    def connected(self, seconds: float) -> bool:
        """Wait until it says that all stations are connected, and return whether they are in time.

        Raises:
            TestbedError: it ended.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise TestbedError(f"The simulator failed: {last_line(self.log)}", f"See {self.log}.")
            # The last word of each process counts.
            said = dict(_CONNECTED.findall(self.log.read_text(errors="replace")))
            if sum(map(int, said.values())) >= self.size:
                return True
            time.sleep(0.2)
        return False

    def end(self) -> dict[str, Any]:
        """Stop it, and return its summary.

        Raises:
            TestbedError: it had ended before, or failed.
        """
        early = self.process.poll()
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(timeout=_PATIENCE_SECONDS)
        if early is not None or code or not self.summary.is_file():
            raise TestbedError(f"The simulator ended with {code}: {last_line(self.log)}", f"See {self.log}.")
        summary: dict[str, Any] = json.loads(self.summary.read_text())
        return summary


@contextmanager
def fleet(
    deployment: Deployment,
    size: int,
    interval: float,
    ramp: float,
    prefix: str,
    ledger: Path,
    more: Sequence[str] = (),
) -> Iterator[Fleet]:
    """Run a simulator while the context lasts; its stations are enrolled.

    Args:
        deployment: where.
        size: stations.
        interval: seconds between two messages of a station.
        ramp: connections a second.
        prefix: of the stations' names.
        ledger: file for it, beside which log and summary go.
        more: further options of the simulator.
    """
    log, summary = ledger.with_suffix(".log"), ledger.with_suffix(".json")
    extra = [
        "--quiet",
        "--prefix",
        prefix,
        "--ramp",
        str(ramp),
        "--ledger",
        str(ledger),
        "--summary",
        str(summary),
        *more,
    ]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            simulation.command(deployment, size, interval, extra), stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield Fleet(process, log, summary, size)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
