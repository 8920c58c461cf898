"""What a client of the drill is given: where it connects, as which thing, and where it says what it is doing."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from testbed.deploy.deployment import Deployment
from testbed.engines.base import Feature

Protocol = Literal["MQTT 3.1.1", "MQTT 5", "HTTPS"]

# Generous: a wait ends as soon as its condition holds.
PATIENCE_SECONDS = 30.0
# The user property that an MQTT 5 client sends with its message, and must get back.
USER_PROPERTY = ("sent-by", "clients")


class SkippedError(Exception):
    """This client cannot be tried here; its text says why, and how to get it."""


@dataclass
class Visit:
    """One client at one deployment, as the thing ``name``; ``partner`` is a second thing, for who needs two.

    ``doing`` is what the client does at the moment: a failure names it.
    """

    deployment: Deployment
    name: str
    protocol: Protocol
    policy: str
    folder: Path
    doing: str = field(default="", init=False)

    @property
    def partner(self) -> str:
        """A second thing's name."""
        return f"{self.name}-b"

    @property
    def is_five(self) -> bool:
        """Whether the client speaks MQTT 5."""
        return self.protocol == "MQTT 5"

    @property
    def topic(self) -> str:
        """A topic of this client's own."""
        return f"clients/{self.name}/echo"

    @property
    def host(self) -> str:
        """The broker's host."""
        return self.deployment.mqtt_host

    @property
    def port(self) -> int:
        """The broker's port."""
        return self.deployment.mqtt_port

    @property
    def ca(self) -> str:
        """The PEM file with the broker's authority."""
        return str(self.deployment.server_ca.resolve())

    def certificate(self, name: str = "") -> Path:
        """Return the certificate's file of a thing, of ``name`` without one."""
        return (self.folder / f"{name or self.name}.crt").resolve()

    def key(self, name: str = "") -> Path:
        """Return the key's file of a thing, of ``name`` without one."""
        return self.certificate(name).with_suffix(".key")

    def expect(self, what: str, found: Any, wanted: Any) -> None:
        """Do nothing where both are the same.

        Raises:
            AssertionError: they are not.
        """
        if found != wanted:
            raise AssertionError(f"{what}: {found!r} instead of {wanted!r}")


@dataclass(frozen=True)
class Client:
    """One row of the table: ``module`` is in this package, ``function`` in there takes a `Visit`.

    ``get``: how to get it where it is not installed. ``needs``: what some engine lacks. ``local``: why it
    is not tried on AWS.
    """

    name: str
    protocol: Protocol
    did: str
    module: str
    function: str
    get: str
    needs: Feature | None = None
    local: str = ""
