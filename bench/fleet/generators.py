"""The load generators and clients that are compared; each knows how to install itself, and its command line."""

import json
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path

from bench.fleet.load import Cost, Load, run
from testbed.engines.mosquitto import ensure_clients, installed_version
from testbed.errors import TestbedError
from testbed.host.environments import environment, locked_version
from testbed.paths import REPOSITORY

_DRIVERS = Path(__file__).parent / "drivers"
_PEERS = _DRIVERS / "peers.txt"
_PACKAGES = {"paho": "paho-mqtt"}
_RUST_VERSION = "0.2.4"


class Generator(ABC):
    """A program that makes load. ``connections`` is whether it can hold a thousand connections at an interval.

    ``share`` is how many of a load's messages it gets: a slow one would take minutes.
    """

    name: str
    language: str
    tls = True
    connections = True
    share = 1.0

    def __init__(self, folder: Path) -> None:
        """Keep what is installed and written in ``folder``."""
        self.folder = folder

    @abstractmethod
    def prepare(self) -> None:
        """Install it.

        Raises:
            TestbedError: it cannot be had here.
        """

    @abstractmethod
    def run(self, load: Load) -> Cost:
        """Make the load.

        Raises:
            TestbedError: it failed.
        """

    @property
    def version(self) -> str:
        """The version of what is measured; empty for our own."""
        return ""

    @property
    def log(self) -> Path:
        """The file with what it printed last."""
        return self.folder / f"{self.name.split()[0].lower()}.log"


class Ours(Generator):
    """The simulator as users start it, with fixed bytes as all others send, or with its model's telemetry."""

    language = "Python"

    def __init__(self, folder: Path, *, telemetry: bool = False) -> None:
        """See `Generator`."""
        super().__init__(folder)
        self.name = "simulator, telemetry" if telemetry else "simulator"
        self._telemetry = telemetry

    def prepare(self) -> None:
        """Do nothing: it is this repository's own."""

    def run(self, load: Load) -> Cost:
        """See `Generator.run`."""
        how = ["--ca", load.ca, "--certs", load.certificates] if load.certificates else ["--plain"]
        payload = [] if self._telemetry else ["--payload-bytes", str(load.payload_bytes)]
        # One message within the hold makes it wait until all are connected, as the others do.
        messages, interval = (load.messages, load.interval) if load.messages else (1, load.hold)
        return run(
            [
                sys.executable,
                "-m",
                "simulator",
                "--endpoint",
                load.host,
                "--port",
                str(load.port),
                *how,
                "--num-stations",
                str(len(load.names)),
                "--interval",
                str(interval),
                "--ramp",
                str(load.ramp),
                "--messages",
                str(messages),
                *payload,
            ],
            log=self.log,
            load=load,
        )


class PythonPeer(Generator):
    """An MQTT library for Python, driven by drivers/peers.py."""

    language = "Python"

    def __init__(self, folder: Path, library: str, *, share: float = 1.0, tls: bool = True) -> None:
        """Take ``library``, one of those that drivers/peers.py knows."""
        super().__init__(folder)
        self.name, self.share, self.tls = library, share, tls

    @property
    def version(self) -> str:
        """See `Generator.version`."""
        return locked_version(_PEERS, _PACKAGES.get(self.name, self.name))

    def prepare(self) -> None:
        """See `Generator.prepare`."""
        _python_peers()

    def run(self, load: Load) -> Cost:
        """See `Generator.run`."""
        return run(
            [
                str(_python_peers() / "bin" / "python"),
                str(_DRIVERS / "peers.py"),
                self.name,
                load.written(self.folder),
            ],
            log=self.log,
            load=load,
        )


class Locust(Generator):
    """Locust, driven by the MQTT user that it brings."""

    name, language, share, connections = "locust", "Python", 0.05, False

    @property
    def version(self) -> str:
        """See `Generator.version`."""
        return locked_version(_PEERS, "locust")

    def prepare(self) -> None:
        """See `Generator.prepare`."""
        _python_peers()

    def run(self, load: Load) -> Cost:
        """See `Generator.run`."""
        count = str(len(load.names))
        return run(
            [
                str(_python_peers() / "bin" / "locust"),
                "--headless",
                "--only-summary",
                "-f",
                str(_DRIVERS / "locustfile.py"),
                "-u",
                count,
                "-r",
                str(min(100, load.ramp)),
            ],
            log=self.log,
            load=load,
            tell=load.written(self.folder),
        )


