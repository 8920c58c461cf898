"""Commands of what became of messages: audit, trace, dead letters, the archive."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from testbed.cli.console import AsJson, app, out, say, short, show, show_json
from testbed.deploy.deployment import current
from testbed.deploy.settings import Settings
from testbed.errors import TestbedError
from testbed.proofs import redrive, trace
from testbed.proofs.audit import AuditReport, audit
from testbed.proofs.ledgers import OPERATIONS_SUFFIX, ledgers_of, operations_of
from testbed.proofs.operations import GUARANTEES, OperationsReport


@app.command("audit")
def audit_command(
    ledger: Annotated[
        list[Path] | None, typer.Argument(help="Ledgers; without any, all of this deployment.")
    ] = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait for the queue to empty.")] = 120,
    as_json: AsJson = False,
) -> None:
    """Hold what broker and API accepted against what cloud and stations hold; fails if anything is missing."""
    deployment = current(Settings.from_environment())
    deployment.outputs.need(
        "telemetry_bucket_name",
        "dead_letter_queue_url",
        "telemetry_queue_url",
        "stations_table_name",
        "history_table_name",
    )
    ledgers = ledger or [*ledgers_of(deployment), *operations_of(deployment)]
    if not ledgers:
        if lost := sorted(deployment.path.glob("ledgers/lost-*")):
            raise TestbedError(
                f"There is no ledger since the cloud lost what it held; older ones are in {short(str(lost[-1]))}.",
                "Run a fleet: make simulate",
            )
        raise TestbedError("There is no ledger yet.", "Run a fleet first: make simulate")
    start = time.monotonic()
    report = audit(deployment, ledgers, wait_seconds=wait)
    if as_json:
        show_json(asdict(report) | {"clean": report.clean})
        raise typer.Exit(0 if report.clean else 1)
    count = sum(path.suffix != OPERATIONS_SUFFIX for path in ledgers)
    show_audit(report, f"Audit of {count} ledger(s) in {time.monotonic() - start:.1f} s")
    raise typer.Exit(0 if report.clean else 1)


def show_audit(report: AuditReport, title: str) -> None:
    """Show an audit's counts as a table, and some of what is wrong."""
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
    if report.operations:
        _add_operations(table, report.operations)
    out.print(table)
    for line in (
        *(f"missing: {message}" for message in report.missing),
        *report.wrong_state,
        *report.wrong_points,
        *(report.operations.found if report.operations else ()),
    ):
        show(line)


def _add_operations(table: Table, report: OperationsReport) -> None:
    """Add the rows of settings and commands; of the guarantees those that were not kept."""
    table.add_row("settings accepted / conflicts", f"{report.changes} / {report.changes_conflicted}")
    if report.changes_unknown:
        table.add_row("settings of which the API does not know", str(report.changes_unknown))
    ended = f"{report.commands_answered} / {report.commands_timed_out}"
    table.add_row("commands accepted", str(report.commands))
    table.add_row("of these answered / timed out", ended)
    broken = {guarantee: count for guarantee, count in report.wrong.items() if count}
    for guarantee, count in broken.items():
        table.add_row(GUARANTEES[guarantee], _judged(count))
    if not broken:
        table.add_row("settings and commands lost, repeated or unseen", _judged(0))


def _judged(count: int) -> str:
    return f"[{'red' if count else 'green'}]{count}"


@app.command("trace")
def trace_command(
    message_id: Annotated[
        str, typer.Argument(help="As in the ledger and the archive.", show_default=False)
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Follow one message: measured, acknowledged, queued, archived or refused; where and when."""
    deployment = current(Settings.from_environment())
    deployment.outputs.need(
        "telemetry_bucket_name", "dead_letter_queue_url", "telemetry_queue_url", "stations_table_name"
    )
    where = f"Ids are in the ledgers, {short(str(deployment.path / 'ledgers'))}/, and in the API's answers."
    if not message_id:
        raise TestbedError("Which message? scripts/testbed trace <message id>", where)
    sightings = trace.trace(deployment, message_id)
    if not sightings:
        raise TestbedError(f"{message_id} was never seen.", where)
    if as_json:
        show_json([asdict(sighting) for sighting in sightings])
        return
    for sighting in sightings:
        show(f"{sighting.when or '-':26} {sighting.where:20} {sighting.detail}")


@app.command("redrive")
def redrive_command(
    reason: Annotated[
        list[str] | None, typer.Option(help="Send back these reasons, repairable or not.")
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Only list the reasons.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the dead letters' reasons, and send the repairable ones back through the pipeline."""
    deployment = current(Settings.from_environment())
    deployment.outputs.need("dead_letter_queue_url", "telemetry_queue_url")
    reasons = frozenset(reason) if reason else redrive.REPAIRABLE
    quiet = (lambda _: None) if as_json else say
    report = redrive.redrive(deployment, reasons, dry_run=dry_run, say=quiet)
    if as_json:
        show_json({"found": report.found, "sent_back": report.sent_back})
        return
    for name, count in sorted(report.found.items()):
        say(f"{count:6} {name}{'' if name in reasons else '  (stays: trying again would not help)'}")
    say(f"{report.sent_back} sent back" if report.found else "The dead-letter queue is empty.")
