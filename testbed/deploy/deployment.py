"""A deployment: what `make up` made and everything else reads, kept in one JSON file."""

from collections.abc import Callable, Container, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import boto3
import msgspec
from botocore.config import Config

from testbed.deploy.outputs import API_KEY, Outputs
from testbed.deploy.project import project
from testbed.deploy.settings import Settings, Target
from testbed.deploy.terraform import Cloud
from testbed.engines import choice
from testbed.engines.base import Engine, EngineName, Place, Ports
from testbed.engines.bridge import data_plane_url
from testbed.errors import TestbedError
from testbed.host.processes import Process
from testbed.paths import state_root

_FILE = "deployment.json"
# boto3's names of what AWS IoT's data plane answers.
_DATA_PLANE = frozenset({"iot-data", "iot-jobs-data"})


class Deployment(msgspec.Struct, kw_only=True, dict=True):
    """What is up, and where.

    ``engine`` and ``ports`` are None on AWS; ``fingerprint`` is the hash of what was applied;
    ``terraform_outputs`` has every output but the secret ones, under Terraform's names.
    """

    target: Target
    engine_name: EngineName | None = msgspec.field(name="engine")
    name: str
    region: str
    environment: str
    folder: str
    air_gapped: bool
    ports: Ports | None = None
    enforce_iam: bool = False
    processes: dict[str, Process] = {}
    applied: Outputs | None = msgspec.field(name="outputs", default=None)
    terraform_outputs: dict[str, Any] = {}
    fingerprint: str = ""
    aws_url: str | None = None
    iot_url: str | None = None
    api_url: str = ""
    mqtt_host: str = ""
    mqtt_port: int = 8883

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Return the deployment in ``folder``, or None."""
        try:
            return msgspec.json.decode((folder / _FILE).read_bytes(), type=cls)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise TestbedError(f"{folder / _FILE} cannot be read: {error}.", "Remove that folder.") from error

    @classmethod
    def of_aws(cls, settings: Settings) -> Self:
        """Return the deployment to AWS that the settings name, saved before or new, in a folder that is there."""
        folder = settings.folder(None)
        deployment = cls.load(folder) or cls(
            target="aws",
            engine_name=None,
            name=settings.name,
            region=settings.region,
            environment=settings.environment,
            folder=str(folder),
            air_gapped=bool(settings.air_gapped),
        )
        deployment.make_folder()
        return deployment

    def save(self) -> None:
        """Write it, whole or not at all."""
        self.make_folder()
        partial = self.path / f"{_FILE}.partial"
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1))
        partial.rename(self.path / _FILE)

    @property
    def outputs(self) -> Outputs:
        """What Terraform made.

        Raises:
            TestbedError: it has not been applied yet.
        """
        if self.applied is None:
            raise TestbedError("Terraform has not been applied to this deployment.", "Deploy: make up")
        return self.applied

    @cached_property
    def engine(self) -> Engine | None:
        """The engine that plays AWS; None on AWS itself."""
        return choice.engine(self.engine_name) if self.engine_name else None

    @property
    def local_engine(self) -> Engine:
        """The engine, for what can be done to a local deployment alone.

        Raises:
            TestbedError: the deployment is on AWS.
        """
        if self.engine is None:
            raise TestbedError("This is for local deployments.", "Leave TARGET=aws out.")
        return self.engine

    @property
    def cloud_name(self) -> str:
        """The engine's name, or ``aws``."""
        return self.engine_name or self.target

    @property
    def path(self) -> Path:
        """Its folder."""
        return Path(self.folder)

    def make_folder(self) -> None:
        """Make its folder, for its owner alone: state, plans and keys are in there."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o700)

    @property
    def api_key_file(self) -> Path:
        """The file with the API's key, mode 0600."""
        return self.path / "api-key"

    @property
    def api_key(self) -> str:
        """What callers of the API send as ``x-api-key``.

        Raises:
            TestbedError: the deployment has none yet.
        """
        try:
            return self.api_key_file.read_text()
        except FileNotFoundError as error:
            raise TestbedError(f"{self.api_key_file} is not there.", "Deploy again: make up") from error

    def take_outputs(self, outputs: Mapping[str, Any], secret: Container[str] = ()) -> None:
        """Keep Terraform's outputs, of those in ``secret`` the API's key alone, in a file of its own."""
        described, policy = project().described, project().described.devices.policy
        if (key := described.outputs.get(API_KEY)) and key in outputs:
            self.keep_api_key(outputs[key])
        names = described.outputs | ({"iot_policy_name": policy} if policy else {})
        self.applied = Outputs.named(outputs, names)
        self.terraform_outputs = {
            name: value for name, value in outputs.items() if name not in secret and name != key
        }

    def keep_api_key(self, value: str) -> None:
        """Write the key where only its owner can read it."""
        self.make_folder()
        self.api_key_file.touch(mode=0o600)
        self.api_key_file.chmod(0o600)
        self.api_key_file.write_text(value)

    @property
    def topic_root(self) -> str:
        """What stands before a station's name in its topics."""
        return self.outputs.topic_root

    def telemetry_topic(self, station: str) -> str:
        """Return the topic that a station's telemetry goes to."""
        return project().device_topic(station, self.topic_root)

    @property
    def topic_filter(self) -> str:
        """All stations' telemetry."""
        return self.telemetry_topic("+")

    @property
    def place(self) -> Place:
        """Its place, for a local engine."""
        assert self.ports is not None  # noqa: S101  # asked of local deployments alone
        return Place(self.path, self.ports, self.region, self.enforce_iam)

    @property
    def certificates(self) -> Path:
        """The stations' certificates and keys."""
        return self.path / "certs" / "stations"

    @property
    def authority(self) -> Path:
        """The fleet's certificate authority."""
        return self.path / "certs" / "authority"

    @property
    def server_ca(self) -> Path:
        """The PEM file with the authority that the MQTT endpoint's certificate comes from."""
        return (
            self.path / "certs" / "AmazonRootCA1.pem" if self.target == "aws" else self.authority / "ca.crt"
        )

    @property
    def cloud(self) -> Cloud:
        """Where Terraform applies to."""
        return Cloud(self.region, self.aws_url, self.iot_url)

    @cached_property
    def session(self) -> boto3.Session:
        """Credentials and region for it."""
        return self.cloud.session()

    def client(self, service: str, **options: Any) -> Any:
        """Return a boto3 client of ``service`` in this deployment."""
        retries = Config(retries={"mode": "standard", "max_attempts": 5}, **options)
        make: Callable[..., Any] = self.session.client
        return make(service, endpoint_url=self._url(service), config=retries)

    def _url(self, service: str) -> str | None:
        """Return where a service answers; None: at AWS."""
        if service == "iot":
            return self.iot_url
        if service in _DATA_PLANE and self.iot_url != self.aws_url:
            # An emulator without AWS IoT hands nothing over.
            return data_plane_url(self.place)
        return self.aws_url

    def alive(self) -> bool:
        """Return whether every process that it needs runs."""
        return all(process.alive() for process in self.processes.values())


