"""A broker to break, and a collector of all that it delivers."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from bridge.authority import Authority
from simulator.connection import Endpoint
from simulator.messages import station_ids
from simulator.options import FleetOptions
from testbed.host import ports
from testbed.paths import REPOSITORY

STATIONS = 20


def wait_until(ready: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:.0f} s"
        time.sleep(0.02)


class BrokerProcess:
    """The broker as a child process that can be killed, frozen and robbed of its memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = ports.choose(None, what="the broker")
        self.state = folder / "state"
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.state.mkdir(exist_ok=True)
        command = [sys.executable, str(Path(__file__).with_name("fleet_broker.py")), str(self.port)]
        with (self.folder / "broker.log").open("ab") as log:
            self._child = subprocess.Popen(
                [*command, str(self.folder), str(self.state)],
                stdout=log,
                stderr=log,
                cwd=REPOSITORY,
                env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
            )
        wait_until(lambda: not ports.is_free(self.port), "the broker's start")

    def kill(self) -> None:
        """Send SIGKILL: no goodbye, no flush."""
        self._signal(signal.SIGKILL)
        if self._child:
            self._child.wait()
        self._child = None

    def forget(self) -> None:
        """Lose all that is on disk."""
        shutil.rmtree(self.state)

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._child:
            self._child.send_signal(number)


class Collector:
    """Subscribes to all telemetry with a persistent session, and keeps it."""

    def __init__(self, broker: BrokerProcess) -> None:
        self.payloads: list[bytes] = []
        self.subscribed = False
        self._broker = broker
        self._client: mqtt.Client | None = None

    def start(self) -> None:
        # A client a start: paho does not close all of its sockets when a stopped one starts again.
        folder = self._broker.folder
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="collector", clean_session=False)
        client.tls_set(str(folder / "ca.crt"), str(folder / "collector.crt"), str(folder / "collector.key"))
        client.reconnect_delay_set(0.1, 0.2)
        client.on_connect = lambda client, *_: client.subscribe("ev-swap/stations/+/telemetry", 1)
        client.on_subscribe = lambda *_: setattr(self, "subscribed", True)
        client.on_message = lambda _client, _data, message: self.payloads.append(message.payload)
        client.connect("127.0.0.1", self._broker.port)
        client.loop_start()
        self._client = client
        wait_until(lambda: self.subscribed, "the collector's subscription")

    def stop(self) -> None:
        client, self._client = self._client, None
        if client:
            client.disconnect()
            client.loop_stop()
        self.subscribed = False

    @property
    def message_ids(self) -> set[str]:
        """List the message ids of all that arrived."""
        return {json.loads(payload)["message_id"] for payload in list(self.payloads)}

    def wait_for(self, message_ids: set[str]) -> None:
        """Wait until all of these have arrived."""
        wait_until(lambda: message_ids <= self.message_ids, f"the arrival of {len(message_ids)} messages")


class FleetPlace:
    """Where a fleet can run: a broker, a collector, certificates and a ledger."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broker = BrokerProcess(folder)
        self.collector = Collector(self.broker)
        self.ledger = folder / "ledger.ndjson"

    def options(self, **fields: Any) -> FleetOptions:
        """Make fast stations with the tests' certificates."""
        endpoint = Endpoint("127.0.0.1", self.broker.port, self.folder / "ca.crt", self.folder)
        known: dict[str, Any] = {"num_stations": STATIONS, "interval": 0.05, "ledger": self.ledger}
        return FleetOptions(**{"endpoint": endpoint, "ramp_per_second": 1000.0} | known | fields)

    def command(self, *options: str) -> list[str]:
        """Build the simulator's command line."""
        return [
            sys.executable,
            "-m",
            "simulator",
            "--endpoint",
            "127.0.0.1",
            "--port",
            str(self.broker.port),
            "--ca",
            str(self.folder / "ca.crt"),
            "--certs",
            str(self.folder),
            "--ledger",
            str(self.ledger),
            *options,
        ]

    def ledger_ids(self) -> list[str]:
        """Read the ledger's message ids; fail if a line is none."""
        return [json.loads(line)["message_id"] for line in self.ledger.read_text().splitlines()]


@pytest.fixture(scope="session")
def fleet_certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an authority with certificates for the broker, the collector and twenty stations."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = Authority.load_or_create(folder, name="fleet tests")
    authority.server("127.0.0.1").write(folder / "server.crt", folder / "server.key")
    for name in ("collector", *station_ids(STATIONS)):
        authority.client(name).write(folder / f"{name}.crt", folder / f"{name}.key")
    return folder


@pytest.fixture
def place(fleet_certificates: Path, tmp_path: Path) -> Iterator[FleetPlace]:
    """Run a broker with its collector, for one test."""
    folder = tmp_path / "place"
    shutil.copytree(fleet_certificates, folder)
    place = FleetPlace(folder)
    place.broker.start()
    try:
        place.collector.start()
        yield place
    finally:
        place.collector.stop()
        place.broker.kill()
