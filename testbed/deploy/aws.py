"""`make plan`, `make up` and `make down` on AWS."""

import os
import shutil
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import botocore
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from testbed.cost import bill, designs, price_list
from testbed.cost.bill import Workload
from testbed.deploy import aws_projects, page_files, policies, preflight, providers
from testbed.deploy.account import Account
from testbed.deploy.deployment import Deployment
from testbed.deploy.design import chosen_design, replica_regions, switches
from testbed.deploy.leftovers import leftovers
from testbed.deploy.needs import Site
from testbed.deploy.settings import Settings
from testbed.deploy.state import RemoteState
from testbed.deploy.terraform import Cloud, Workspace, fingerprint, is_set, require, switched_on
from testbed.errors import TestbedError
from testbed.identity.enrolment import Enrolment
from testbed.paths import TERRAFORM, state_root

Say = Callable[[str], None]
Confirm = Callable[[str], bool]

_MQTT_PORT = 8883
# Of what a plan can do without.
_QUICK = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 2})


@dataclass
class Stage:
    """A deployment on AWS, ready for Terraform."""

    deployment: Deployment
    workspace: Workspace
    state: RemoteState
    settings_of_region: Account
    account: str
    packages: Path
    defaults: Path

    @property
    def session(self) -> boto3.Session:
        """The user's credentials, in the deployment's region."""
        return self.deployment.session


def plan(settings: Settings, say: Say) -> None:
    """Show what the account says, and what `up` would change and cost; make nothing.

    Raises:
        TestbedError: no credentials, or Terraform failed.
    """
    if aws_projects.is_own():
        aws_projects.plan(settings, _greet(settings, say), say)
        return
    stage = _prepare(settings, say, make=False)
    if stage.workspace.plan():
        say_cost(stage.session, settings, say, stage.defaults)
        say("Nothing was changed. Apply it: make up TARGET=aws")
    else:
        say("Up to date: there is nothing to change.")


def up(settings: Settings, say: Say, confirm: Confirm) -> Deployment:
    """Plan, show plan and cost, ask, apply.

    Raises:
        TestbedError: no credentials, not confirmed, or Terraform failed.
    """
    if aws_projects.is_own():
        deployment = aws_projects.up(settings, _greet(settings, say), say, confirm)
        _find_broker(deployment, settings)
        where = f"API: {deployment.api_url}   " if deployment.api_url else ""
        say(f"{where}MQTT: {deployment.mqtt_host}:{deployment.mqtt_port}")
        return deployment
    stage = _prepare(settings, say)
    deployment, workspace = stage.deployment, stage.workspace
    if workspace.plan():
        say_cost(stage.session, settings, say, stage.defaults)
        if not confirm(f"Apply this plan to account {stage.account}?"):
            raise TestbedError("Not applied: the plan was not confirmed.")
        # From here on there may be something to remove.
        deployment.save()
        stage.settings_of_region.ensure(say)
        deployment.take_outputs(workspace.apply(planned=True), workspace.secret_outputs)
    else:
        deployment.take_outputs(workspace.outputs(), workspace.secret_outputs)
    deployment.api_url = deployment.outputs.api_gateway_invoke_url
    deployment.fingerprint = fingerprint(workspace.variables, stage.packages)
    _find_broker(deployment, settings)
    say(f"API: {deployment.api_url}/stations   MQTT: {deployment.mqtt_host}:{deployment.mqtt_port}")
    return deployment


def _find_broker(deployment: Deployment, settings: Settings) -> None:
    """Note where devices connect, and what they trust there."""
    host = deployment.outputs.iot_endpoint
    if not (settings.iot_endpoint or host):
        host = deployment.client("iot").describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"]
    deployment.mqtt_host, deployment.mqtt_port = settings.iot_endpoint or (host, _MQTT_PORT)
    _write_server_ca(deployment.server_ca)
    deployment.save()


