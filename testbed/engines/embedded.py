"""The engine without Docker: ministack for the AWS APIs, an MQTT broker from PyPI, both child processes."""

import sys
from collections.abc import Sequence
from pathlib import Path

from testbed.engines.base import Endpoints, EngineName, Lacks, Place, Runtime, ShardRunner
from testbed.engines.bridge import (
    REQUIRED,
    TRUSTED,
    client_certificate,
    data_plane_url,
    start_bridge,
    start_data_plane,
)
from testbed.host import emulated, ports, processes
from testbed.host.environments import environment, locked_version
from testbed.host.processes import ChildProcess, Process
from testbed.paths import REPOSITORY

_REQUIREMENTS = Path(__file__).parent / "requirements" / "embedded.txt"
_MINISTACK = REPOSITORY / "bridge" / "ministack"
_START_SECONDS = 120


class OwnBroker:
    """What engines share whose devices speak to the bridge package's own broker; see `testbed.engines.base.Engine`."""

    def endpoints(self, place: Place) -> Endpoints:
        """Return where the engine answers."""
        raise NotImplementedError

    def start_broker(self, place: Place) -> Process:
        """Start the bridge package's own broker."""
        return start_own_broker(place, self.endpoints(place))

    def start_bridge(self, place: Place) -> Process:
        """Start the bridge; the broker tells it who published."""
        return start_bridge(place, self.endpoints(place), names_publishers=True)

    def start_data_plane(self, place: Place) -> Process:
        """Start the data plane; the broker tells it who asks."""
        return start_data_plane(place, self.endpoints(place), names_publishers=True)

    def wait_admitted(self, place: Place, stations: Sequence[str]) -> None:
        """Do nothing: the broker asks the registry at every connection."""

    def this_machine(self, place: Place) -> str:  # noqa: ARG002  # the contract's
        """Return loopback: they are child processes."""
        return "127.0.0.1"


class EmbeddedEngine(OwnBroker):
    """See `testbed.engines.base.Engine`."""

    name: EngineName = "embedded"
    lacks = Lacks()
    cloud = "ministack"
    pace = 1.0
    keeps_state = True
    users_own = False
    run_shards: ShardRunner | None = None

    def install(self) -> None:
        """Make ministack's environment from its lock."""
        ministack_environment()

    def prepare_streams(self) -> tuple[str, ...]:
        """Return nothing: ministack and `bridge.ministack.streams` have all of it."""
        return ()

    def versions(self) -> dict[str, str]:
        """Return ministack's version."""
        return {"ministack": locked_version(_REQUIREMENTS, "ministack")}

    def runtime(self) -> Runtime:
        """Return this very Python, on which functions run as child processes."""
        return Runtime.of_this_machine()

    def endpoints(self, place: Place) -> Endpoints:
        """Return one port for all APIs."""
        return Endpoints.on_loopback(place.ports.aws, place.ports.aws)

    def start_cloud(self, place: Place) -> list[Process]:
        """Start ministack, with its state kept over a graceful restart."""
        return [start_ministack(place, place.ports.aws, name=self.cloud)]

    def saved_state(self, place: Place, since: float) -> bool:
        """Look at its files: ministack 1.5.33 writes them when SIGTERM ends it, and no sooner."""
        files = place.data("ministack-state").glob("*.json")
        return any(file.stat().st_mtime >= since for file in files)

    def remove(self, place: Place) -> None:
        """Do nothing: nothing is left."""


def ministack_environment() -> Path:
    """Return the folder of the Python environment that has ministack, made from its lock if need be."""
    return environment("embedded", _REQUIREMENTS)


def ministack_command() -> list[str]:
    """Return the program that starts ministack, installed if need be; its settings are environment variables."""
    # -P: what lies beside the script must not pass for a package of ministack's.
    return [str(ministack_environment() / "bin" / "python"), "-P", str(_MINISTACK)]


def start_ministack(place: Place, port: int, *, name: str, functions_call: str | None = None) -> ChildProcess:
    """Start ministack and wait until it answers; its functions call it back, or AWS at ``functions_call``."""
    ministack = processes.start(
        name,
        ministack_command(),
        log=place.log(name),
        folder=place.folder,
        # Without AWS_ENDPOINT_URL above all: its Lambda workers would inherit it.
        environment=processes.clean_environment(
            GATEWAY_PORT=str(port),
            BIND_HOST="127.0.0.1",
            MINISTACK_REGION=place.region,
            # Its Athena is DuckDB, whose times would be the machine's own.
            TZ="UTC",
            # Devices connect to our broker; see ministack/data_plane.py.
            IOT_MTLS_ENABLED="0",
            DATA_PLANE_URL=data_plane_url(place),
            # "test"/"test", the testbed's own credentials, is the account's root; a function has its role's.
            AUTH=str(place.enforce_iam).lower(),
            QUESTIONS_FILE=str(questions_file(place)) if place.enforce_iam else "",
            PERSIST_STATE="1",
            STATE_DIR=str(place.data(f"{name}-state")),
            S3_PERSIST="1",
            S3_DATA_DIR=str(place.data(f"{name}-s3")),
            # It leaves folders in the temporary directory: let that be one that `make down` removes.
            TMPDIR=str(place.data(f"{name}-tmp")),
            **({"AWS_ENDPOINT_URL": functions_call} if functions_call else {}),
        ),
    )
    wait_for_aws(f"http://127.0.0.1:{port}", place.region, ministack)
    return ministack


def questions_file(place: Place) -> Path:
    """Return where ministack writes what IAM was asked, where it is enforced (`bridge/ministack/decisions.py`)."""
    return place.data("iam") / "questions.ndjson"


def start_own_broker(place: Place, endpoints: Endpoints) -> Process:
    """Start the bridge package's own broker alone, and wait until it listens."""
    trusted = [("--trusted-certificate", str(client_certificate(place, name))) for name in TRUSTED]
    broker = processes.start(
        "broker",
        [
            sys.executable,
            "-m",
            "bridge.broker",
            "--port",
            str(place.ports.mqtt),
            "--websocket-port",
            str(place.ports.websocket),
            "--certificate",
            str(place.certificates / "server.crt"),
            "--key",
            str(place.certificates / "server.key"),
            "--authority",
            str(place.certificates / "authority" / "ca.crt"),
            *(word for option in trusted for word in option),
            *(word for name in REQUIRED for word in ("--required-client", name)),
            "--iot-endpoint-url",
            endpoints.iot,
            "--aws-endpoint-url",
            endpoints.aws,
            "--region",
            place.region,
            "--state-dir",
            str(place.data("broker")),
        ],
        log=place.log("broker"),
        environment=processes.clean_environment(),
        folder=REPOSITORY,
    )
    processes.wait_until(
        lambda: not ports.is_free(place.ports.mqtt), what="The broker", seconds=_START_SECONDS, process=broker
    )
    return broker


def wait_for_aws(url: str, region: str, process: ChildProcess) -> None:
    """Wait until real calls are answered: a health page alone proves nothing."""
    session = emulated.session(region)

    def answers() -> bool:
        session.client("sqs", endpoint_url=url).list_queues()
        session.client("dynamodb", endpoint_url=url).list_tables()
        # ministack 1.5.33 loads its IoT part at the first call; two first calls at once are Terraform's way.
        session.client("iot", endpoint_url=url).list_policies()
        return True

    processes.wait_until(answers, what=process.name, seconds=_START_SECONDS, process=process)
