"""Commands that break a deployment, or hold two against each other."""

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from testbed.cli.console import app, confirm, out, say, short
from testbed.cli.costs import show_calls
from testbed.cli.proofs import show_audit
from testbed.deploy import lifecycle
from testbed.deploy.deployment import current
from testbed.deploy.settings import Settings
from testbed.drills.clients import runner as clients
from testbed.drills.faults import runner
from testbed.drills.parity import compare, scenario
from testbed.engines import choice
from testbed.errors import TestbedError
from testbed.paths import REPOSITORY


@app.command("parity-record")
def parity_record_command(
    record: Annotated[
        Path | None, typer.Option(help="File for it; by default tests/parity/<target>.json.")
    ] = None,
) -> None:
    """Play the parity scenario against what is up, and keep what came of it."""
    deployment = current(Settings.from_environment())
    path = record or _record_of(deployment.cloud_name)
    path.parent.mkdir(parents=True, exist_ok=True)
    found = scenario.record(deployment, say)
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    say(f"Recorded {short(str(path))}")


@app.command("parity")
def parity_command(
    recorded: Annotated[
        str, typer.Option(help="The target whose record it is held against.")
    ] = choice.EVERYWHERE,
    report: Annotated[Path | None, typer.Option(help="File for the gaps as a Markdown table.")] = None,
) -> None:
    """Hold what is up against the record of another target; fails on a gap that gaps.json does not explain."""
    deployment = current(Settings.from_environment())
    path, name = _record_of(recorded), deployment.cloud_name
    if not path.is_file():
        raise TestbedError(
            f"There is no record of {recorded}.", "Record it first: scripts/testbed parity-record"
        )
    # A record of its own, so that both went through JSON.
    seen = json.loads(json.dumps(scenario.record(deployment, say)))
    found = compare.gaps(json.loads(path.read_text()), seen, f"{recorded} {name}")
    table = compare.table(found, recorded, name)
    if report:
        report.write_text(table)
    say(table if found else f"{name} answers as {recorded} did.")
    unexplained = sum(not gap.reason for gap in found)
    say(f"{len(found)} gaps, {unexplained} of them unexplained")
    raise typer.Exit(1 if unexplained else 0)


def _record_of(name: str) -> Path:
    return REPOSITORY / "tests" / "parity" / f"{name}.json"


@app.command("faults")
def faults_command(
    seconds: Annotated[float, typer.Option(help="How long the fleet publishes.")] = 60,
    seed: Annotated[int, typer.Option(help="Of the faults and their order.")] = 1,
    stations: Annotated[int, typer.Option(help="How many stations.")] = 20,
    interval: Annotated[float, typer.Option(help="Seconds between two messages of a station.")] = 1,
    only: Annotated[list[str] | None, typer.Option(help="Only faults whose name has this in it.")] = None,
    freeze: Annotated[float, typer.Option(help="Seconds that what is frozen stays so.", min=1)] = 6,
    json_file: Annotated[Path | None, typer.Option("--json", help="File for the report as JSON.")] = None,
) -> None:
    """Break the deployment under load in every way that is known, then audit; fails if anything is missing."""
    deployment = lifecycle.up(Settings.from_environment(), say, confirm)
    report = runner.run(
        deployment,
        say,
        seconds=seconds,
        seed=seed,
        stations=stations,
        interval=interval,
        only=only or (),
        frozen_seconds=freeze,
    )
    table = Table("fault", "injected", "hit", title=f"Seed {seed}, engine {report.engine}, {seconds:g} s")
    for fault in report.injected:
        table.add_row(fault.name, str(fault.times), str(fault.hits))
    out.print(table)
    show_calls({"functions and bridge": report.calls})
    show_audit(report.audit, f"Seed {seed}: the audit")
    for failed in report.failed:
        say(f"Not done: {failed.what}: {failed.why}")
    say(
        f"Poison: {report.poison_sent} acknowledged, {len(report.lost_poison)} not in the DLQ, "
        f"{len(report.stored_poison)} stored as if good"
    )
    if json_file:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(report.as_dict(), indent=1) + "\n")
    raise typer.Exit(0 if report.clean else 1)


@app.command("clients")
def clients_command(
    only: Annotated[list[str] | None, typer.Option(help="Only clients whose name has this in it.")] = None,
) -> None:
    """Have real clients of AWS IoT connect to what is up and do what they do; fails if one of them does."""
    results = clients.run(current(Settings.from_environment()), only or ())
    table = Table("client", "version", "protocol", "what it did", "result")
    for result in results:
        client = result.client
        colour = {"ok": "green", "failed": "red"}.get(result.state, "yellow")
        said = f"[{colour}]{result.state}[/{colour}]{escape(f': {result.why}' if result.why else '')}"
        table.add_row(client.name, result.version, client.protocol, client.did, said)
    out.print(table)
    count = Counter(result.state for result in results)
    say(", ".join(f"{count[state]} {state}" for state in ("ok", "failed", "skipped")))
    raise typer.Exit(1 if count["failed"] or not results else 0)


@app.command("rehearse", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def rehearse_command(
    context: typer.Context,
    settings: Annotated[str, typer.Option(help="Whose .tfvars: dev or prod.")] = "prod",
    record: Annotated[
        bool, typer.Option("--record", help="Write what IAM was asked into asked.json.")
    ] = False,
) -> None:
    """Go through all of TARGET=aws on a stand-in for AWS; arguments go to pytest in place of tests/e2e."""
    from testbed.drills.rehearsal.run import rehearse  # noqa: PLC0415  # of use to this command alone

    rehearse(say, context.args or ["tests/e2e"], settings, record=record)