def down(
    settings: Settings,
    deployment: Deployment,
    enrol: Callable[[], Enrolment],
    say: Say,
    confirm: Confirm,
    *,
    delete_archive: bool,
) -> None:
    """Destroy everything, the state included, and prove that nothing is left.

    Raises:
        TestbedError: not confirmed, the archive holds data and may not be deleted, or something is left.
    """
    question = f"Destroy everything of {settings.project}-{deployment.environment} in {deployment.region}"
    if aws_projects.is_own():
        if not confirm(f"{question}?"):
            raise TestbedError("Nothing was removed: not confirmed.")
        aws_projects.down(settings, deployment, enrol, _greet(settings, say), say)
        return
    bucket = deployment.outputs.telemetry_bucket_name
    s3 = deployment.client("s3")
    holds_data = _objects(s3, bucket)
    if holds_data and not delete_archive:
        raise TestbedError(
            f"The archive {bucket} holds data, and nothing was removed.",
            "Keep what you need of it; ARGS=--delete-archive then deletes it with the rest.",
        )
    if not confirm(f"{question}{', its archive included' if holds_data else ''}?"):
        raise TestbedError("Nothing was removed: not confirmed.")
    # Certificates hold the policy: Terraform cannot remove that before them.
    enrolment = enrol()
    say(f"Removed {enrolment.remove() + enrolment.remove_strangers()} stations from AWS IoT")
    if holds_data:
        _empty(s3, bucket)
    stage = _prepare(settings, say)
    stage.workspace.destroy()
    if stage.state.remove():
        stage.settings_of_region.remove()
        say(f"Removed the state's bucket {stage.state.bucket}: no other deployment used it")
    say_leftovers(settings, say)


def say_leftovers(settings: Settings, say: Say) -> None:
    """List what is in the account of this deployment.

    Raises:
        TestbedError: there is something.
    """
    if aws_projects.is_own():
        raise TestbedError(
            "Leftovers are looked for by the names of the battery-swap network alone.",
            "Of a project of your own, Terraform's state says what is there: TARGET=aws testbed plan",
        )
    session = boto3.Session(region_name=settings.region)
    _caller(session)
    left = leftovers(session, settings.project, settings.environment)
    for item in left:
        say(f"left: {item}")
    if left:
        raise TestbedError(
            f"{len(left)} things of {settings.project}-{settings.environment} are left in {settings.region}.",
            "Lambda may write a last log line after its log group is gone: run it again, or remove them by hand.",
        )
    say(f"Nothing of {settings.project}-{settings.environment} is left in {settings.region}.")


def say_cost(session: boto3.Session, settings: Settings, say: Say, defaults: Path) -> None:
    """Print what the planned network costs a month for STATIONS and INTERVAL, and what it costs idle.

    As `simulate` sends: by the stations' own topics, which AWS IoT bills a message each; Basic Ingest would save that.
    """
    waf, xray = switched_on("enable_waf", defaults), switched_on("enable_xray", defaults)
    workload = bill.Workload(settings.stations, settings.interval, basic_ingest=False)
    design = chosen_design(settings.environment)
    found, whose = _prices(session, settings.region)
    price = found.usd if found else None
    monthly = bill.total(designs.design_bill(design, workload, price=price)) * workload.messages_a_month / 1e6
    idle = bill.fixed_monthly(waf=waf, price=price)
    requests = ", ".join(
        f"{line.service} ${line.usd_a_million:.2f}"
        for line in bill.requests_bill(waf=waf, xray=xray, price=price)
    )
    say(
        f"Cost ({design.name}): about ${idle:.2f} a month while idle; ${monthly + idle:,.2f} with "
        f"{settings.stations} stations every {settings.interval:g} s (STATIONS=, INTERVAL=; details: "
        "scripts/testbed cost)."
    )
    say(
        f"  On top: a million API requests: {requests}; a live page that is open all month: "
        f"${bill.page_monthly(workload, price=price):,.2f}."
    )
    for region in replica_regions(defaults):
        say(
            f"  Replicas in {region}: ${bill.replica_monthly(workload, price=price):,.2f} a month more, by the prices "
            f"of {settings.region}, and what that region's own deployment costs."
        )
    say(f"  {whose}")


def _prices(session: boto3.Session, region: str) -> tuple[price_list.Prices | None, str]:
    """Return the region's list prices, from AWS or as kept (None: us-east-1's), and a sentence of whose they are."""
    listed = f"List prices of {bill.read_on()}"
    if region == price_list.HOME:
        return None, f"{listed}."
    today, file = datetime.now(UTC).date(), state_root() / "prices" / f"{region}.json"
    found = price_list.Prices.kept(file, bill.prices(), today)
    if found is None:
        pricing = session.client("pricing", region_name=price_list.ENDPOINT, config=_QUICK)
        try:
            found = price_list.read(pricing, region, bill.prices(), today)
        except (BotoCoreError, ClientError, ValueError, KeyError) as error:
            said = str(error).splitlines()[0]
            return (
                None,
                f"{listed}: {region}'s may be a fifth higher, and AWS's price list could not be read ({said}).",
            )
        found.keep(file)
    if len(found.elsewhere) == len(found.usd):
        return (
            None,
            f"{listed}: {region}'s may be a fifth higher, and AWS's price list has none that we know.",
        )
    rest = f", but us-east-1's of {', '.join(found.elsewhere)}" if found.elsewhere else ""
    return found, f"List prices of {found.region}, read from AWS on {found.read_on}{rest}."


