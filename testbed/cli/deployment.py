"""Commands of a deployment: up, down, plan, what runs, its logs."""

import hashlib
import json
from dataclasses import replace
from typing import Annotated

import typer
from rich.table import Table

from testbed.cli.console import Yes, app, asking_unless, out, say, short
from testbed.deploy import aws, dev, lifecycle, policies
from testbed.deploy.deployment import current
from testbed.deploy.settings import Settings
from testbed.deploy.stations import enrolment_of
from testbed.host.processes import Process
from testbed.pipeline import api, logs, quiet


@app.command("up")
def up_command(yes: Yes = False) -> None:
    """Start the cloud and deploy to it."""
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
    """What `up` would change on AWS, and what that costs; changes nothing."""
    aws.plan(replace(Settings.from_environment(), target="aws"), say)


@app.command("leftovers")
def leftovers_command() -> None:
    """What of the deployment is in the AWS account; fails if there is anything."""
    aws.say_leftovers(Settings.from_environment(), say)


@app.command("package")
def package_command() -> None:
    """Build the functions' packages for AWS, as Terraform's defaults want them."""
    runtime, folder = aws.aws_packages(Settings.from_environment())
    for zipped in sorted(folder.glob("*.zip")):
        digest = hashlib.sha256(zipped.read_bytes()).hexdigest()
        say(f"{zipped}  {zipped.stat().st_size / 1e6:.2f} MB  sha256 {digest}")
    say(f"For Python {runtime.python} on {runtime.architecture}.")


@app.command("status")
def status_command() -> None:
    """What runs, where it answers, what waits in the queues."""
    deployment = current(Settings.from_environment())
    outputs, sqs = deployment.outputs, deployment.client("sqs")
    table = Table(show_header=False, box=None)
    where = "aws" if deployment.target == "aws" else f"local, engine {deployment.engine_name}"
    table.add_row("target", f"{where}, region {deployment.region}")
    for process in deployment.processes.values():
        table.add_row(process.name, _what_runs(process))
    table.add_row("AWS APIs", deployment.aws_url or "AWS")
    table.add_row("REST API", f"{deployment.api_url}/stations")
    table.add_row("API key", f"in {short(str(deployment.api_key_file))}; send it as x-api-key")
    table.add_row("MQTT", f"{deployment.mqtt_host}:{deployment.mqtt_port} (mTLS)")
    table.add_row("stations known", str(sum(1 for _ in api.stations(deployment, limit=100))))
    table.add_row("stations enrolled", str(len(enrolment_of(deployment).enrolled())))
    table.add_row("queue", str(quiet.queue_depth(sqs, outputs.telemetry_queue_url)))
    table.add_row("dead letters", str(quiet.queue_depth(sqs, outputs.dead_letter_queue_url)))
    out.print(table)


def _what_runs(process: Process) -> str:
    family = process.family()
    return f"pid {family[-1].pid}, log {short(process.where)}" if family else process.where


@app.command("logs")
def logs_command(
    minutes: Annotated[int, typer.Option(help="How far back.")] = 15,
    lines: Annotated[int, typer.Option(help="Most lines of each log.")] = 40,
) -> None:
    """The logs of the functions and of the testbed's processes."""
    logs.show(current(Settings.from_environment()), say, minutes=minutes, lines=lines)


@app.command("policies")
def policies_command(
    name: Annotated[str, typer.Argument(help="Which: deploy, plan, boundary, trust-deploy, trust-plan.")],
    account: Annotated[str, typer.Option(help="The account's twelve digits.")],
    repository: Annotated[str, typer.Option(help="owner/name at GitHub, for the trust policies.")] = "",
) -> None:
    """Print an IAM policy for who deploys or plans, filled in for PROJECT and the account."""
    project = Settings.from_environment().project
    document = policies.render(name, project=project, account=account, repository=repository)
    print(json.dumps(document, indent=2))
