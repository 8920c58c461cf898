"""`make up` on this machine: start the engine, apply Terraform, start broker and bridge."""

import json
import platform
import secrets
import shutil
import time
import urllib.request
from collections.abc import Container, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from msgspec.structs import replace as replace_field

from bridge.authority import Authority
from testbed.deploy import enforced_iam, packaging, providers, terraform
from testbed.deploy.deployment import Deployment
from testbed.deploy.packaging import build_packages, package_folder
from testbed.deploy.project import project
from testbed.deploy.settings import Settings
from testbed.deploy.terraform import Workspace, fingerprint
from testbed.engines import choice, external
from testbed.engines.base import Engine, Place, Ports
from testbed.engines.bridge import TRUSTED, client_certificate, refused_rules
from testbed.errors import TestbedError
from testbed.host import ports, processes
from testbed.host.processes import Process
from testbed.paths import PROJECT_FILE, REPOSITORY
from testbed.say import Say

# A file whose time is that of the cloud's last start: what it saved is newer, or it has not saved what it held.
_STARTED = "cloud-started"

# What can be started again while the cloud runs.
_TALK = frozenset({"broker", "bridge", "data-plane"})


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


def up(settings: Settings, say: Say) -> Deployment:
    """Bring a local deployment up; see `testbed.deploy.lifecycle.up`."""
    name, why = choice.choose(settings.engine)
    engine = choice.engine(name)
    say(f"Engine: {name} ({why})")
    if settings.project != project().described.name:
        say(
            f"PROJECT={settings.project} is for TARGET=aws; here the names begin with {project().described.name}."
        )
    for note in engine.lacks.notes:
        say(f"Off on this engine: {note}")
    if settings.enforce_iam:
        engine.lacks.refuse("enforced IAM")
    deployment = Deployment.load(settings.folder(name))
    if deployment:
        check_unchanged(settings, deployment)
        settings = replace(settings, region=deployment.region, environment=deployment.environment)
    elif not settings.given & {"AWS_REGION", "AWS_DEFAULT_REGION"} and (region := project().region()):
        settings = replace(settings, region=region)
    watch = Stopwatch()
    with watch.part("install"):
        engine.install()
        if project().has_stream():
            for note in engine.prepare_streams():
                say(f"Off on this engine: {note}")
    with watch.part("packages"):
        packages = build_packages(engine.runtime())
    known, deployment = deployment, deployment or _new_deployment(settings, engine, settings.folder(name))
    variables = _variables(settings, engine, packages, deployment.place)
    wanted = fingerprint(variables, packages)
    if known and known.alive() and known.fingerprint == wanted:
        say(f"Already up. {_where(known)}")
        return known

    fresh = known is None or not _alive(known, but=_TALK)
    if fresh and known:
        _begin_anew_if_forgotten(known, engine, say)
    # Ctrl-C or an error: nothing that this call has started stays behind.
    with processes.stopped_on_failure():
        _bring_up(deployment, engine, settings, variables, fresh=fresh, watch=watch, say=say)
    deployment.fingerprint = wanted
    deployment.save()
    say(f"Up in {watch}")
    for rule, why in _refused_rules(deployment).items():
        say(f"Warning: rule {rule} is refused and does not run: {why}")
    say(_where(deployment))
    return deployment


def _refused_rules(deployment: Deployment) -> dict[str, str]:
    """Return the rules that the bridge does not run; AWS would have refused most of them at the apply."""
    rules = deployment.client("iot").list_topic_rules()["rules"]
    names = {rule["ruleName"] for rule in rules if not rule.get("ruleDisabled")}
    return refused_rules(deployment.place.ports.metrics, names)


def _where(deployment: Deployment) -> str:
    api = f"API: {deployment.api_url}{project().described.api_route}   " if deployment.api_url else ""
    return f"{api}MQTT: {deployment.mqtt_host}:{deployment.mqtt_port}"


