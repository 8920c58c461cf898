"""Two local deployments as two regions: one authority, the same stations, and a stand-in for global tables."""

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from testbed.deploy import lifecycle
from testbed.deploy.deployment import Deployment
from testbed.deploy.settings import Settings
from testbed.deploy.stations import enrolment_of
from testbed.errors import TestbedError
from testbed.host import guests, processes
from testbed.paths import REPOSITORY
from testbed.pipeline import replicator
from testbed.say import Say

# Of the second region, unless the first one has it.
_REGIONS = ("us-east-1", "eu-west-1")


@dataclass(frozen=True)
class Pair:
    """The region that stations are at home in, and the other."""

    home: Deployment
    standby: Deployment

    def enrol(self, stations: Sequence[str]) -> None:
        """Enrol stations in both regions, each with one certificate.

        AWS IoT takes one certificate in several regions: `RegisterCertificateWithoutCA` in each.
        """
        enrolment_of(self.home).enrol(stations)
        self.standby.certificates.mkdir(parents=True, exist_ok=True)
        for station in stations:
            for ending in ("crt", "key"):
                name = f"{station}.{ending}"
                shutil.copy2(self.home.certificates / name, self.standby.certificates / name)
        enrolment_of(self.standby).enrol(stations)

    def remove(self, stations: Sequence[str]) -> None:
        """Remove them from both."""
        for region in (self.home, self.standby):
            enrolment_of(region).remove(stations)

    def simulator_options(self) -> list[str]:
        """Return the simulator's options for the second endpoint."""
        return [
            "--region",
            self.home.region,
            "--standby",
            f"{self.standby.mqtt_host}:{self.standby.mqtt_port}",
            "--standby-ca",
            str(self.standby.server_ca),
            "--standby-region",
            self.standby.region,
        ]


def bring_up(settings: Settings, say: Say, confirm: Callable[[str], bool]) -> Pair:
    """Bring up the deployment of the settings, and one beside it in another region.

    Raises:
        TestbedError: the target is AWS, or the second deployment has an authority of its own.
    """
    if settings.target != "local":
        raise TestbedError("This is for local deployments.", "docs/regions.md has the runbook for AWS.")
    home = lifecycle.up(settings, say, confirm)
    home.local_engine.lacks.refuse("processes of this machine")
    beside = standby_settings(settings, home)
    _share_authority(home, beside.folder(home.engine_name))
    return Pair(home, lifecycle.up(beside, say, confirm))


def standby_settings(settings: Settings, home: Deployment) -> Settings:
    """Return the settings of the second region's deployment: free ports, another region, a name beside the first."""
    ports = {"AWS_PORT", "MQTT_PORT", "METRICS_PORT", "AWS_DEFAULT_REGION"}
    return replace(
        settings,
        engine=home.engine_name,
        name=f"{home.name}-standby",
        region=next(region for region in _REGIONS if region != home.region),
        aws_port=None,
        mqtt_port=None,
        metrics_port=None,
        given=(settings.given - ports) | {"AWS_REGION"},
    )


def _share_authority(home: Deployment, folder: Path) -> None:
    """Have the second region trust the first one's certificates.

    AWS IoT does not ask who signed a certificate that is registered; the local brokers do.
    """
    theirs = folder / "certs" / "authority"
    if not theirs.is_dir():
        shutil.copytree(home.authority, theirs)
    if (theirs / "ca.crt").read_bytes() != (home.authority / "ca.crt").read_bytes():
        raise TestbedError(
            f"{folder.name} has an authority of its own, so it knows none of this fleet's certificates.",
            f"Remove it: make down DEPLOYMENT={home.name}-standby",
        )


class Replication:
    """The stand-in for global tables as a process: `testbed.pipeline.replicator` says what it does."""

    def __init__(self, pair: Pair) -> None:
        """Start nothing yet."""
        self._pair = pair
        self._log = pair.home.place.log("replicator")
        self._log.unlink(missing_ok=True)
        self._running = ExitStack()

    def start(self) -> None:
        """Start it; `make down` ends one that was left."""
        home = self._pair.home
        process = processes.start(
            "replicator",
            [sys.executable, "-m", "testbed", "replicate", self._pair.standby.name],
            log=self._log,
            environment=os.environ | {"DEPLOYMENT": home.name, "ENGINE": str(home.engine_name)},
            folder=REPOSITORY,
        )
        self._process = process
        self._running.enter_context(guests.listed(home.path, process))

    def stop(self, *, kill: bool = False) -> None:
        """End it."""
        self._process.stop(kill=kill)
        self._running.close()

    def went_back(self) -> list[str]:
        """Return what it said of states that the last writer set back."""
        return [line for line in self._log.read_text().splitlines() if line.startswith(replicator.WENT_BACK)]
