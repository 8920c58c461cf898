"""The contract of a local engine."""

import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, Self

from testbed.errors import TestbedError
from testbed.host.processes import Process

# "localstack" is what the user asks for; it is "compose" where Docker answers, and else LocalStack as a process.
EngineName = Literal["embedded", "localstack", "compose", "external"]

# What a command may ask of an engine, and some engine has not.
Feature = Literal["enforced IAM", "fleet provisioning", "processes of this machine", "faults"]


@dataclass(frozen=True)
class Ports:
    """Loopback ports of a deployment."""

    aws: int
    mqtt: int
    metrics: int
    # Of an IoT control plane beside the engine; the same as aws where the engine has IoT itself.
    iot: int = 0
    # Of the health page of a broker that has one (Mosquitto's supervisor).
    broker: int = 0
    # Of the data plane (iot-data, iot-jobs-data).
    data: int = 0
    # Of MQTT over WebSocket with AWS credentials; 0 where the broker has none.
    websocket: int = 0
    # Of the data plane's HTTPS for devices with their certificates; 0 for none.
    https: int = 0


@dataclass(frozen=True)
class Place:
    """Where one deployment of an engine keeps its things, and the ports it has."""

    folder: Path
    ports: Ports
    region: str
    # Whether the engine refuses what a caller's policies do not allow, where it can.
    enforce_iam: bool = False
    # Where the bridge calls AWS instead of at the engine: a proxy's URL.
    bridge_calls: str = ""

    @property
    def certificates(self) -> Path:
        """Certificates and keys, the authority's included."""
        return self.folder / "certs"

    def log(self, name: str) -> Path:
        """Return the log file of a process."""
        return self.folder / "logs" / f"{name}.log"

    def data(self, name: str) -> Path:
        """Return a folder for what a process keeps; made if it is not there."""
        folder = self.folder / "data" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


@dataclass(frozen=True)
class Endpoints:
    """Where an engine answers.

    ``iot`` is the control plane; ``api`` is a format with api_id and stage; ``iot_data`` is where functions find
    iot-data and iot-jobs-data, "" where they are at ``aws`` like all else.
    """

    aws: str
    iot: str
    api: str
    iot_data: str = ""

    @classmethod
    def on_loopback(cls, aws_port: int, iot_port: int) -> Self:
        """Return the endpoints of an emulator with LocalStack's form of API Gateway URLs, which ministack has, too."""
        url = f"http://127.0.0.1:{aws_port}"
        return cls(
            aws=url, iot=f"http://127.0.0.1:{iot_port}", api=f"{url}/_aws/execute-api/{{api_id}}/{{stage}}"
        )


@dataclass(frozen=True)
class Lacks:
    """What an engine has not got: a line for the user, and the Terraform variables that switch it off.

    ``features``: what a command says that asks for one that is missing, the problem and its remedy.
    """

    notes: tuple[str, ...] = ()
    variables: Mapping[str, object] = field(default_factory=dict)
    features: Mapping[Feature, tuple[str, str]] = field(default_factory=dict)

    def refuse(self, feature: Feature) -> None:
        """Do nothing where the engine has it.

        Raises:
            TestbedError: it has not.
        """
        if said := self.features.get(feature):
            raise TestbedError(*said)


LOCALSTACK_LACKS = Lacks(
    notes=(
        "Glue and Athena, which free LocalStack lacks: `scripts/testbed query` uses DuckDB",
        "tags, as LocalStack 4.14.0 cannot list alarms that have any",
    ),
    # LocalStack 4.14.0 answers CloudWatch's DescribeAlarms by CBOR, which today's SDKs speak, with an internal error
    # once one alarm has tags: tests/integration/engines/localstack_process/test_newest_sdk.py.
    variables={"analytics": False, "tag_resources": False},
    features={
        "enforced IAM": ("LocalStack enforces IAM in its paid tiers only.", "Use ENGINE=embedded."),
        "fleet provisioning": (
            "Mosquitto cannot answer one client alone, and the answer has a private key in it.",
            "Use ENGINE=embedded.",
        ),
    },
)


