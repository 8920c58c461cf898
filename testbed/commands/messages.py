"""Commands of what became of messages: audit, trace, dead letters, the archive."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import boto3
import typer
from rich.table import Table

from testbed import audit as auditing
from testbed import redrive as redriving
from testbed import simulation
from testbed import trace as tracing
from testbed.analytics import compaction, saved
from testbed.analytics import query as asking
from testbed.audit import AuditReport
from testbed.commands.console import app, out, say, short
from testbed.deployment import current
from testbed.errors import TestbedError
from testbed.settings import Settings


@app.command()
def audit(
    ledger: Annotated[
        list[Path] | None, typer.Argument(help="Ledgers; without any, all of this deployment.")
    ] = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait for the queue to empty.")] = 120,
) -> None:
    """Hold what the broker acknowledged against archive, table and DLQ; fails if a message is missing."""
    deployment = current(Settings.from_environment())
    ledgers = ledger or simulation.ledgers(deployment)
    if not ledgers:
        raise TestbedError("There is no ledger yet.", "Run a fleet first: make simulate")
    start = time.monotonic()
    report = auditing.audit(deployment, ledgers, wait_seconds=wait)
    show_audit(report, f"Audit of {len(ledgers)} ledger(s) in {time.monotonic() - start:.1f} s")
    raise typer.Exit(0 if report.clean else 1)


def show_audit(report: AuditReport, title: str) -> None:
    """An audit's counts as a table, and some of what is wrong."""
    table = Table(title=title, show_header=False)
    table.add_row("acknowledged by the broker", str(report.acknowledged))
    table.add_row("of these archived", str(report.acknowledged_archived))
    table.add_row("of these dead-lettered", str(report.acknowledged_dead_lettered))
    table.add_row("missing", _judged(report.missing_count))
    table.add_row("archived: unique / duplicates", f"{report.archived_unique} / {report.archived_duplicates}")
    for reason, count in sorted(report.dead_lettered.items()):
        table.add_row(f"dead-lettered: {reason}", str(count))
    table.add_row("stations in the archive", str(report.stations))
    table.add_row("wrong latest state", _judged(report.wrong_state_count))
    table.add_row("history points due", str(report.points_due))
    table.add_row("history points missing", _judged(report.points_missing_count))
    table.add_row("history points not of the first message", _judged(report.points_wrong_count))
    table.add_row("still in the queue", str(report.still_queued))
    out.print(table)
    for line in (
        *(f"missing: {message}" for message in report.missing),
        *report.wrong_state,
        *report.wrong_points,
    ):
        say(line)


def _judged(count: int) -> str:
    return f"[{'red' if count else 'green'}]{count}"


@app.command()
def trace(
    message_id: Annotated[
        str, typer.Argument(help="As in the ledger and the archive.", show_default=False)
    ] = "",
) -> None:
    """Follow one message: measured, acknowledged, queued, archived or refused; where and when."""
    deployment = current(Settings.from_environment())
    where = f"Ids are in the ledgers, {short(str(deployment.path / 'ledgers'))}/, and in what make api shows."
    if not message_id:
        raise TestbedError("Which message? make trace ID=<message id>", where)
    sightings = tracing.trace(deployment, message_id)
    if not sightings:
        raise TestbedError(f"{message_id} was never seen.", where)
    for sighting in sightings:
        say(f"{sighting.when or '-':26} {sighting.where:20} {sighting.detail}")


@app.command()
def redrive(
    reason: Annotated[
        list[str] | None, typer.Option(help="Send back these reasons, repairable or not.")
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Only list the reasons.")] = False,
) -> None:
    """List the dead letters' reasons, and send the repairable ones back through the pipeline."""
    deployment = current(Settings.from_environment())
    reasons = frozenset(reason) if reason else redriving.REPAIRABLE
    report = redriving.redrive(deployment, reasons, dry_run=dry_run)
    for name, count in sorted(report.found.items()):
        say(f"{count:6} {name}{'' if name in reasons else '  (stays: trying again would not help)'}")
    say(f"{report.sent_back} sent back" if report.found else "The dead-letter queue is empty.")


@app.command()
def query(
    name: Annotated[str | None, typer.Argument(help="A saved query; without it, they are listed.")] = None,
    days: Annotated[int, typer.Option(help="Days of receipt, today included.", min=1)] = 7,
    through: Annotated[asking.Through | None, typer.Option(help="Not what is best here, but this.")] = None,
) -> None:
    """Ask the archive: a saved query through Athena where there is one, through DuckDB elsewhere."""
    if not name:
        for each in map(saved.load, saved.names()):
            say(f"{each.name:30} {each.about}")
        return
    chosen = saved.load(name)
    deployment = current(Settings.from_environment())
    through = through or asking.default(deployment)
    start = time.monotonic()
    result = asking.run(deployment, chosen, asking.last_days(days), through)
    table = Table(title=chosen.about)
    for column in result.columns:
        table.add_column(column)
    for row in result.rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    out.print(table)
    say(
        f"{len(result.rows)} row{'s' * (len(result.rows) != 1)} through {through}, {time.monotonic() - start:.1f} s"
    )


@app.command()
def compact(
    bucket: Annotated[str | None, typer.Option(help="Any archive, by your own AWS credentials.")] = None,
    minutes: Annotated[int, typer.Option(help="Leave hours that ended less than so long ago.")] = 60,
    settle: Annotated[int, typer.Option(help="Minutes before replaced batches are removed.", min=0)] = 15,
    everything: Annotated[bool, typer.Option("--all", help="This hour, too, and remove at once.")] = False,
) -> None:
    """Make one Parquet object of each hour's batches; run it again to remove what it has replaced."""
    if bucket:
        s3 = boto3.client("s3")
    else:
        deployment = current(Settings.from_environment())
        s3, bucket = deployment.client("s3"), deployment.outputs["telemetry_bucket_name"]
    ended = datetime.now(UTC) + (timedelta(hours=1) if everything else -timedelta(minutes=minutes))
    hours = compaction.compact(
        s3, bucket, ended, settle=timedelta(minutes=0 if everything else settle), say=_show_hour
    )
    if not hours:
        say("Nothing to compact.")


def _show_hour(hour: compaction.Hour) -> None:
    what = f"{hour.written}, {hour.size:,} bytes" if hour.written else "all in Parquet already"
    say(
        f"{hour.folder}: {hour.objects} objects of {hour.bytes:,} bytes, {hour.messages} messages -> {what}; "
        f"the objects are {'removed' if hour.removed else 'left until that has settled'}"
    )