def current(settings: Settings) -> Deployment:
    """Return the deployment that the settings name; the engine may be left open where only one is up.

    Raises:
        TestbedError: there is none.
    """
    engines: list[EngineName | None]
    engines = [None] if settings.target == "aws" else list(settings.engines())
    begun = [made for engine in engines if (made := Deployment.load(settings.folder(engine)))]
    found = [made for made in begun if made.fingerprint]
    running = [deployment for deployment in found if deployment.alive()]
    if not running:
        if found:
            dead = [name for name, process in found[0].processes.items() if not process.alive()]
            raise TestbedError(f"{', '.join(dead)} died since `make up`.", "Start it again: make up")
        if settings.target == "aws":
            raise TestbedError("Nothing is up.", "Start it: make up TARGET=aws")
        if begun:
            raise TestbedError(
                "An `up` was not finished.", "Go on: make up. Or remove what there is: make down"
            )
        others = _others(settings)
        raise TestbedError(
            nothing_is_up(settings),
            "Start it: make up" + (f". Or ask for the other: {others[0]}" if others else ""),
        )
    return running[0]


def nothing_is_up(settings: Settings) -> str:
    """Say that, and which other deployments are."""
    others = _others(settings)
    return "Nothing is up" + (f" as DEPLOYMENT={settings.name}; {', '.join(others)} is." if others else ".")


def _others(settings: Settings) -> list[str]:
    """Name the local deployments that are up beside that of the settings, as the setting ``DEPLOYMENT`` does."""
    if settings.target == "aws":
        return []
    return sorted({f"DEPLOYMENT={each.name}" for each in _all_local() if each.name != settings.name})


def _all_local() -> Iterator[Deployment]:
    """Yield every local deployment of this machine's that runs."""
    for file in state_root().glob(f"deployments/local-*/{_FILE}"):
        deployment = Deployment.load(file.parent)
        if deployment and deployment.fingerprint and deployment.alive():
            yield deployment
