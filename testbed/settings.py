"""What the user chose, read from the environment once."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from testbed.errors import TestbedError
from testbed.paths import state_root

Target = Literal["local", "aws"]
# "localstack" is what the user asks for; it is "compose" where Docker answers, and else LocalStack as a process.
EngineName = Literal["embedded", "localstack", "compose"]

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

    @classmethod
    def from_environment(cls) -> Self:
        """Read TARGET, ENGINE, DEPLOYMENT, AWS_REGION, ENVIRONMENT, *_PORT, AIR_GAPPED and ENFORCE_IAM.

        Raises:
            TestbedError: a value is none of those allowed.
        """
        target = os.environ.get("TARGET") or "local"
        if target not in ("local", "aws"):
            raise TestbedError(f"TARGET={target} is unknown.", "Use TARGET=local or TARGET=aws.")
        engine = os.environ.get("ENGINE") or None
        if engine not in (None, "embedded", "localstack", "compose"):
            raise TestbedError(f"ENGINE={engine} is unknown.", "Use ENGINE=embedded or ENGINE=localstack.")
        name = os.environ.get("DEPLOYMENT") or "default"
        if not name.replace("-", "").isalnum():
            raise TestbedError(f"DEPLOYMENT={name} is not usable.", "Use letters, digits and hyphens.")
        fixed_ports = name == "default"
        return cls(
            target=target,  # type: ignore[arg-type]  # narrowed by the test above
            engine=engine,  # type: ignore[arg-type]
            name=name,
            region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "eu-central-1",
            environment=os.environ.get("ENVIRONMENT") or "dev",
            aws_port=_port("AWS_PORT", AWS_PORT if fixed_ports else None),
            mqtt_port=_port("MQTT_PORT", MQTT_PORT if fixed_ports else None),
            metrics_port=_port("METRICS_PORT", METRICS_PORT if fixed_ports else None),
            air_gapped=_flag("AIR_GAPPED"),
            enforce_iam=bool(_flag("ENFORCE_IAM")),
        )

    def engines(self) -> tuple[EngineName, ...]:
        """The engines that a deployment of these settings may have."""
        if self.engine is None:
            return "compose", "embedded", "localstack"
        return ("compose", "localstack") if self.engine == "localstack" else (self.engine,)

    def folder(self, engine: EngineName | None) -> Path:
        """The folder of this deployment."""
        place = self.target if self.target == "aws" else f"local-{engine}"
        return state_root() / "deployments" / f"{place}-{self.name}"


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
