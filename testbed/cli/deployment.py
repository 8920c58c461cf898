"""Commands of a deployment: up, down, plan, what runs, its logs."""

import hashlib
import json
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from testbed.cli.console import AsJson, Yes, app, asking_unless, if_interrupted, out, say, short, show_json
from testbed.deploy import aws, aws_projects, dev, lifecycle, policies
from testbed.deploy.deployment import Deployment, current
from testbed.deploy.project import project
from testbed.deploy.settings import Settings
from testbed.deploy.stations import enrolment_of
from testbed.errors import TestbedError
from testbed.host import ports
from testbed.host.processes import Process
from testbed.pipeline import api, logs, quiet
from testbed.pipeline.stream import Backlog


@app.command("up")
def up_command(yes: Yes = False) -> None:
    """Start the cloud and deploy to it."""
    with if_interrupted("make up goes on from here; make down removes what is left."):
        lifecycle.up(Settings.from_environment(), say, asking_unless(yes))


@app.command("down")
def down_command(
    yes: Yes = False,
    delete_archive: Annotated[
        bool, typer.Option(help="On AWS: delete the archive, too, with what is in it.")
    ] = False,
) -> None:
    """Stop and remove everything that up made."""
    lifecycle.down(Settings.from_environment(), say, asking_unless(yes), delete_archive=delete_archive)


@app.command("dev")
def dev_command() -> None:
    """Follow functions/ and terraform/: what is saved is live a moment later."""
    dev.run(Settings.from_environment(), say)


@app.command("plan")
def plan_command() -> None:
    """Show what `up TARGET=aws` would change, and what that costs; change nothing."""
    aws.plan(_settings_of_aws("plan"), say)


@app.command("leftovers")
def leftovers_command() -> None:
    """Show what of the deployment is in the AWS account; fails if there is anything."""
    aws.say_leftovers(_settings_of_aws("leftovers"), say)


def _settings_of_aws(command: str) -> Settings:
    settings = Settings.from_environment()
    if settings.target != "aws":
        # Whoever has no account must not be asked for its credentials.
        raise TestbedError(
            f"`{command}` is about an AWS account, and the target is local, where nothing costs anything.",
            f"On AWS: TARGET=aws scripts/testbed {command}. Here: make up, make status",
        )
    return settings


@app.command("package")
def package_command() -> None:
    """Build the functions' packages for AWS, as Terraform's defaults want them."""
    runtime, folder = aws_projects.packages(Settings.from_environment())
    for zipped in sorted(folder.glob("*.zip")):
        digest = hashlib.sha256(zipped.read_bytes()).hexdigest()
        say(f"{zipped}  {zipped.stat().st_size / 1e6:.2f} MB  sha256 {digest}")
    say(f"For Python {runtime.python} on {runtime.architecture}.")


@app.command("status")
def status_command(as_json: AsJson = False) -> None:
    """Show what runs, where it answers, and what waits in the queues."""
    deployment = current(Settings.from_environment())
    outputs, sqs = deployment.outputs, deployment.client("sqs")
    counts = {}
    if outputs.stations_table_name and deployment.api_url:
        counts["stations_known"] = sum(1 for _ in api.stations(deployment, limit=100))
    if outputs.iot_policy_name:
        counts["stations_enrolled"] = len(enrolment_of(deployment).enrolled())
    for name, queue in (
        ("queue", outputs.telemetry_queue_url),
        ("dead_letters", outputs.dead_letter_queue_url),
    ):
        if queue:
            counts[name] = quiet.queue_depth(sqs, queue)
    if outputs.telemetry_stream_name:
        counts["stream"] = Backlog(deployment).depth()
    if as_json:
        show_json(_status(deployment) | counts)
        return
    table = Table(show_header=False, box=None)
    where = "aws" if deployment.target == "aws" else f"local, engine {deployment.engine_name}"
    table.add_row("target", f"{where}, region {deployment.region}")
    for process in deployment.processes.values():
        table.add_row(process.name, _what_runs(process))
    table.add_row("AWS APIs", deployment.aws_url or "AWS")
    if deployment.api_url:
        table.add_row("REST API", f"{deployment.api_url}{project().described.api_route}")
    if deployment.api_key_file.is_file():
        table.add_row("API key", f"in {short(str(deployment.api_key_file))}; send it as x-api-key")
    table.add_row("MQTT", f"{deployment.mqtt_host}:{deployment.mqtt_port} (mTLS)")
    for name, where in _more_ports(deployment).items():
        table.add_row(name, where)
    for name, count in counts.items():
        table.add_row(name.replace("_", " "), str(count))
    out.print(table)


