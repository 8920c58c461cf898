"""Starts the bridge and the data plane: the same on every local engine."""

import json
import sys
import time
import urllib.request
from collections.abc import Set
from pathlib import Path
from typing import Any

from bridge.authority import Authority
from testbed.engines.base import Endpoints, Place
from testbed.host import processes
from testbed.host.processes import Process
from testbed.paths import REPOSITORY

BRIDGE, DATA_PLANE, READER = "bridge", "data-plane", "data-plane-reader"
# Whoever else has something to tell the broker. Mosquitto gives a client its certificate's name for its client id, so
# whoever connects with the bridge's certificate takes the bridge's session.
OPERATOR = "operator"
# Before whom the broker lets nobody in, and who may do everything there.
REQUIRED = (BRIDGE, DATA_PLANE)
TRUSTED = (*REQUIRED, READER, OPERATOR)

_START_SECONDS = 60
_LOOK_SECONDS = 0.2


def client_certificate(place: Place, name: str) -> Path:
    """Return a trusted client's certificate, made if it is not there; its key is beside it, ending in ``.key``."""
    path = place.certificates / f"{name}.crt"
    if not path.is_file():
        authority = Authority.load_or_create(place.certificates / "authority", name="EV swap fleet CA")
        authority.client(name).write(path, path.with_suffix(".key"))
    return path


def start_bridge(place: Place, endpoints: Endpoints, *, names_publishers: bool) -> Process:
    """Start the bridge and wait until it is connected with its rules loaded.

    Raises:
        TestbedError: it died, or was not ready in time.
    """
    bridge = processes.start(
        "bridge",
        [
            sys.executable,
            "-m",
            "bridge.runtime",
            *bridge_options(place, endpoints),
            "--names-publishers" if names_publishers else "--infer-publishers",
        ],
        log=place.log("bridge"),
        environment=processes.clean_environment(),
        folder=REPOSITORY,
    )

    def ready() -> bool:
        # It answers 503 until its rules are loaded; a project may have none.
        return bool(_health(place.ports.metrics)["connected"])

    processes.wait_until(ready, what="The bridge", seconds=_START_SECONDS, process=bridge)
    return bridge


def _health(port: int) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def refused_rules(port: int, names: Set[str], *, seconds: float = 10) -> dict[str, str]:
    """Return which of these rules the bridge cannot run, each with the reason.

    Args:
        port: of the bridge's metrics.
        names: of the rules that the control plane has, enabled; the bridge reads them each second.
        seconds: how long to wait until it has looked at each.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = _health(port)
        if names <= {*found["rules"], *found["refused"]} or time.monotonic() > deadline:
            return {name: why for name, why in found["refused"].items() if name in names}
        time.sleep(_LOOK_SECONDS)


def bridge_options(place: Place, endpoints: Endpoints) -> list[str]:
    """Return the options of `bridge.runtime`, but for what the broker tells of publishers."""
    return [
        *_connection(place, BRIDGE),
        "--iot-endpoint-url",
        endpoints.iot,
        "--aws-endpoint-url",
        place.bridge_calls or endpoints.aws,
        "--iot-data-endpoint-url",
        data_plane_url(place),
        "--region",
        place.region,
        "--client-id",
        BRIDGE,
        "--metrics-port",
        str(place.ports.metrics),
    ]


def data_plane_options(place: Place, endpoints: Endpoints) -> list[str]:
    """Return the options of ``python -m bridge.data_plane``, but for what the broker tells of publishers."""
    reader = client_certificate(place, READER)
    return [
        *_connection(place, DATA_PLANE),
        "--reader-certificate",
        str(reader),
        "--reader-key",
        str(reader.with_suffix(".key")),
        "--port",
        str(place.ports.data),
        "--state-dir",
        str(place.data("data-plane")),
        "--iot-endpoint-url",
        endpoints.iot,
        "--aws-endpoint-url",
        endpoints.aws,
        "--region",
        place.region,
        *_https(place),
    ]


def start_data_plane(place: Place, endpoints: Endpoints, *, names_publishers: bool) -> Process:
    """Start the data plane and wait until it is connected.

    Raises:
        TestbedError: it died, or was not ready in time.
    """
    data_plane = processes.start(
        DATA_PLANE,
        [
            sys.executable,
            "-m",
            "bridge.data_plane",
            *data_plane_options(place, endpoints),
            *(["--names-publishers"] if names_publishers else []),
        ],
        log=place.log(DATA_PLANE),
        environment=processes.clean_environment(),
        folder=REPOSITORY,
    )

    def ready() -> bool:
        url = f"http://127.0.0.1:{place.ports.data}/health"
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)

    processes.wait_until(ready, what="The data plane", seconds=_START_SECONDS, process=data_plane)
    return data_plane


def data_plane_url(place: Place) -> str:
    """Return where the data plane answers; what plays AWS IoT's control plane hands its calls over to it."""
    return f"http://127.0.0.1:{place.ports.data}"


def _https(place: Place) -> list[str]:
    """Return the options of HTTPS for devices; the certificate is the broker's."""
    if not place.ports.https:
        return []
    server = place.certificates / "server.crt"
    return [
        "--https-port",
        str(place.ports.https),
        "--server-certificate",
        str(server),
        "--server-key",
        str(server.with_suffix(".key")),
    ]


def _connection(place: Place, name: str) -> list[str]:
    certificate = client_certificate(place, name)
    return [
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
    ]
