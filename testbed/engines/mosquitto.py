"""Starts Mosquitto under the bridge package's supervisor, and waits for what it must know."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from testbed.engines.base import Endpoints, Place
from testbed.engines.bridge import TRUSTED, client_certificate
from testbed.host import processes, programs
from testbed.host.processes import Process
from testbed.paths import REPOSITORY

# Where Debian puts it; not on every user's PATH.
_ELSEWHERE = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")
_REMEDY = "Install it (Debian: sudo apt-get install mosquitto; macOS: brew install mosquitto)."
_START_SECONDS = 60
_ADMISSION_SECONDS = 120


def ensure_mosquitto() -> Path:
    """Return the broker's program; apt installs it where we are root and it is missing.

    Raises:
        TestbedError: it is not there, and cannot be installed from here.
    """
    return programs.ensure(("mosquitto",), "mosquitto", _REMEDY, _ELSEWHERE)


def ensure_clients() -> Path:
    """Return the path of ``mosquitto_pub``; apt installs it where we are root and it is missing.

    Raises:
        TestbedError: it is not there, and cannot be installed from here.
    """
    remedy = "Install it (Debian: sudo apt-get install mosquitto-clients; macOS: brew install mosquitto)."
    return programs.ensure(("mosquitto_pub",), "mosquitto-clients", remedy)


def installed_version() -> str:
    """Return the version of the Mosquitto that would be started; empty if there is none."""
    program = shutil.which("mosquitto", path=os.pathsep.join((os.environ.get("PATH", ""), *_ELSEWHERE)))
    if not program:
        return ""
    # It says its version in the first line of its help, and ends with an error for having been asked.
    said = subprocess.run([program, "-h"], capture_output=True, text=True, check=False).stdout.split()
    return next((word for word in said if word[:1].isdigit()), "")


def start_mosquitto(place: Place, endpoints: Endpoints) -> Process:
    """Start the supervisor and its Mosquitto, and wait until both answer.

    Raises:
        TestbedError: it died, or was not ready in time.
    """
    for name in TRUSTED:
        client_certificate(place, name)
    authority = place.certificates / "authority"
    broker = processes.start(
        "broker",
        [
            sys.executable,
            "-m",
            "bridge.mosquitto",
            "--port",
            str(place.ports.mqtt),
            "--program",
            str(ensure_mosquitto()),
            "--certificate",
            str(place.certificates / "server.crt"),
            "--key",
            str(place.certificates / "server.key"),
            "--client-ca",
            str(authority / "ca.crt"),
            "--client-ca-key",
            str(authority / "ca.key"),
            "--iot-endpoint-url",
            endpoints.iot,
            "--region",
            place.region,
            "--state-dir",
            str(place.data("mosquitto")),
            "--health-port",
            str(place.ports.broker),
            *(word for name in TRUSTED for word in ("--trusted", name)),
        ],
        log=place.log("broker"),
        environment=processes.clean_environment(),
        folder=REPOSITORY,
    )

    def ready() -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{place.ports.broker}/health", timeout=2) as answer:
            return bool(answer.status == 200)

    processes.wait_until(ready, what="Mosquitto", seconds=_START_SECONDS, process=broker)
    return broker


def wait_admitted(place: Place, names: Sequence[str]) -> None:
    """Wait until Mosquitto has the rights of these stations: before, it acknowledges what they say, and drops it.

    Raises:
        TestbedError: it has not, in time.
    """
    url = f"http://127.0.0.1:{place.ports.broker}/admitted"

    def admitted() -> bool:
        request = urllib.request.Request(url, json.dumps(list(names)).encode(), method="POST")  # ours
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  # ours
            return not json.load(answer)["missing"]

    processes.wait_until(admitted, what="Mosquitto's access list", seconds=_ADMISSION_SECONDS)