# Read in event_source_mapping/pollers/stream_poller.py of 4.14.0, and held by
# tests/integration/engines/localstack_process/test_streams.py.
LOCALSTACK_STREAMS_LACK = (
    "bisect_batch_on_function_error and parallelization_factor of a Kinesis mapping, which LocalStack 4.14.0 keeps and "
    "does not carry out: a batch on which the function dies is tried whole, until its records are too old",
)


@dataclass(frozen=True)
class Runtime:
    """What a package is built for: msgspec is compiled, so a package fits one Python and one processor.

    ``platform`` is uv's name of it, or None for the machine that we are on.
    """

    python: str
    architecture: str
    platform: str | None

    @classmethod
    def of_this_machine(cls) -> "Runtime":
        """Return the runtime of engines that run functions as child processes here."""
        architecture = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
        return cls(f"{sys.version_info.major}.{sys.version_info.minor}", architecture, None)

    @classmethod
    def on_linux(cls, python: str, architecture: str) -> "Runtime":
        """Return the runtime of AWS and containers: Amazon Linux 2023 has glibc 2.34, so manylinux_2_28 wheels run."""
        processor = "aarch64" if architecture == "arm64" else "x86_64"
        return cls(python, architecture, f"{processor}-manylinux_2_28")


class ShardRunner(Protocol):
    """Runs the simulator in containers."""

    def __call__(self, place: Place, shards: int, certificates: bytes, **settings: str) -> list[Path]:
        """Run so many containers to their end.

        Args:
            place: of the deployment whose broker they connect to.
            shards: how many containers.
            certificates: a tar of the stations' certificates and of the authority's.
            settings: further variables of docker-compose.yml, ``DURATION`` (seconds) among them.

        Returns:
            Their ledgers, to be moved away.

        Raises:
            TestbedError: they cannot be started, or one of them left no ledger.
        """


class Engine(Protocol):
    """Starts what plays AWS. Every method may be called again without harm."""

    name: EngineName
    lacks: Lacks
    # The process that plays AWS, by its name in the deployment.
    cloud: str
    # How many messages a second it carries, beside the quickest engine: benches offer that much.
    pace: float
    # Whether what plays AWS, stopped and started again, has what was applied to it.
    keeps_state: bool
    # Whether the user runs what plays AWS: then what was applied to it outlives a deployment.
    users_own: bool
    # None where there are no containers.
    run_shards: ShardRunner | None

    def install(self) -> None:
        """Install what it runs on.

        Raises:
            TestbedError: something cannot be had.
        """

    def prepare_streams(self) -> tuple[str, ...]:
        """Install what Kinesis streams need beside `install`, and return what of them it lacks, as lines for the user.

        Raises:
            TestbedError: something cannot be had.
        """

    def versions(self) -> dict[str, str]:
        """Return the versions of what it runs on, by name."""

    def runtime(self) -> Runtime:
        """Return what Lambda packages must be built for."""

    def endpoints(self, place: Place) -> Endpoints:
        """Return where it answers at ``place``."""

    def start_cloud(self, place: Place) -> list[Process]:
        """Start the AWS APIs and wait until they answer.

        Raises:
            TestbedError: it died, or did not answer in time.
        """

    def start_broker(self, place: Place) -> Process:
        """Start the MQTT broker, with TLS and the policies of the control plane, and wait until it listens."""

    def start_bridge(self, place: Place) -> Process:
        """Start the rules engine, and wait until it is connected to the broker with its rules loaded."""

    def start_data_plane(self, place: Place) -> Process:
        """Start AWS IoT's data plane beside broker and bridge, and wait until it is connected."""

    def this_machine(self, place: Place) -> str:
        """Return the address at which functions and bridge reach a server that we run here.

        Raises:
            TestbedError: they cannot.
        """

    def saved_state(self, place: Place, since: float) -> bool:
        """Return whether what plays AWS, which has ended, saved its state after ``since`` (seconds, Unix time)."""

    def remove(self, place: Place) -> None:
        """Remove what is left of it outside its folder, when its processes are stopped."""

    def wait_admitted(self, place: Place, stations: Sequence[str]) -> None:
        """Wait until the broker knows these stations, which are enrolled.

        Raises:
            TestbedError: it does not, in time.
        """
