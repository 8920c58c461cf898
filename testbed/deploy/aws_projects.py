"""`plan`, `up` and `down` on AWS for a project of the user's own: what Terraform says, and nothing of the network here.

The state is the testbed's, in a bucket of the account, whatever ``backend`` says: a `down` must never destroy what
somebody deploys by hand.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import boto3

from testbed.deploy import packaging, providers, terraform
from testbed.deploy.deployment import Deployment
from testbed.deploy.project import project
from testbed.deploy.settings import Settings
from testbed.deploy.state import RemoteState
from testbed.deploy.terraform import Cloud, Workspace, fingerprint, require
from testbed.engines.base import Runtime
from testbed.errors import TestbedError
from testbed.identity.enrolment import Enrolment
from testbed.paths import PROJECT_FILE, REPOSITORY, state_root

Say = Callable[[str], None]
Confirm = Callable[[str], bool]

_NOT_PRICED = "Cost: not priced; the prices here are those of the battery-swap network."


@dataclass
class _Stage:
    deployment: Deployment
    workspace: Workspace
    state: RemoteState
    packages: Path


def is_own() -> bool:
    """Return whether the project is the user's own, and not the network of this repository."""
    return project().folder != REPOSITORY


def packages(settings: Settings) -> tuple[Runtime, Path]:
    """Build the project's functions for AWS; return for which runtime, and the folder of the zips."""
    runtime = Runtime.on_linux(settings.lambda_python, settings.lambda_architecture)
    folder = state_root() / "packages" / "aws"
    packaging.build(runtime, folder)
    return runtime, folder


def plan(settings: Settings, account: str, say: Say) -> None:
    """Show what `up` would change; make nothing.

    Raises:
        TestbedError: Terraform failed.
    """
    stage = _prepare(settings, account, say, make=False)
    if stage.workspace.plan():
        say(_NOT_PRICED)
        say("Nothing was changed. Apply it: TARGET=aws testbed up")
    else:
        say("Up to date: there is nothing to change.")


def up(settings: Settings, account: str, say: Say, confirm: Confirm) -> Deployment:
    """Plan, show it, ask, apply.

    Raises:
        TestbedError: not confirmed, or Terraform failed.
    """
    stage = _prepare(settings, account, say)
    deployment, workspace = stage.deployment, stage.workspace
    if workspace.plan():
        say(_NOT_PRICED)
        if not confirm(f"Apply this plan to account {account}?"):
            raise TestbedError("Not applied: the plan was not confirmed.")
        # From here on there may be something to remove.
        deployment.save()
        outputs = workspace.apply(planned=True)
    else:
        outputs = workspace.outputs()
    policy = project().described.devices.policy
    found = {policy: terraform.policy_name(workspace.state(), policy)} if "." in policy else {}
    deployment.take_outputs(outputs | found, workspace.secret_outputs)
    deployment.api_url = deployment.outputs.api_gateway_invoke_url
    deployment.fingerprint = fingerprint(workspace.variables, stage.packages)
    if not policy:
        say(
            f"{PROJECT_FILE} names no thing policy (devices.policy): on AWS no device is enrolled without one"
        )
    return deployment


def down(
    settings: Settings, deployment: Deployment, enrol: Callable[[], Enrolment], account: str, say: Say
) -> None:
    """Remove the devices that were enrolled from here, destroy what Terraform's state has, and then the state.

    Args:
        settings: what to remove.
        deployment: as it was saved.
        enrol: gives its devices; called only where the project has a thing policy.
        account: the AWS account's number.
        say: prints a line.

    Raises:
        TestbedError: Terraform failed; the state and what it names stay.
    """
    if deployment.applied and deployment.outputs.iot_policy_name:
        # Certificates hold the policy: Terraform cannot remove that before them.
        say(f"Removed {enrol().remove()} devices from AWS IoT")
    stage = _prepare(settings, account, say)
    stage.workspace.destroy()
    say(
        "Destroyed all that Terraform's state had; what the project's functions made themselves is theirs to remove."
    )
    if stage.state.remove():
        say(f"Removed the state's bucket {stage.state.bucket}: no other deployment used it")


def _prepare(settings: Settings, account: str, say: Say, *, make: bool = True) -> _Stage:
    session = boto3.Session(region_name=settings.region)
    deployment = Deployment.of_aws(settings)
    here = project()
    state = RemoteState(session, settings.project, settings.environment, account)
    if make and state.ensure():
        say(f"Made the bucket for Terraform's state: {state.bucket}")
    runtime, zips = packages(settings)
    working = providers.working_folder(here, deployment.path / "terraform", air_gapped=deployment.air_gapped)
    packaging.put(here, zips, deployment.path / "terraform" / "project")
    workspace = Workspace(
        working,
        Cloud(settings.region),
        variables(settings, runtime, zips),
        providers=providers.choose(deployment.air_gapped),
        packages=zips,
        # Before the first `up` there is no state: a plan of nothing needs none.
        state=state if make or state.exists() else None,
        say=say,
    )
    require(workspace.terraform, (1, 10), "the lock of a state in S3")
    workspace.prepare()
    say(f"Versions: {workspace.versions()}, boto3 {boto3.__version__}")
    return _Stage(deployment, workspace, state, zips)


def variables(settings: Settings, runtime: Runtime, zips: Path) -> dict[str, object]:
    """Return Terraform's variables: those of ``terraform.aws``."""
    return project().aws_variables(
        {
            "region": settings.region,
            "environment": settings.environment,
            "packages": str(zips),
            "python": runtime.python,
            "architecture": runtime.architecture,
            # The AWS SDKs find it.
            "iot_data": "",
        }
    )
