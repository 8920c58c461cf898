"""Starts the bridge: the same on every local engine."""

import json
import sys
import urllib.request
from pathlib import Path

from testbed.engines.base import Endpoints, Place
from testbed.host import processes
from testbed.host.processes import Process
from testbed.identity.authority import Authority
from testbed.paths import REPOSITORY

CLIENT_ID = "bridge"

_START_SECONDS = 60


def bridge_certificate(place: Place) -> Path:
    """The bridge's own certificate; its key is beside it, ending in ``.key``."""
    path = place.certificates / "bridge.crt"
    if not path.is_file():
        authority = Authority.load_or_create(place.certificates / "authority", name="EV swap fleet CA")
        authority.client(CLIENT_ID).write(path, path.with_suffix(".key"))
    return path


def start_bridge(place: Place, endpoints: Endpoints, *, names_publishers: bool) -> Process:
    """Start the bridge and wait until it is connected with its rules loaded.

    Raises:
        TestbedError: it died, or was not ready in time.
    """
    certificate = bridge_certificate(place)
    bridge = processes.start(
        "bridge",
        [
            sys.executable,
            "-m",
            "bridge.runtime",
            "--broker-host",
            "localhost",
            "--broker-port",
            str(place.ports.mqtt),
            "--ca",
            str(place.certificates / "authority" / "ca.crt"),
            "--certificate",
            str(certificate),
            "--key",
            str(certificate.with_suffix(".key")),
            "--iot-endpoint-url",
            endpoints.iot,
            "--aws-endpoint-url",
            endpoints.aws,
            "--region",
            place.region,
            "--client-id",
            CLIENT_ID,
            "--metrics-port",
            str(place.ports.metrics),
            "--names-publishers" if names_publishers else "--infer-publishers",
        ],
        log=place.log("bridge"),
        environment=processes.clean_environment(),
        folder=REPOSITORY,
    )

    def ready() -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{place.ports.metrics}/health", timeout=2) as answer:
            health = json.load(answer)
        return bool(health["connected"] and health["rules"])

    processes.wait_until(ready, what="The bridge", seconds=_START_SECONDS, process=bridge)
    return bridge
