"""LocalStack, Mosquitto, the bridge and the IoT control plane as containers, by docker-compose.yml."""

import hashlib
import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from testbed.engines.base import (
    LOCALSTACK_LACKS,
    LOCALSTACK_STREAMS_LACK,
    Endpoints,
    EngineName,
    Feature,
    Place,
    Runtime,
    ShardRunner,
)
from testbed.engines.bridge import BRIDGE, DATA_PLANE, READER, client_certificate
from testbed.engines.mosquitto import wait_admitted
from testbed.errors import TestbedError
from testbed.host import containers, processes
from testbed.host.processes import Container, Process
from testbed.paths import REPOSITORY

# Who the containers run as where we are root ourselves; as in docker/Dockerfile.
_USER = 10001
_BUILT = ("iot", "broker", "bridge", "data-plane")
_LOCALSTACK = "localstack/localstack:4.14.0"
_START_SECONDS = 300
_BUILD_SECONDS = 900
_FUNCTIONS_PYTHON = "3.13"

_MISSING: dict[Feature, tuple[str, str]] = {
    **LOCALSTACK_LACKS.features,
    "processes of this machine": (
        "The processes of containers can be neither measured nor killed at an exact call from here.",
        "Use ENGINE=embedded.",
    ),
}


def _run_shards(place: Place, shards: int, certificates: bytes, **settings: str) -> list[Path]:
    """Run the service `simulator` of docker-compose.yml, once for each shard, and gather the ledgers."""
    folder, ledgers = place.folder / "container-certs" / "simulator", place.folder / "container-ledgers"
    for made in (folder, ledgers):
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(parents=True)
    environment = _environment(place) | settings | {"SHARDS": str(shards), "LEDGERS": str(ledgers)}
    with tarfile.open(fileobj=io.BytesIO(certificates)) as files:
        files.extractall(folder, filter="data")
    if os.geteuid() == 0:
        for path in (*folder.iterdir(), ledgers):
            os.chown(path, _USER, _USER)
    image = f"ev-swap-testbed/simulator:{images_tag()}"
    if not containers.has_image(image):
        _compose(["build", "--quiet", "simulator"], environment, what=f"build {image}")

    def run_shard(number: int) -> None:
        named = ["--name", f"{_shards(place)}{number}", "--env", f"SHARD={number}"]
        # In the foreground: it ends when the shard ends.
        _compose(
            ["run", "--rm", "--no-TTY", "--no-deps", *named, "simulator"],
            environment,
            what=f"run shard {number} of {shards}",
            seconds=_BUILD_SECONDS + float(settings["DURATION"]),
        )

    try:
        with ThreadPoolExecutor(shards) as beside:
            list(beside.map(run_shard, range(1, shards + 1)))
    finally:
        containers.remove(_shards(place))
        shutil.rmtree(folder, ignore_errors=True)
    return sorted(ledgers.glob("shard-*.ndjson"))