def _bring_up(
    deployment: Deployment,
    engine: Engine,
    settings: Settings,
    variables: dict[str, Any],
    *,
    fresh: bool,
    watch: Stopwatch,
    say: Say,
) -> None:
    """Start the cloud where it does not run, apply Terraform, and start broker and bridge where they do not run."""
    place = deployment.place
    endpoints = engine.endpoints(place)
    deployment.aws_url, deployment.iot_url = endpoints.aws, endpoints.iot
    deployment.save()
    # Terraform's configuration and its `init` ask nothing of the cloud.
    with ThreadPoolExecutor(1) as beside:
        if fresh:
            _check_ports(deployment)
        prepared = beside.submit(_prepare, deployment, settings, variables, say)
        if fresh:
            with watch.part("cloud"):
                stop(deployment)
                _note(deployment, engine.start_cloud(place))
                (deployment.path / _STARTED).touch()
        with watch.part("terraform"):
            _apply(deployment, prepared.result(), say)
    if deployment.outputs.api_gateway_id:
        deployment.api_url = endpoints.api.format(
            api_id=deployment.outputs.api_gateway_id, stage=deployment.outputs.api_gateway_stage
        )
    deployment.mqtt_host, deployment.mqtt_port = "localhost", place.ports.mqtt
    # The cloud may run without them: they died, or an earlier `up` failed in Terraform.
    if fresh or not (deployment.processes.keys() >= _TALK and deployment.alive()):
        with watch.part("broker and bridge"):
            _start_talk(deployment, engine)


def check_unchanged(settings: Settings, deployment: Deployment) -> None:
    """Refuse a setting that was given and is not what the deployment was made with: nothing may be ignored.

    Raises:
        TestbedError: names the setting, and what to do.
    """
    made = deployment.ports
    assert made is not None  # noqa: S101  # local
    for name, wanted, has in (
        ("ENVIRONMENT", settings.environment, deployment.environment),
        ("AWS_REGION", settings.region, deployment.region),
        ("AWS_DEFAULT_REGION", settings.region, deployment.region),
        ("AWS_PORT", settings.aws_port, made.aws),
        ("MQTT_PORT", settings.mqtt_port, made.mqtt),
        ("METRICS_PORT", settings.metrics_port, made.metrics),
        ("ENFORCE_IAM", int(settings.enforce_iam), int(deployment.enforce_iam)),
    ):
        if name in settings.given and wanted != has:
            raise TestbedError(
                f"This deployment was made with {name}={has}; it cannot become {wanted} in place.",
                "Make it anew: make down, and then make up. Or make another beside it: "
                f"make up DEPLOYMENT={deployment.name}-2",
            )


def _begin_anew_if_forgotten(deployment: Deployment, engine: Engine, say: Say) -> None:
    """Clear away what belonged to a cloud that ended and forgot; keep the ledgers, the API's key and the authority.

    Terraform's state and the stations' certificates speak of things that are no more: an apply to them fails.
    """
    started, state = deployment.path / _STARTED, deployment.path / "terraform"
    since = started.stat().st_mtime if started.exists() else 0.0
    if not state.exists() or engine.saved_state(deployment.place, since):
        return
    stop(deployment)
    engine.remove(deployment.place)
    enrolled = len(list(deployment.certificates.glob("*.crt")))
    ledgers = [*(deployment.path / "ledgers").glob("*.ndjson")]
    # What the broker still holds for the bridge stays: it was acknowledged.
    data = [each for each in (deployment.path / "data").glob("*") if each.name not in ("broker", "mosquitto")]
    for gone in (
        *data,
        state,
        deployment.certificates,
        deployment.certificates.parent / "observers",
    ):
        shutil.rmtree(gone, ignore_errors=True)
    aside = deployment.path / "ledgers" / f"lost-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
    for ledger in (*ledgers, *(deployment.path / "ledgers").glob("*.operations")):
        aside.mkdir(exist_ok=True)
        ledger.rename(aside / ledger.name)
    deployment.applied, deployment.fingerprint, deployment.processes = None, "", {}
    deployment.save()
    say(
        "The cloud ended without saving what it held, so this deploys anew. Lost: archive, tables, queues and the "
        f"certificates of {enrolled} stations, which are enrolled again when they are needed."
        + (f" {len(ledgers)} ledgers of what was acknowledged are kept in {aside}." if ledgers else "")
    )


