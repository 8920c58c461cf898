"""`make up` and `make down`: brings a deployment to where it should be, and takes it away."""

import hashlib
import json
import os
import secrets
import shutil
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import botocore
from botocore.exceptions import BotoCoreError, ClientError

from testbed import packaging, ports, processes, terraform
from testbed.airgap import provider
from testbed.authority import Authority
from testbed.deployment import Deployment
from testbed.engines import choice
from testbed.engines.base import Engine, Ports
from testbed.enrolment import Enrolment
from testbed.errors import TestbedError
from testbed.paths import TERRAFORM, state_root
from testbed.processes import Process
from testbed.settings import EngineName, Settings
from testbed.terraform import Cloud, Workspace

Say = Callable[[str], None]

AWS_PYTHON = "3.13"
AWS_ARCHITECTURE = "arm64"

# Local functions are child processes of one machine: few, so that a burst queues instead of starting a
# herd (ministack without a limit: 203 processes and 11 GB for 200 messages), and quick to try again.
_LOCAL_VARIABLES: dict[str, Any] = {
    "lambda_reserved_concurrency": 2,
    "telemetry_max_concurrency": 2,
    "telemetry_timeout_seconds": 20,
    "queue_visibility_timeout_seconds": 30,
    "force_destroy_archive": True,
}


@dataclass
class Stopwatch:
    """Where the time of a command went."""

    parts: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the time inside under ``name``."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.parts[name] = self.parts.get(name, 0.0) + time.monotonic() - start

    def __str__(self) -> str:
        total = sum(self.parts.values())
        return f"{total:.1f} s: " + ", ".join(f"{name} {spent:.1f}" for name, spent in self.parts.items())


# ---------------------------------------------------------------------------
# Up
# ---------------------------------------------------------------------------


def up(settings: Settings, say: Say, confirm: Callable[[str], bool]) -> Deployment:
    """Bring the deployment up; where it is up already, this takes a second and changes nothing.

    Args:
        settings: what to bring up.
        say: prints a line.
        confirm: asks a question before anything is changed on AWS.

    Raises:
        TestbedError: something is in the way; nothing is left half-started that ``down`` would not stop.
    """
    if settings.target == "aws":
        return _up_aws(settings, say, confirm)
    return _up_local(settings, say)


def _up_local(settings: Settings, say: Say) -> Deployment:
    name, why = choice.choose(settings.engine)
    engine = choice.engine(name)
    say(f"Engine: {name} ({why})")
    for note in engine.lacks.notes:
        say(f"Off on this engine: {note}")

    folder = settings.folder(name)
    deployment = Deployment.load(folder)
    if settings.enforce_iam and name != "embedded":
        raise TestbedError("LocalStack enforces IAM in its paid tiers only.", "Use ENGINE=embedded.")
    if settings.enforce_iam and deployment and not deployment.enforce_iam:
        raise TestbedError("This deployment is up without IAM enforced.", "First: make down")
    watch = Stopwatch()
    with watch.part("install"):
        engine.install()
    with watch.part("packages"):
        runtime = engine.runtime()
        packages = state_root() / "packages" / f"{name}-{runtime.python}-{runtime.architecture}"
        packaging.build(runtime, packages)
    variables = _LOCAL_VARIABLES | {
        "aws_region": settings.region,
        "environment": settings.environment,
        "lambda_package_dir": str(packages),
        "lambda_runtime": f"python{runtime.python}",
        "lambda_architecture": runtime.architecture,
        **engine.lacks.variables,
    }
    fingerprint = _fingerprint(variables, packages)

    if deployment and deployment.alive() and deployment.fingerprint == fingerprint:
        say(f"Already up. API: {deployment.api_url}/stations")
        return deployment

    fresh = deployment is None or not deployment.alive()
    if deployment is None:
        deployment = _new_deployment(settings, engine, folder)
    place = deployment.place
    endpoints = engine.endpoints(place)
    deployment.aws_url, deployment.iot_url = endpoints.aws, endpoints.iot
    deployment.save()

    if fresh:
        _check_ports(deployment)
        with watch.part("cloud"), processes.stopped_on_failure():
            _stop(deployment)
            _note(deployment, engine.start_cloud(place))

    deployment.air_gapped = (
        settings.air_gapped if settings.air_gapped is not None else not terraform.registry_answers()
    )
    with watch.part("terraform"):
        _apply(deployment, variables, say)
    outputs = deployment.outputs
    deployment.api_url = endpoints.api.format(
        api_id=outputs["api_gateway_id"], stage=outputs["api_gateway_stage"]
    )
    deployment.mqtt_host, deployment.mqtt_port = "localhost", place.ports.mqtt

    if fresh:
        with watch.part("broker and bridge"), processes.stopped_on_failure():
            authority = Authority.load_or_create(deployment.authority, name="EV swap fleet CA")
            server = deployment.path / "certs" / "server.crt"
            if not server.is_file():
                authority.server("localhost", "127.0.0.1", "broker").write(server, server.with_suffix(".key"))
            _note(deployment, [engine.start_broker(place), engine.start_bridge(place)])
    deployment.fingerprint = fingerprint
    deployment.save()
    say(f"Up in {watch}")
    say(f"API: {deployment.api_url}/stations   MQTT: {deployment.mqtt_host}:{deployment.mqtt_port}")
    return deployment


