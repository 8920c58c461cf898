"""An emulator of AWS's APIs that the user brings and runs, with our broker, rules and data plane beside it.

AWS IoT's control plane is ministack's, as beside LocalStack: emulators lack it, or (moto 5) give a certificate another
id than AWS does, and then no device gets in.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from testbed.engines import embedded
from testbed.engines.base import Endpoints, EngineName, Lacks, Place, Runtime, ShardRunner
from testbed.engines.bridge import data_plane_url
from testbed.errors import TestbedError
from testbed.host import emulated, processes
from testbed.host.processes import Process
from testbed.paths import REPOSITORY

_SETTINGS = ("AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_START_SECONDS = 60


class ExternalEngine(embedded.OwnBroker):
    """See `testbed.engines.base.Engine`."""

    name: EngineName = "external"
    lacks = Lacks(
        features={
            "enforced IAM": ("What an emulator of yours enforces is its own.", "Leave ENFORCE_IAM out."),
            "processes of this machine": ("The emulator is yours.", "Use ENGINE=embedded."),
            "faults": ("The emulator is yours: it is not broken from here.", "Use ENGINE=embedded."),
        }
    )
    cloud = "front"
    pace = 0.1
    keeps_state = True
    users_own = True
    run_shards: ShardRunner | None = None

    def install(self) -> None:
        """Make the environment of ministack, for IoT."""
        embedded.EmbeddedEngine().install()

    def prepare_streams(self) -> tuple[str, ...]:
        """Return nothing: the user's emulator brings what it has."""
        return ()

    def versions(self) -> dict[str, str]:
        """Return ministack's version; the emulator's only its user knows."""
        return embedded.EmbeddedEngine().versions() | {self.cloud: "of the user's emulator"}

    def runtime(self) -> Runtime:
        """Return this machine's."""
        return Runtime.of_this_machine()

    def endpoints(self, place: Place) -> Endpoints:
        """Return the front for all but IoT, which is on a port of its own."""
        return replace(
            Endpoints.on_loopback(place.ports.aws, place.ports.iot), iot_data=data_plane_url(place)
        )

    def start_cloud(self, place: Place) -> list[Process]:
        """Start the front and the IoT control plane, and wait until the emulator answers.

        Raises:
            TestbedError: ``AWS_ENDPOINT_URL`` is not set, or nothing that speaks AWS's APIs is there.
        """
        given = {name: os.environ[name] for name in _SETTINGS if os.environ.get(name)}
        url = given.get("AWS_ENDPOINT_URL", "")
        if not url.startswith(("http://", "https://")):
            raise TestbedError(
                f"ENGINE=external wants an emulator's URL, and AWS_ENDPOINT_URL is {url!r}.",
                "Set AWS_ENDPOINT_URL=https://127.0.0.1:9297, say, and AWS_CA_BUNDLE for an authority of its own.",
            )
        not_built(place).unlink(missing_ok=True)
        front = processes.start(
            self.cloud,
            [
                sys.executable,
                "-m",
                "testbed.engines.external_front",
                "--port",
                str(place.ports.aws),
                "--not-built",
                str(not_built(place)),
            ],
            log=place.log(self.cloud),
            environment=processes.clean_environment(**given),
            folder=REPOSITORY,
        )
        iot = embedded.start_ministack(place, place.ports.iot, name="iot")
        session = emulated.session(place.region)
        processes.wait_until(
            lambda: _answers(session, self.endpoints(place).aws),
            what=url,
            seconds=_START_SECONDS,
            process=front,
        )
        return [front, iot]

    def saved_state(self, place: Place, since: float) -> bool:  # noqa: ARG002  # the contract's
        """Return True: what the emulator keeps is not ours to forget."""
        return True

    def remove(self, place: Place) -> None:
        """Do nothing: `testbed down` has had Terraform destroy what it made there."""


def not_built(place: Place) -> Path:
    """Return the file with what the emulator answered with 501, a line for each operation."""
    return place.log("not-built")


def _answers(session: boto3.Session, url: str) -> bool:
    """Return whether a call is carried out; one that is refused or not built is an answer, too."""
    try:
        session.client("sts", endpoint_url=url).get_caller_identity()
    except ClientError as error:
        return bool(error.response["ResponseMetadata"]["HTTPStatusCode"] != 502)
    except BotoCoreError:
        return False
    return True
