"""What the user chose, read from the environment once."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from testbed.deploy.project import project
from testbed.engines import choice
from testbed.engines.base import EngineName
from testbed.errors import TestbedError
from testbed.paths import state_root

Target = Literal["local", "aws"]

# What a local deployment keeps for as long as it lives.
_UNCHANGEABLE = (
    "ENVIRONMENT",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_PORT",
    "MQTT_PORT",
    "METRICS_PORT",
    "ENFORCE_IAM",
)

AWS_PORT = 4566
MQTT_PORT = 8883
METRICS_PORT = 9464


@dataclass(frozen=True)
class Settings:
    """The choices that a command line and its environment make.

    ``name`` keeps deployments apart: each has a folder, ports and processes of its own, so the tests
    never touch the deployment that somebody works with. Ports are None where any free one will do.
    """

    target: Target
    engine: EngineName | None
    name: str
    region: str
    environment: str
    aws_port: int | None
    mqtt_port: int | None
    metrics_port: int | None
    air_gapped: bool | None
    enforce_iam: bool
    # First part of every resource's name; of AWS alone, as the rest here.
    project: str = "ev-swap"
    # Where stations connect, if not where DescribeEndpoint says: a domain of one's own, or a VPC's endpoint.
    iot_endpoint: tuple[str, int] | None = None
    lambda_python: str = "3.13"
    lambda_architecture: str = "arm64"
    # What the cost before an apply is told for.
    stations: int = 1000
    interval: float = 5
    # The variables that were set; the others have their defaults.
    given: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Refuse what cannot be had together.

        Raises:
            TestbedError: two servers would share a port.
        """
        wanted: dict[int, str] = {}
        for variable, port in (
            ("AWS_PORT", self.aws_port),
            ("MQTT_PORT", self.mqtt_port),
            ("METRICS_PORT", self.metrics_port),
        ):
            if port is None:
                continue
            if port in wanted:
                raise TestbedError(
                    f"{wanted[port]} and {variable} are both {port}.",
                    f"Give each a port of its own: make up {variable}={port + 1}, say.",
                )
            wanted[port] = variable

    @classmethod
    def from_environment(cls) -> Self:
        """Read the variables that docs/setup-guide.md lists.

        Raises:
            TestbedError: a value is none of those allowed.
        """
        target = os.environ.get("TARGET") or "local"
        if target not in ("local", "aws"):
            raise TestbedError(f"TARGET={target} is unknown.", "Use TARGET=local or TARGET=aws.")
        engine = os.environ.get("ENGINE") or None
        if engine not in (None, *choice.NAMES):
            raise TestbedError(f"ENGINE={engine} is unknown.", "Use ENGINE=embedded, localstack or external.")
        name = os.environ.get("DEPLOYMENT") or "default"
        if not name.replace("-", "").isalnum():
            raise TestbedError(f"DEPLOYMENT={name} is not usable.", "Use letters, digits and hyphens.")
        fixed_ports = name == "default"
        return cls(
            target=target,  # type: ignore[arg-type]  # narrowed by the test above
            engine=engine,
            name=name,
            region=os.environ.get("AWS_REGION")
            or os.environ.get("AWS_DEFAULT_REGION")
            or (project().region("aws") if target == "aws" else "")
            or "eu-central-1",
            environment=os.environ.get("ENVIRONMENT") or "dev",
            aws_port=_port("AWS_PORT", AWS_PORT if fixed_ports else None),
            mqtt_port=_port("MQTT_PORT", MQTT_PORT if fixed_ports else None),
            metrics_port=_port("METRICS_PORT", METRICS_PORT if fixed_ports else None),
            air_gapped=_flag("AIR_GAPPED"),
            enforce_iam=bool(_flag("ENFORCE_IAM")),
            project=os.environ.get("PROJECT") or project().described.name,
            iot_endpoint=_host_and_port("IOT_ENDPOINT"),
            lambda_python=os.environ.get("LAMBDA_PYTHON") or "3.13",
            lambda_architecture=os.environ.get("LAMBDA_ARCHITECTURE") or "arm64",
            stations=int(_number("STATIONS", 1000)),
            interval=_number("INTERVAL", 5),
            given=frozenset(name for name in _UNCHANGEABLE if os.environ.get(name)),
        )

    def engines(self) -> tuple[EngineName, ...]:
        """Return the engines that a deployment of these settings may have."""
        return choice.candidates(self.engine)

    def folder(self, engine: EngineName | None) -> Path:
        """Return the folder of this deployment."""
        if self.target == "aws":
            # What Terraform's state is of: the user's machine may know many of one account.
            name = f"aws-{self.region}-{self.project}-{self.environment}"
        else:
            name = f"local-{engine}-{self.name}"
        return state_root() / "deployments" / name


def _port(variable: str, default: int | None) -> int | None:
    text = os.environ.get(variable)
    if not text:
        return default
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise TestbedError(f"{variable}={text} is not a port.", "Use a number from 1 to 65535.")
    return int(text)


def _flag(variable: str) -> bool | None:
    text = os.environ.get(variable, "").lower()
    if text not in ("", "0", "1", "true", "false"):
        raise TestbedError(f"{variable}={text} is unknown.", "Use 1 or 0.")
    return None if not text else text in ("1", "true")


def _number(variable: str, default: float) -> float:
    text = os.environ.get(variable) or str(default)
    try:
        number = float(text)
    except ValueError:
        number = 0
    if number <= 0:
        raise TestbedError(f"{variable}={text} is not a number above 0.", f"Use {variable}={default:g}, say.")
    return number


def _host_and_port(variable: str) -> tuple[str, int] | None:
    text = os.environ.get(variable)
    if not text:
        return None
    host, _, port = text.partition(":")
    if not host or (port and not port.isdigit()):
        raise TestbedError(f"{variable}={text} is no address.", "Use a host, or host:port.")
    return host, int(port or MQTT_PORT)