def _apply(deployment: Deployment, variables: dict[str, Any], say: Say) -> None:
    if not deployment.api_key_file.is_file():
        # ministack 1.5.33 makes none where the provider sends an empty one.
        deployment.keep_api_key(secrets.token_urlsafe(30))
    workspace = Workspace(
        deployment.path / "terraform",
        deployment.cloud,
        variables,
        air_gapped=deployment.air_gapped,
        secrets={"api_key_value": deployment.api_key},
    )
    workspace.prepare()
    if deployment.air_gapped:
        say(
            "Terraform: its registry cannot be reached, so this applies a configuration derived for provider "
            f"{provider.VERSION}; {len(workspace.dropped)} settings follow by the AWS API"
        )
    deployment.take_outputs(workspace.apply())


def _new_deployment(settings: Settings, engine: Engine, folder: Path) -> Deployment:
    wanted = Ports(
        aws=ports.choose(settings.aws_port, variable="AWS_PORT", what="the AWS APIs"),
        mqtt=ports.choose(settings.mqtt_port, variable="MQTT_PORT", what="MQTT"),
        metrics=ports.choose(settings.metrics_port, variable="METRICS_PORT", what="the bridge's metrics"),
        iot=ports.choose(None, variable="", what="the IoT control plane"),
        broker=ports.choose(None, variable="", what="the broker's health page"),
    )
    return Deployment(
        target="local", engine=engine.name, name=settings.name, region=settings.region,
        environment=settings.environment, folder=str(folder), air_gapped=False, ports=wanted,
        enforce_iam=settings.enforce_iam,
    )  # fmt: skip


def _check_ports(deployment: Deployment) -> None:
    """A port of a deployment that is to start again may be somebody else's by now."""
    assert deployment.ports is not None  # noqa: S101  # local
    if deployment.processes:
        for process in deployment.processes.values():
            process.stop()
    ports.choose(deployment.ports.aws, variable="AWS_PORT", what="the AWS APIs")
    ports.choose(deployment.ports.mqtt, variable="MQTT_PORT", what="MQTT")
    ports.choose(deployment.ports.metrics, variable="METRICS_PORT", what="the bridge's metrics")


def _note(deployment: Deployment, started: list[Process]) -> None:
    deployment.processes |= {process.name: process for process in started}
    deployment.save()