class ComposeEngine:
    """See `testbed.engines.base.Engine`."""

    name: EngineName = "compose"
    lacks = replace(LOCALSTACK_LACKS, features=_MISSING)
    cloud = "localstack"
    pace = 1.0
    keeps_state = False
    users_own = False
    run_shards: ShardRunner | None = staticmethod(_run_shards)

    def install(self) -> None:
        """Build our images unless they are here as the sources are now, and pull LocalStack's unless it is here.

        Raises:
            TestbedError: a registry cannot be reached, or a build failed.
        """
        ours = {service: f"ev-swap-testbed/{service}:{images_tag()}" for service in _BUILT}
        missing = [service for service, image in ours.items() if not containers.has_image(image)]
        if missing:
            _compose(
                ["build", "--quiet", *missing], _no_place(), what="build the images of docker/Dockerfile"
            )
        if not containers.has_image(_LOCALSTACK):
            _compose(["pull", "--quiet", "localstack"], _no_place(), what=f"pull {_LOCALSTACK}")

    def prepare_streams(self) -> tuple[str, ...]:
        """Return what LocalStack lacks; its container gets Kinesis' server by itself."""
        return LOCALSTACK_STREAMS_LACK

    def versions(self) -> dict[str, str]:
        """Return those of LocalStack's image, of Docker and Compose, and the tag of the images that we build."""
        return {
            "localstack": _LOCALSTACK.rpartition(":")[2],
            "our images": images_tag(),
            "docker": containers.daemon_version(),
            "compose": _said([*(_program() or ["docker-compose"]), "version", "--short"]) or "absent",
        }

    def runtime(self) -> Runtime:
        """Return Linux of the daemon's architecture, which is taken to be ours."""
        architecture = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
        machine = "aarch64" if architecture == "arm64" else "x86_64"
        return Runtime(_FUNCTIONS_PYTHON, architecture, f"{machine}-manylinux_2_28")

    def endpoints(self, place: Place) -> Endpoints:
        """Return LocalStack for all but IoT, which is on a port of its own."""
        # Functions are containers of the same network.
        return replace(
            Endpoints.on_loopback(place.ports.aws, place.ports.iot), iot_data="http://data-plane:9443"
        )

    def start_cloud(self, place: Place) -> list[Process]:
        """Start LocalStack and the IoT control plane, and wait until they are healthy."""
        _remove_functions(place)
        return _up(place, "localstack", "iot")

    def start_broker(self, place: Place) -> Process:
        """Start Mosquitto."""
        return _up(place, "broker")[0]

    def start_bridge(self, place: Place) -> Process:
        """Start the bridge."""
        return _up(place, BRIDGE)[0]

    def start_data_plane(self, place: Place) -> Process:
        """Start the data plane."""
        return _up(place, DATA_PLANE)[0]

    def wait_admitted(self, place: Place, stations: Sequence[str]) -> None:
        """Wait until Mosquitto's access list has them."""
        wait_admitted(place, stations)

    def this_machine(self, place: Place) -> str:
        """Return the gateway of the deployment's network.

        Raises:
            TestbedError: the daemon is in a virtual machine, whose gateway is not us.
        """
        if sys.platform != "linux":
            raise TestbedError(
                "Containers reach a server on this machine only where the Docker daemon runs on it, on Linux.",
                "Use ENGINE=embedded.",
            )
        return containers.gateway(f"{_project(place)}_default")

    def saved_state(self, place: Place, since: float) -> bool:  # noqa: ARG002  # the contract's
        """Return False: free LocalStack keeps its state in memory."""
        return False

    def remove(self, place: Place) -> None:
        """Remove containers, those of functions as well, network and volumes."""
        _remove_functions(place)
        _compose(["down", "--volumes", "--timeout", "15"], _environment(place), what="remove the containers")


def compose_answers() -> bool:
    """Return whether there is a Docker daemon, and Compose, and what they run: an installed testbed has no images."""
    return (
        (REPOSITORY / "docker-compose.yml").is_file()
        and containers.daemon_answers()
        and _program() is not None
    )


def images_tag() -> str:
    """Return the tag of our images: of all that goes into them."""
    digest = hashlib.sha256()
    sources = [
        REPOSITORY / "docker" / "Dockerfile",
        *(REPOSITORY / "docker").glob("*.txt"),
        REPOSITORY / "testbed" / "engines" / "requirements" / "embedded.txt",
        *(REPOSITORY / "bridge").rglob("*.py"),
        *(REPOSITORY / "bridge").rglob("*.lark"),
        *(REPOSITORY / "simulator").rglob("*.py"),
        *(REPOSITORY / "simulator").rglob("*.toml"),
    ]
    for source in sorted(sources):
        digest.update(f"{source.relative_to(REPOSITORY)}\0".encode() + source.read_bytes())
    return digest.hexdigest()[:12]


def _up(place: Place, *services: str) -> list[Process]:
    started: list[Process] = [Container(service, _container(place, service)) for service in services]
    for container in started:
        processes.collect(container)
    _compose(
        [
            "up",
            "--detach",
            "--no-deps",
            "--no-build",
            "--wait",
            "--wait-timeout",
            str(_START_SECONDS),
            *services,
        ],
        _environment(place),
        what=f"start {' and '.join(services)}",
        more=" or ".join(process.where for process in started),
    )
    return started


def _project(place: Place) -> str:
    return f"ev-swap-{place.folder.name}"