def _variables(settings: Settings, engine: Engine, packages: Path, place: Place) -> dict[str, Any]:
    """Return Terraform's variables."""
    runtime = engine.runtime()
    here = project()
    declared = here.declared("variable")
    values = {
        "region": settings.region,
        "environment": settings.environment,
        "packages": str(packages),
        "python": runtime.python,
        "architecture": runtime.architecture,
        "iot_data": engine.endpoints(place).iot_data,
    }
    switched_off = {name: value for name, value in engine.lacks.variables.items() if name in declared}
    return here.local_variables(values) | switched_off


def _start_talk(deployment: Deployment, engine: Engine) -> None:
    """Start broker, bridge and data plane at once, in place of what is left of them."""
    stop(deployment, _TALK)
    authority = Authority.load_or_create(deployment.authority, name="EV swap fleet CA")
    server = deployment.path / "certs" / "server.crt"
    if not server.is_file():
        authority.server("localhost", "127.0.0.1", "broker").write(server, server.with_suffix(".key"))
    _note(deployment, start_at_once(engine, deployment.place))


def start_at_once(engine: Engine, place: Place) -> list[Process]:
    """Start broker, bridge and data plane; the two connect when the broker listens.

    Raises:
        TestbedError: one of them cannot start; nobody waits for the others, and none is left.
    """
    for name in TRUSTED:
        client_certificate(place, name)
    with ThreadPoolExecutor() as beside, processes.stopped_on_failure():
        starts = (engine.start_broker, engine.start_bridge, engine.start_data_plane)
        started = [beside.submit(start, place) for start in starts]
        for ready in as_completed(started):
            ready.result()
        return [each.result() for each in started]


def _prepare(deployment: Deployment, settings: Settings, variables: dict[str, Any], say: Say) -> Workspace:
    """Lay out what Terraform applies, and have it initialised."""
    deployment.air_gapped = (
        settings.air_gapped if settings.air_gapped is not None else not terraform.registry_answers()
    )
    key = project().described.terraform.api_key
    if key and not deployment.api_key_file.is_file():
        # ministack 1.5.33 makes none where the provider sends an empty one.
        deployment.keep_api_key(secrets.token_urlsafe(30))
    packages = package_folder(deployment.local_engine.runtime())
    folder = providers.working_folder(
        project(), deployment.path / "terraform", air_gapped=deployment.air_gapped
    )
    packaging.put(project(), packages, deployment.path / "terraform" / "project")
    workspace = Workspace(
        folder,
        deployment.cloud,
        variables,
        providers=providers.choose(deployment.air_gapped),
        packages=packages,
        secrets={key: deployment.api_key} if key else {},
        say=say,
    )
    workspace.prepare()
    return workspace


def _apply(deployment: Deployment, workspace: Workspace, say: Say) -> None:
    """Apply, and take the outputs."""
    say(f"Versions: {workspace.versions()}; {_engine_versions(deployment)}")
    try:
        outputs = workspace.apply()
    finally:
        for operation in _not_built(deployment):
            say(f"The emulator has not built {operation} (501)")
    policy = project().described.devices.policy
    # An address has a point, which no output's name has.
    found = {policy: terraform.policy_name(workspace.state(), policy)} if "." in policy else {}
    deployment.take_outputs(outputs | found, workspace.secret_outputs)
    if not deployment.outputs.iot_policy_name:
        _open_policy(deployment, say)
    if deployment.enforce_iam:
        enforced_iam.adapt(deployment)


def _not_built(deployment: Deployment) -> list[str]:
    """Return what an emulator that the user brings has answered with 501."""
    file = external.not_built(deployment.place)
    return file.read_text().splitlines() if file.is_file() else []


def clear(deployment: Deployment) -> None:
    """Remove what was applied to an emulator that the user brings: it outlives the deployment."""
    root = deployment.path / "terraform"
    here = project()
    folder = root if here.folder == REPOSITORY else root / "project" / here.described.terraform.folder
    if not deployment.local_engine.users_own or not (folder / "terraform.tfstate").is_file():
        return
    key = here.described.terraform.api_key
    Workspace(
        folder,
        deployment.cloud,
        {},
        providers=providers.choose(deployment.air_gapped),
        secrets={key: deployment.api_key} if key else {},
    ).destroy()