def _status(deployment: Deployment) -> dict[str, Any]:
    """Return where a deployment is, for a program; the API's key stays in its file."""
    return {
        "target": deployment.target,
        "engine": deployment.engine_name,
        "deployment": deployment.name,
        "region": deployment.region,
        "aws_url": deployment.aws_url,
        "api_url": deployment.api_url,
        "api_key_file": str(deployment.api_key_file),
        "mqtt": {"host": deployment.mqtt_host, "port": deployment.mqtt_port},
        "processes": {name: process.alive() for name, process in deployment.processes.items()},
        "outputs": msgspec.to_builtins(deployment.outputs),
    }


def _more_ports(deployment: Deployment) -> dict[str, str]:
    """Return what else can be reached, as far as somebody listens there."""
    if deployment.ports is None:
        return {}
    found = {
        "WebSocket": (
            deployment.ports.websocket,
            "wss://localhost:{}/mqtt (AWS credentials, or an authorizer)",
        ),
        "HTTPS": (deployment.ports.https, "https://localhost:{} (a device's certificate)"),
        "metrics": (
            deployment.ports.metrics,
            "http://127.0.0.1:{}/metrics (the bridge's; /health beside it)",
        ),
    }
    return {
        name: form.format(port) for name, (port, form) in found.items() if port and not ports.is_free(port)
    }


def _what_runs(process: Process) -> str:
    family = process.family()
    return f"pid {family[-1].pid}, log {short(process.where)}" if family else process.where


@app.command("logs")
def logs_command(
    only: Annotated[
        list[str] | None,
        typer.Argument(help="Only these: telemetry, api, or a process by its name in `status`."),
    ] = None,
    minutes: Annotated[float, typer.Option(help="How far back, in the functions' logs.", min=0)] = 15,
    lines: Annotated[int, typer.Option(help="Most lines of each log.", min=1)] = 40,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with each new line, until Ctrl-C.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print each line as a JSON document.")] = False,
) -> None:
    """Show the logs of the functions and of the testbed's processes, in the order of time (UTC)."""
    deployment = current(Settings.from_environment())
    read = logs.follow if follow else logs.newest
    for line in read(deployment, only=only or (), minutes=minutes, lines=lines):
        if as_json:
            print(json.dumps(line.as_dict(), default=str), flush=True)
        else:
            out.print(_log_line(line), soft_wrap=True)


_LEVEL_STYLES = {"WARNING": "yellow", "ERROR": "bold red", "CRITICAL": "bold red", "DEBUG": "dim"}
_SOURCE_STYLES = ("cyan", "green", "magenta", "blue", "bright_cyan", "bright_green")


def _log_line(line: logs.Line) -> Text:
    """Return the line for a terminal: time, source, level where it is not the usual one, message, fields."""
    colour = _SOURCE_STYLES[sum(line.source.encode()) % len(_SOURCE_STYLES)]
    level = _LEVEL_STYLES.get(line.level, "")
    text = Text(f"{line.when:%H:%M:%S}" if line.when else " " * 8, style="dim")
    text.append(f" {line.source:10}", colour)
    if line.level not in ("", "INFO", "DEBUG"):
        text.append(f" {line.level}", level)
    text.append(f" {line.message}", level)
    for name, value in line.fields.items():
        shown = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), default=str)
        text.append(f" {name}=", "dim")
        text.append(shown)
    return text


@app.command("policies")
def policies_command(
    name: Annotated[
        str, typer.Argument(help="Which: deploy, options, operate, plan, boundary, trust-deploy, trust-plan.")
    ],
    account: Annotated[str, typer.Option(help="The account's twelve digits.")],
    repository: Annotated[str, typer.Option(help="owner/name at GitHub, for the trust policies.")] = "",
) -> None:
    """Print an IAM policy for who deploys or plans, filled in for PROJECT and the account."""
    project = Settings.from_environment().project
    document = policies.render(name, project=project, account=account, repository=repository)
    print(json.dumps(document, indent=2))
