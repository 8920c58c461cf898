"""Commands of a deployment: up, down, plan, what runs, its logs."""

import hashlib
from dataclasses import replace
from typing import Annotated

import typer
from rich.table import Table

from testbed import api, dev, lifecycle, logs
from testbed import audit as auditing
from testbed.aws import target
from testbed.commands.console import Yes, app, asking_unless, out, say, short
from testbed.deployment import current
from testbed.processes import Process
from testbed.settings import Settings


@app.command()
def up(yes: Yes = False) -> None:
    """Start the cloud and deploy to it."""
    lifecycle.up(Settings.from_environment(), say, asking_unless(yes))


@app.command()
def down(
    yes: Yes = False,
    delete_archive: Annotated[
        bool, typer.Option(help="On AWS: delete the archive, too, with what is in it.")
    ] = False,
) -> None:
    """Stop and remove everything that up made."""
    lifecycle.down(Settings.from_environment(), say, asking_unless(yes), delete_archive=delete_archive)


@app.command(name="dev")
def develop() -> None:
    """Follow functions/ and terraform/: what is saved is live a moment later."""
    dev.run(Settings.from_environment(), say)


@app.command()
def plan() -> None:
    """What `up` would change on AWS, and what that costs; changes nothing."""
    target.plan(replace(Settings.from_environment(), target="aws"), say)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def rehearse(context: typer.Context) -> None:
    """Go through all of TARGET=aws on a stand-in for AWS; arguments go to pytest in place of tests/e2e."""
    from testbed.rehearsal.run import rehearse as run  # noqa: PLC0415  # of use to this command alone

    run(say, context.args or ["tests/e2e"])


@app.command()
def leftovers() -> None:
    """What of the deployment is in the AWS account; fails if there is anything."""
    target.say_leftovers(Settings.from_environment(), say)


@app.command()
def package() -> None:
    """Build the functions' packages for AWS, as Terraform's defaults want them."""
    runtime, folder = target.aws_packages(Settings.from_environment())
    for zipped in sorted(folder.glob("*.zip")):
        digest = hashlib.sha256(zipped.read_bytes()).hexdigest()
        say(f"{zipped}  {zipped.stat().st_size / 1e6:.2f} MB  sha256 {digest}")
    say(f"For Python {runtime.python} on {runtime.architecture}.")


@app.command()
def status() -> None:
    """What runs, where it answers, what waits in the queues."""
    deployment = current(Settings.from_environment())
    outputs, sqs = deployment.outputs, deployment.client("sqs")
    table = Table(show_header=False, box=None)
    where = "aws" if deployment.target == "aws" else f"local, engine {deployment.engine}"
    table.add_row("target", f"{where}, region {deployment.region}")
    for process in deployment.processes.values():
        table.add_row(process.name, _what_runs(process))
    table.add_row("AWS APIs", deployment.aws_url or "AWS")
    table.add_row("REST API", f"{deployment.api_url}/stations")
    table.add_row("API key", f"in {short(str(deployment.api_key_file))}; send it as x-api-key")
    table.add_row("MQTT", f"{deployment.mqtt_host}:{deployment.mqtt_port} (mTLS)")
    table.add_row("stations known", str(sum(1 for _ in api.stations(deployment, limit=100))))
    table.add_row("stations enrolled", str(len(lifecycle.enrolment(deployment).enrolled())))
    table.add_row("queue", str(auditing.queue_depth(sqs, outputs["telemetry_queue_url"])))
    table.add_row("dead letters", str(auditing.queue_depth(sqs, outputs["dead_letter_queue_url"])))
    out.print(table)


def _what_runs(process: Process) -> str:
    return process.where if process.container else f"pid {process.pid}, log {short(process.log)}"


@app.command(name="logs")
def show_logs(
    minutes: Annotated[int, typer.Option(help="How far back.")] = 15,
    lines: Annotated[int, typer.Option(help="Most lines of each log.")] = 40,
) -> None:
    """The logs of the functions and of the testbed's processes."""
    logs.show(current(Settings.from_environment()), say, minutes=minutes, lines=lines)