def _container(place: Place, service: str) -> str:
    """Return the name that Compose gives it."""
    return f"{_project(place)}-{service}-1"


def _shards(place: Place) -> str:
    """Return how the names of shards' containers begin."""
    return f"{_project(place)}-shard-"


def _remove_functions(place: Place) -> None:
    """Remove the containers of functions: a LocalStack that is killed leaves them, and they keep the network."""
    containers.remove(f"{_container(place, 'localstack')}-lambda-")


def _environment(place: Place) -> dict[str, str]:
    """Return what docker-compose.yml asks for."""
    uid = os.geteuid() or _USER
    gid = os.getegid() or _USER
    return processes.clean_environment(
        COMPOSE_PROJECT_NAME=_project(place),
        AWS_REGION=place.region,
        AWS_PORT=str(place.ports.aws),
        IOT_PORT=str(place.ports.iot),
        MQTT_PORT=str(place.ports.mqtt),
        BROKER_PORT=str(place.ports.broker),
        DATA_PORT=str(place.ports.data),
        HTTPS_PORT=str(place.ports.https),
        METRICS_PORT=str(place.ports.metrics),
        BRIDGE_CALLS=place.bridge_calls or "http://localstack:4566",
        IMAGES=images_tag(),
        TESTBED_USER=f"{uid}:{gid}",
        CERTIFICATES=str(_certificates(place, uid, gid)),
        DOCKER_SOCKET=containers.socket_path(),
    )


def _no_place() -> dict[str, str]:
    return processes.clean_environment(CERTIFICATES=os.devnull, IMAGES=images_tag())


def _certificates(place: Place, uid: int, gid: int) -> Path:
    """Return a folder for each service, with a copy of what it needs and nothing else, for the user that it runs as.

    The authority's key is the broker's alone, which signs revocations: with it one could be any station.
    """
    authority = place.certificates / "authority"
    bridge, data_plane, reader = (client_certificate(place, name) for name in (BRIDGE, DATA_PLANE, READER))
    needed = {
        "broker": [
            authority / "ca.crt",
            authority / "ca.key",
            place.certificates / "server.crt",
            place.certificates / "server.key",
        ],
        BRIDGE: [authority / "ca.crt", bridge, bridge.with_suffix(".key")],
        DATA_PLANE: [
            authority / "ca.crt",
            data_plane,
            data_plane.with_suffix(".key"),
            reader,
            reader.with_suffix(".key"),
            place.certificates / "server.crt",
            place.certificates / "server.key",
        ],
    }
    for service, sources in needed.items():
        folder = place.folder / "container-certs" / service
        folder.mkdir(parents=True, exist_ok=True)
        for source in sources:
            if not source.is_file():
                continue  # the server's is made just before the broker starts
            # Whole at once: the services are started beside each other.
            partial = folder / f".{source.name}.{threading.get_ident()}"
            partial.touch(mode=0o600)
            shutil.copyfile(source, partial)
            if os.geteuid() == 0:
                os.chown(partial, uid, gid)
            partial.rename(folder / source.name)
    return place.folder / "container-certs"


def _program() -> list[str] | None:
    """Compose, as a plugin of Docker's or by itself."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if _said([*command, "version", "--short"]):
            return command
    return None


def _said(command: Sequence[str]) -> str:
    """Return what a command prints; nothing if it fails."""
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _compose(
    arguments: Sequence[str],
    environment: dict[str, str],
    *,
    what: str,
    more: str = "docker ps --all",
    seconds: float = _BUILD_SECONDS,
) -> None:
    program = _program()
    if program is None:
        raise TestbedError("Docker Compose does not answer.", "Install it, or use ENGINE=embedded.")
    try:
        done = subprocess.run(
            [*program, "--file", str(REPOSITORY / "docker-compose.yml"), *arguments],
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise TestbedError(
            f"Docker Compose cannot {what} within {seconds / 60:.0f} minutes.",
            "Does the image registry answer? ENGINE=embedded needs no Docker.",
        ) from error
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()] or ["no message"]
        raise TestbedError(
            f"Docker Compose cannot {what}: {said[-1].strip()}",
            f"More: {more}. ENGINE=embedded needs no Docker.",
        )