def _fingerprint(variables: dict[str, Any], packages: Path) -> str:
    """Of all that an apply depends on: if it is the same, there is nothing to apply."""
    # Terraform reads TF_VAR_... by itself; what it says must count here, too.
    from_environment = {name: value for name, value in os.environ.items() if name.startswith("TF_VAR_")}
    digest = hashlib.sha256(json.dumps([variables, from_environment], sort_keys=True).encode())
    for path in [*sorted(TERRAFORM.glob("*.tf")), packages / "built-from"]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _up_aws(settings: Settings, say: Say, confirm: Callable[[str], bool]) -> Deployment:
    try:
        identity = boto3.Session(region_name=settings.region).client("sts").get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        raise TestbedError(
            f"No usable AWS credentials: {error}",
            "Set AWS_PROFILE, run `aws configure`, or `aws sso login`; then try again.",
        ) from error
    say(
        f"Target: aws, account {identity['Account']}, region {settings.region}, environment {settings.environment}"
    )
    folder = settings.folder(None)
    runtime, packages = aws_packages()
    variables = {
        "aws_region": settings.region,
        "environment": settings.environment,
        "lambda_package_dir": str(packages),
        "lambda_runtime": f"python{runtime.python}",
        "lambda_architecture": runtime.architecture,
    }
    deployment = Deployment.load(folder) or Deployment(
        target="aws", engine=None, name=settings.name, region=settings.region,
        environment=settings.environment, folder=str(folder), air_gapped=False,
    )  # fmt: skip
    workspace = Workspace(folder / "terraform", Cloud(settings.region), variables, air_gapped=False)
    workspace.prepare()
    if workspace.plan():
        say("Running costs depend on the traffic: see the cost table in README.md.")
        if not confirm(f"Apply this plan to account {identity['Account']}?"):
            raise TestbedError("Not applied: the plan was not confirmed.")
        # From here on there may be something to remove.
        deployment.save()
        deployment.take_outputs(workspace.apply(planned=True))
    else:
        deployment.take_outputs(workspace.outputs())
    deployment.api_url = deployment.outputs["api_gateway_invoke_url"]
    deployment.mqtt_host, deployment.mqtt_port = deployment.outputs["iot_endpoint"], 8883
    _write_amazon_root(deployment.server_ca)
    deployment.fingerprint = _fingerprint(variables, packages)
    deployment.save()
    say(f"API: {deployment.api_url}/stations   MQTT: {deployment.mqtt_host}:{deployment.mqtt_port}")
    return deployment


def aws_packages() -> tuple[packaging.Runtime, Path]:
    """Build the functions for AWS, where Terraform's default looks for them."""
    runtime = packaging.Runtime.on_linux(AWS_PYTHON, AWS_ARCHITECTURE)
    packages = state_root() / "packages" / "aws"
    packaging.build(runtime, packages)
    return runtime, packages


def _write_amazon_root(target: Path) -> None:
    """Write Amazon Root CA 1, which AWS IoT's ATS endpoints chain to, from botocore's bundle: no download."""
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
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(pem)
            return
    raise TestbedError("botocore's certificates lack Amazon Root CA 1.", "Reinstall boto3.")


# ---------------------------------------------------------------------------
# Down
# ---------------------------------------------------------------------------


def down(settings: Settings, say: Say, confirm: Callable[[str], bool]) -> None:
    """Stop and remove the deployment: processes, resources, certificates, data. Harmless where nothing is up."""
    engines: Sequence[EngineName | None] = [None] if settings.target == "aws" else settings.engines()
    removed = False
    for engine in engines:
        deployment = Deployment.load(settings.folder(engine))
        if deployment is None:
            continue
        removed = True
        if deployment.target == "aws":
            if not confirm(
                f"Destroy everything of {deployment.environment} in {deployment.region}, its data included?"
            ):
                raise TestbedError("Nothing was removed: not confirmed.")
            _down_aws(deployment, say)
        else:
            _stop(deployment)
            choice.engine(deployment.engine or "embedded").remove(deployment.place)
        shutil.rmtree(deployment.path)
        say(f"Down: {deployment.target if deployment.target == 'aws' else deployment.engine}")
    if not removed:
        say("Nothing is up.")


def _stop(deployment: Deployment) -> None:
    # The bridge first: it finishes what is in flight while the rest still answers.
    for process in reversed(deployment.processes.values()):
        process.stop()


def _down_aws(deployment: Deployment, say: Say) -> None:
    # Certificates hold the policy: Terraform cannot remove that before them.
    say(f"Removed {enrolment(deployment).remove()} stations from AWS IoT")
    Workspace(
        deployment.path / "terraform", deployment.cloud, _variables(deployment), air_gapped=False
    ).destroy()


def _variables(deployment: Deployment) -> dict[str, Any]:
    written: dict[str, Any] = json.loads(
        (deployment.path / "terraform" / "terraform.tfvars.json").read_text()
    )
    return written


def enrolment(deployment: Deployment) -> Enrolment:
    """The deployment's stations."""
    return Enrolment(
        deployment.session,
        deployment.iot_url,
        authority=Authority.load_or_create(deployment.authority, name="EV swap fleet CA"),
        policy=deployment.outputs["iot_policy_name"],
        folder=deployment.certificates,
        admitted=lambda stations: wait_admitted(deployment, stations),
    )


def wait_admitted(deployment: Deployment, stations: Sequence[str]) -> None:
    """Wait until the broker knows stations that are enrolled; on AWS there is nothing to wait for."""
    if deployment.engine is not None:
        choice.engine(deployment.engine).wait_admitted(deployment.place, stations)
