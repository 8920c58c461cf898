"""Commands that break a deployment, or hold two against each other."""

import json
import threading
from collections import Counter
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from testbed.cli.console import app, confirm, out, say, short
from testbed.cli.costs import show_calls
from testbed.cli.proofs import show_audit
from testbed.deploy import lifecycle
from testbed.deploy.deployment import Deployment, current
from testbed.deploy.settings import Settings
from testbed.drills.clients import runner as clients
from testbed.drills.faults import runner
from testbed.drills.parity import compare, scenario
from testbed.drills.regions import pair as regions
from testbed.drills.regions import runner as region_lost
from testbed.engines import choice
from testbed.errors import TestbedError
from testbed.paths import REPOSITORY
from testbed.pipeline import replicator


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
    say("Operators: " + ", ".join(f"{count} {what}" for what, count in sorted(report.operators.items())))
    if json_file:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(report.as_dict(), indent=1) + "\n")
    raise typer.Exit(0 if report.clean else 1)


class How(StrEnum):
    """How a region is taken away."""

    KILLED = "killed"
    FROZEN = "frozen"


@app.command("region-lost")
def region_lost_command(
    stations: Annotated[int, typer.Option(help="How many stations.", min=1)] = 200,
    interval: Annotated[float, typer.Option(help="Seconds between two messages of a station.")] = 5,
    seed: Annotated[int, typer.Option(help="Of the fleet, and of the drill's times.")] = 1,
    seconds: Annotated[
        float,
        typer.Option(help="About how long the fleet publishes before the loss, during it and after it."),
    ] = 20,
    how: Annotated[How, typer.Option(help="Home's processes are killed, or stand still.")] = How.KILLED,
    json_file: Annotated[Path | None, typer.Option("--json", help="File for the report as JSON.")] = None,
) -> None:
    """Take one of two regions away under load and give it back; fails if a message is missing or a state wrong."""
    settings = Settings.from_environment()
    pair = regions.bring_up(settings, say, confirm)
    report = region_lost.run(
        pair,
        lambda: lifecycle.up(settings, say, confirm),
        say,
        stations=stations,
        interval=interval,
        seed=seed,
        seconds=seconds,
        how=how.value,
    )
    audit = report.audit
    table = Table("what", "", title=f"Region lost ({report.how}): seed {seed}, {stations} stations")
    for what, value in (
        ("acknowledged", ", ".join(f"{count:,} by {name}" for name, count in report.acknowledged.items())),
        ("archived", ", ".join(f"{count:,} in {name}" for name, count in audit.archived.items())),
        ("copies beyond the first", f"{audit.duplicates:,}"),
        ("missing", f"{audit.missing_count:,}"),
        ("in a dead-letter queue", f"{audit.dead_lettered:,}"),
        ("wrong state or presence while home was lost", f"{len(report.wrong_left):,}"),
        ("wrong state or presence when all are home", f"{len(report.wrong_back):,}"),
        *(
            (f"wrong state in {name} at the end", f"{len(wrong):,}")
            for name, wrong in audit.wrong_state.items()
        ),
        ("states that went back for a while", f"{report.went_back:,}"),
        ("away, seconds after the loss", _moved(report.away)),
        ("home, seconds after its return", _moved(report.back)),
    ):
        table.add_row(what, value)
    out.print(table)
    for wrong in [
        *audit.missing,
        *report.wrong_left,
        *report.wrong_back,
        *(one for some in audit.wrong_state.values() for one in some),
    ][:10]:
        say(f"  {wrong}")
    say(f"Both regions are still up. Remove the second one: make down DEPLOYMENT={pair.standby.name}")
    if json_file:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(report.as_dict(), indent=1) + "\n")
    raise typer.Exit(0 if report.clean else 1)


def _moved(moved: region_lost.Moved) -> str:
    return f"half after {moved.median:g}, all after {moved.last:g}; at most {moved.busiest} in a second"


@app.command("replicate")
def replicate_command(
    other: Annotated[str, typer.Argument(help="DEPLOYMENT of the second region.")],
) -> None:
    """Copy between the tables of two local deployments until Ctrl-C: a stand-in for DynamoDB's global tables."""
    settings = Settings.from_environment()
    home, standby = _known(settings), _known(replace(settings, name=other))
    tables = replicator.replicators(home, standby, say)
    say(f"A stand-in for DynamoDB's global tables, between {home.name} and {standby.name}; Ctrl-C ends it.")
    replicator.run(tables, threading.Event(), say)


def _known(settings: Settings) -> Deployment:
    """Return a local deployment, whether it runs or not: one that is lost may come back."""
    for engine in settings.engines():
        if settings.target == "local" and (found := Deployment.load(settings.folder(engine))):
            return found
    raise TestbedError(f"There is no local DEPLOYMENT={settings.name}.", "Start it: make up")


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
    cold_chain: Annotated[
        bool, typer.Option("--cold-chain", help="With examples/cold-chain, as a project of somebody's own.")
    ] = False,
) -> None:
    """Go through all of TARGET=aws on a stand-in for AWS; arguments go to pytest in place of tests/e2e."""
    from testbed.drills.rehearsal import own  # noqa: PLC0415  # of use to this command alone
    from testbed.drills.rehearsal.run import rehearse  # noqa: PLC0415

    if cold_chain:
        own.rehearse(say)
        return
    rehearse(say, context.args or ["tests/e2e"], settings, record=record)
