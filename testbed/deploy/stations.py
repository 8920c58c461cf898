"""Give stations of a deployment their certificates."""

from collections.abc import Sequence
from pathlib import Path

from bridge.authority import Authority
from testbed.deploy.deployment import Deployment
from testbed.errors import TestbedError
from testbed.identity.enrolment import Enrolment
from testbed.paths import PROJECT_FILE


def enrolment_of(
    deployment: Deployment, *, policy: str | None = None, folder: Path | None = None
) -> Enrolment:
    """Return the deployment's stations; or other devices, with another policy and in another folder.

    Raises:
        TestbedError: there is no policy.
    """
    policy = policy or deployment.outputs.iot_policy_name
    if not policy:
        raise TestbedError(
            f"{PROJECT_FILE} names no thing policy, which a device on AWS needs.",
            "Name it: devices.policy, the Terraform output with its name or its address.",
        )
    return Enrolment(
        deployment.session,
        deployment.iot_url,
        authority=Authority.load_or_create(deployment.authority, name="EV swap fleet CA"),
        policy=policy,
        folder=folder or deployment.certificates,
        admitted=lambda stations: wait_admitted(deployment, stations),
    )


def wait_admitted(deployment: Deployment, stations: Sequence[str]) -> None:
    """Wait until the broker knows stations that are enrolled; on AWS there is nothing to wait for."""
    if deployment.engine is not None:
        deployment.engine.wait_admitted(deployment.place, stations)