class MqttJs(Generator):
    """MQTT.js, run by Node."""

    name, language, share = "MQTT.js", "JavaScript", 0.5

    @property
    def version(self) -> str:
        """See `Generator.version`."""
        return str(json.loads((_DRIVERS / "node" / "package.json").read_text())["dependencies"]["mqtt"])

    def prepare(self) -> None:
        """See `Generator.prepare`."""
        folder = self.folder / "node"
        if not (folder / "node_modules" / "mqtt").is_dir():
            shutil.copytree(_DRIVERS / "node", folder, dirs_exist_ok=True)
            _install("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", folder=folder)
        shutil.copy(_DRIVERS / "node" / "peer.mjs", folder)

    def run(self, load: Load) -> Cost:
        """See `Generator.run`."""
        return run(
            ["node", str(self.folder / "node" / "peer.mjs"), load.written(self.folder)],
            log=self.log,
            load=load,
        )


class PahoGo(Generator):
    """Eclipse Paho's client for Go, paho.mqtt.golang."""

    name, language = "paho.mqtt.golang", "Go"

    @property
    def version(self) -> str:
        """See `Generator.version`."""
        wanted = (_DRIVERS / "go" / "go.mod").read_text().split("paho.mqtt.golang v", 1)[1]
        return wanted.split()[0]

    def prepare(self) -> None:
        """See `Generator.prepare`."""
        _install("go", "build", "-o", str(self._program), ".", folder=_DRIVERS / "go")

    def run(self, load: Load) -> Cost:
        """See `Generator.run`."""
        return run([str(self._program), load.written(self.folder)], log=self.log, load=load)

    @property
    def _program(self) -> Path:
        return self.folder / "paho-go"


class MqttBenchmark(Generator):
    """The load generator mqtt-benchmark of crates.io, over rumqttc; it has neither TLS nor an interval."""

    name, language, tls, connections = "mqtt-benchmark", "Rust", False, False

    @property
    def version(self) -> str:
        """See `Generator.version`."""
        return _RUST_VERSION

    def prepare(self) -> None:
        """See `Generator.prepare`."""
        if not self._program.is_file():
            _install(
                "cargo",
                "install",
                "--quiet",
                "--locked",
                "--root",
                str(self.folder / "rust"),
                "--version",
                _RUST_VERSION,
                "mqtt-benchmark",
                folder=self.folder,
            )

    def run(self, load: Load) -> Cost:
        """See `Generator.run`."""
        return run(
            [
                str(self._program),
                "--broker",
                f"{load.host}:{load.port}",
                "--client-num",
                str(len(load.names)),
                "--size",
                str(load.messages),
                "--payload",
                "x" * load.payload_bytes,
            ],
            log=self.log,
            load=load,
        )

    @property
    def _program(self) -> Path:
        return self.folder / "rust" / "bin" / "mqtt-benchmark"


class MosquittoPub(Generator):
    """Mosquitto's own publisher, which sends all lines of a file over one connection."""

    name, language, connections = "mosquitto_pub", "C", False

    @property
    def version(self) -> str:
        """See `Generator.version`."""
        return installed_version()

    def prepare(self) -> None:
        """See `Generator.prepare`."""
        ensure_clients()

    def run(self, load: Load) -> Cost:
        """See `Generator.run`."""
        lines = self.folder / "lines"
        lines.write_text(("x" * load.payload_bytes + "\n") * (load.messages * len(load.names)))
        name = load.names[0]
        stem = f"{load.certificates}/{name}"
        secured = ["--cafile", load.ca, "--cert", f"{stem}.crt", "--key", f"{stem}.key"]
        return run(
            [
                "mosquitto_pub",
                "-h",
                load.host,
                "-p",
                str(load.port),
                "-i",
                name,
                "-q",
                "1",
                "-l",
                "-t",
                load.topic.format(station_id=name),
                *(secured if load.certificates else []),
            ],
            log=self.log,
            load=load,
            stdin=lines,
        )


def generators(folder: Path) -> list[Generator]:
    """Return all generators, ours first."""
    return [
        Ours(folder),
        Ours(folder, telemetry=True),
        PythonPeer(folder, "gmqtt"),
        PythonPeer(folder, "paho", share=0.2),
        PythonPeer(folder, "aiomqtt", share=0.05),
        PythonPeer(folder, "amqtt", share=0.03, tls=False),
        Locust(folder),
        MqttJs(folder),
        PahoGo(folder),
        MqttBenchmark(folder),
        MosquittoPub(folder),
    ]


def _python_peers() -> Path:
    return environment("fleetbench", _PEERS)


def _install(*command: str, folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError as error:
        raise TestbedError(f"{command[0]} is not installed.", "Leave it out, or install it.") from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise TestbedError(f"{command[0]} failed: {said}", f"In {folder.relative_to(REPOSITORY)}.")