def _open_policy(deployment: Deployment, say: Say) -> None:
    """Make a thing policy for the devices of a project that names none."""
    name, client = f"{project().described.name}-testbed", deployment.client("iot")
    allowed = {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}
    with suppress(client.exceptions.ResourceAlreadyExistsException):
        client.create_policy(
            policyName=name, policyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        )
    assert deployment.applied  # noqa: S101  # taken before
    deployment.applied = replace_field(deployment.applied, iot_policy_name=name)
    say(f"{PROJECT_FILE} names no thing policy (devices.policy): devices get {name}, which allows everything")


def _engine_versions(deployment: Deployment) -> str:
    """Return what plays AWS with the version that it says of itself, and the versions of what it stands on."""
    try:
        with urllib.request.urlopen(f"{deployment.aws_url}/_localstack/health", timeout=5) as answer:  # noqa: S310
            said = json.load(answer)
    except (OSError, ValueError):
        said = {}
    stands_on = deployment.local_engine.versions() | {"Python": platform.python_version()}
    return ", ".join(
        [
            f"{deployment.engine_name} says {said.get('version', 'nothing of its version')}",
            *(f"{name} {version}" for name, version in stands_on.items()),
        ]
    )


def _new_deployment(settings: Settings, engine: Engine, folder: Path) -> Deployment:
    taken: list[int] = [
        port for port in (settings.aws_port, settings.mqtt_port, settings.metrics_port) if port
    ]

    def free(what: str) -> int:
        # Nobody listens at those that were chosen a moment ago, yet.
        taken.append(ports.choose(None, what=what, but=taken))
        return taken[-1]

    def port(wanted: int | None, setting: str, what: str) -> int:
        return ports.choose(wanted, setting=f"make up {setting}={{}}", what=what) if wanted else free(what)

    wanted = Ports(
        aws=port(settings.aws_port, "AWS_PORT", "the AWS APIs"),
        mqtt=port(settings.mqtt_port, "MQTT_PORT", "MQTT"),
        metrics=port(settings.metrics_port, "METRICS_PORT", "the bridge's metrics"),
        iot=free("the IoT control plane"),
        broker=free("the broker's health page"),
        data=free("the data plane"),
        websocket=free("MQTT over WebSocket"),
        https=free("HTTPS for devices"),
    )
    return Deployment(
        target="local",
        engine_name=engine.name,
        name=settings.name,
        region=settings.region,
        environment=settings.environment,
        folder=str(folder),
        air_gapped=False,
        ports=wanted,
        enforce_iam=settings.enforce_iam,
    )


def _check_ports(deployment: Deployment) -> None:
    """Check that the ports of a deployment that is to start again are not somebody else's by now."""
    assert deployment.ports is not None  # noqa: S101  # local
    if deployment.processes:
        for process in deployment.processes.values():
            process.stop()
    anew = "make down, and then make up {}={{}}"
    ports.choose(deployment.ports.aws, setting=anew.format("AWS_PORT"), what="the AWS APIs")
    ports.choose(deployment.ports.mqtt, setting=anew.format("MQTT_PORT"), what="MQTT")
    ports.choose(deployment.ports.metrics, setting=anew.format("METRICS_PORT"), what="the bridge's metrics")


def _note(deployment: Deployment, started: list[Process]) -> None:
    deployment.processes |= {process.name: process for process in started}
    deployment.save()


def stop(deployment: Deployment, names: Container[str] | None = None) -> None:
    # The bridge first: it finishes what is in flight while the rest still answers.
    for name, process in reversed(deployment.processes.items()):
        if names is None or name in names:
            process.stop()


def _alive(deployment: Deployment, *, but: Container[str]) -> bool:
    """Return whether it has processes beside these, and they all run."""
    others = [process for name, process in deployment.processes.items() if name not in but]
    return bool(others) and all(process.alive() for process in others)