def _caller(session: boto3.Session) -> tuple[str, str]:
    """Return the account and the ARN that the credentials are of.

    Raises:
        TestbedError: there are none that AWS takes.
    """
    try:
        identity = session.client("sts").get_caller_identity()
        return identity["Account"], identity["Arn"]
    except (BotoCoreError, ClientError) as error:
        raise TestbedError(
            f"No usable AWS credentials: {error}",
            "Set AWS_PROFILE, run `aws configure`, or `aws sso login`; then try again.",
        ) from error


def _prepare(settings: Settings, say: Say, *, make: bool = True) -> Stage:
    session = boto3.Session(region_name=settings.region)
    account, caller = _caller(session)
    _say_target(settings, account, say)
    deployment = Deployment.of_aws(settings)
    defaults = TERRAFORM / "environments" / f"{settings.environment}.tfvars"
    boundary = _boundary(session, settings.project, account)
    site = Site(account, settings.region, settings.project, settings.environment, boundary)
    workload = Workload(settings.stations, settings.interval)
    found = preflight.look(session, caller, workload, site, switches(defaults))
    preflight.say_all(found, say)
    state = RemoteState(session, settings.project, settings.environment, account)
    if make and state.ensure():
        say(f"Made the bucket for Terraform's state: {state.bucket}")
    runtime, packages = aws_projects.packages(settings)
    packages_of_page = page_files.packaged(say) if switched_on("dashboard_enabled", defaults) else {}
    variables: dict[str, Any] = {
        "aws_region": settings.region,
        "project": settings.project,
        "environment": settings.environment,
        "lambda_package_dir": str(packages),
        "lambda_runtime": f"python{runtime.python}",
        "lambda_architecture": runtime.architecture,
        "dashboard_dir": str(page_files.assemble(deployment.path / "page", packages_of_page)),
    }
    if boundary:
        variables["permissions_boundary_arn"] = boundary
    if found.max_concurrency and not is_set("telemetry_max_concurrency", defaults):
        variables["telemetry_max_concurrency"] = found.max_concurrency
    workspace = Workspace(
        deployment.path / "terraform",
        Cloud(settings.region),
        variables,
        providers=providers.choose(deployment.air_gapped),
        # Before the first `up` there is no state: a plan of nothing needs none.
        state=state if make or state.exists() else None,
        defaults=defaults,
        packages=packages,
        say=say,
    )
    require(workspace.terraform, (1, 10), "the lock of a state in S3")
    workspace.prepare()
    say(f"Versions: {workspace.versions()}, boto3 {boto3.__version__}")
    region = Account(session, settings.project, boundary=boundary)
    return Stage(deployment, workspace, state, region, account, packages, defaults)


def _greet(settings: Settings, say: Say) -> str:
    """Say where it goes to, and return the account."""
    account, _ = _caller(boto3.Session(region_name=settings.region))
    _say_target(settings, account, say)
    return account


def _say_target(settings: Settings, account: str, say: Say) -> None:
    say(
        f"Target: aws, account {account}, region {settings.region}, "
        f"deployment {settings.project}-{settings.environment}"
    )


def _boundary(session: boto3.Session, project: str, account: str) -> str | None:
    """Return the ARN of the project's permissions boundary; None where nobody has made one."""
    arn = policies.boundary_arn(project, account)
    iam = session.client("iam")
    try:
        iam.get_policy(PolicyArn=arn)
    except iam.exceptions.NoSuchEntityException:
        return None
    return arn


def _objects(s3: Any, bucket: str) -> bool:
    return bool(s3.list_object_versions(Bucket=bucket, MaxKeys=1).get("Versions"))


def _empty(s3: Any, bucket: str) -> None:
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        keys = [
            {"Key": item["Key"], "VersionId": item["VersionId"]}
            for item in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        ]
        if keys:
            s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})


def _write_server_ca(target: Path) -> None:
    """Write the authorities that AWS IoT's endpoint may chain to.

    Amazon Root CA 1 from botocore's bundle: no download. Where the user names a bundle of his own for AWS, because
    something reads his TLS, that one holds for MQTT, too.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if own := os.environ.get("AWS_CA_BUNDLE"):
        shutil.copy(own, target)
        return
    bundle = (Path(botocore.__file__).parent / "cacert.pem").read_text()
    end = "-----END CERTIFICATE-----"
    for part in bundle.split(end):
        begin = part.find("-----BEGIN CERTIFICATE-----")
        if begin < 0:
            continue
        pem = part[begin:] + end + "\n"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=pem)
        if "Amazon Root CA 1" in str(context.get_ca_certs()):
            target.write_text(pem)
            return
    raise TestbedError("botocore's certificates lack Amazon Root CA 1.", "Reinstall boto3.")
