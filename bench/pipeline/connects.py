"""Measure what it takes to connect a fleet, beside bare TLS handshakes of the same kind in the same run.

A connect is a station's TLS handshake, its CONNECT, the registry's word on its certificate, and the presence event by
rule, queue and function until it is in the table. Where stations listen, their subscriptions, shadows and jobs, too.
CPU is what the kernel counted for every process that takes part, less what they use when nobody connects; wall-clock
time says something only beside the load average.
"""

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from bench.pipeline import handshakes, simulated
from bench.pipeline.usage import Usage
from simulator.messages import station_ids
from testbed.deploy.deployment import Deployment
from testbed.deploy.stations import enrolment_of
from testbed.errors import TestbedError
from testbed.pipeline import quiet
from testbed.stations import simulation

Say = Callable[[str], None]

_PARTS = ("broker", "bridge", "data-plane")
_PATIENCE_SECONDS = 300.0
# Connects a second of a machine with ten times as much to do as it can.
_SLOWEST = 20.0
# No station speaks while it is measured: it is connects that are.
_INTERVAL_SECONDS = 100_000.0


@dataclass(frozen=True)
class ConnectScale:
    """``stations`` connect at ``ramp`` a second; each part's idle CPU is taken over ``idle`` seconds."""

    stations: int = 1000
    ramp: float = 1000.0
    idle: float = 5.0
    handshakes: int = 500


@dataclass(frozen=True)
class Connects:
    """A fleet's connects: ``listens`` says whether stations subscribe to what operators say.

    ``seconds`` until all were connected, ``settled`` until every presence event was handled, ``milliseconds`` of CPU a
    connect by part, ``handshake`` of a bare TLS handshake of both ends.
    """

    listens: bool
    stations: int
    seconds: float
    settled: float
    milliseconds: dict[str, float]
    handshake: float
    load_average: float

    @property
    def total(self) -> float:
        """CPU of all parts a connect, in milliseconds."""
        return sum(self.milliseconds.values())

    @property
    def ratio(self) -> float:
        """Say how many bare handshakes a connect is."""
        return self.total / self.handshake

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self) | {"total": self.total, "ratio": self.ratio}


def run(
    deployment: Deployment, scale: ConnectScale, say: Say, *, prefix: str = "connects-"
) -> list[Connects]:
    """Measure connects alone, then those of stations that listen.

    Raises:
        TestbedError: the deployment is on AWS or in containers, or the fleet did not connect.
    """
    deployment.local_engine.lacks.refuse("processes of this machine")
    enrolment_of(deployment).enrol(station_ids(scale.stations, prefix))
    found = []
    for listens in (False, True):
        found.append(_measure(deployment, scale, prefix, listens=listens))
        say(_said(found[-1]))
    return found


def _measure(deployment: Deployment, scale: ConnectScale, prefix: str, *, listens: bool) -> Connects:
    sample = station_ids(scale.stations, prefix)[: scale.handshakes]
    certs, authority = deployment.path / "certs", deployment.server_ca
    bare = handshakes.cpu_seconds(certs, authority, sample)
    before = Usage.of(deployment, own=_PARTS)
    time.sleep(scale.idle)
    now = Usage.of(deployment, own=_PARTS)
    idle = {part: spent / (now.at - before.at) for part, spent in now.spent(before).items()}
    ledger = deployment.path / "bench" / f"connects-{time.time_ns()}.ndjson"
    more = [*simulation.spread(scale.stations, ()), *(() if listens else ("--no-shadow",))]
    before = Usage.of(deployment, own=_PARTS)
    with simulated.fleet(
        deployment, scale.stations, _INTERVAL_SECONDS, scale.ramp, prefix, ledger, more
    ) as fleet:
        if not fleet.connected(_PATIENCE_SECONDS + scale.stations / _SLOWEST):
            raise TestbedError("Not all stations are connected.", f"See {fleet.log}.")
        quiet.wait_until_quiet(deployment)
        after = Usage.of(deployment, fleet.pid, own=_PARTS)
        summary = fleet.end()
    quiet.wait_until_quiet(deployment)
    settled = after.at - before.at
    # Taken twice, as what others do on the machine changes what a second of CPU carries.
    bare = (bare + handshakes.cpu_seconds(certs, authority, sample)) / 2
    return Connects(
        listens,
        scale.stations,
        summary["ramp_seconds"],
        settled,
        {
            part: 1000 * max(0.0, spent - settled * idle.get(part, 0.0)) / scale.stations
            for part, spent in after.spent(before).items()
        },
        1000 * bare / len(sample),
        os.getloadavg()[0],
    )


def _said(found: Connects) -> str:
    parts = ", ".join(f"{part} {cost:.2f}" for part, cost in found.milliseconds.items())
    return (
        f"{found.stations} stations {'that listen ' if found.listens else ''}connected in {found.seconds:.1f} s; "
        f"{found.total:.2f} ms of CPU each ({parts}), a bare handshake {found.handshake:.2f}: {found.ratio:.1f} times; "
        f"load average {found.load_average:.1f}"
    )
