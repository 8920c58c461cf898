"""Commands of the archive: ask it, compact it."""

import time
from datetime import UTC, datetime, timedelta
from typing import Annotated

import boto3
import typer
from rich.table import Table

from testbed.archive import compaction, query, saved
from testbed.cli.console import app, out, say, show
from testbed.deploy.deployment import current
from testbed.deploy.settings import Settings
from testbed.errors import TestbedError


@app.command("query")
def query_command(
    name: Annotated[str | None, typer.Argument(help="A saved query; without it, they are listed.")] = None,
    days: Annotated[int, typer.Option(help="Days of receipt, today included.", min=1)] = 7,
    through: Annotated[
        query.Through | None, typer.Option(help="This, in place of what is best here.")
    ] = None,
) -> None:
    """Ask the archive: a saved query through Athena where there is one, through DuckDB elsewhere."""
    if not name:
        if not saved.names():
            raise TestbedError(
                "There is no saved query here.", "They are queries/*.sql of the testbed's repository."
            )
        for each in map(saved.load, saved.names()):
            show(f"{each.name:30} {each.about}")
        return
    deployment = current(Settings.from_environment())
    deployment.outputs.need("telemetry_bucket_name")
    chosen = saved.load(name)
    through = through or query.default(deployment)
    start = time.monotonic()
    result = query.run(deployment, chosen, query.last_days(days), through)
    table = Table(title=chosen.about)
    for column in result.columns:
        table.add_column(column)
    for row in result.rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    out.print(table)
    say(
        f"{len(result.rows)} row{'s' * (len(result.rows) != 1)} through {through}, {time.monotonic() - start:.1f} s"
    )


@app.command("compact")
def compact_command(
    bucket: Annotated[str | None, typer.Option(help="Any archive, by your own AWS credentials.")] = None,
    minutes: Annotated[int, typer.Option(help="Leave hours that ended less than so long ago.")] = 60,
    settle: Annotated[int, typer.Option(help="Minutes before replaced batches are removed.", min=0)] = 15,
    everything: Annotated[bool, typer.Option("--all", help="This hour, too, and remove at once.")] = False,
) -> None:
    """Make Parquet of each hour's batches; run it again to remove what it has replaced."""
    if bucket:
        s3 = boto3.client("s3")
    else:
        deployment = current(Settings.from_environment())
        deployment.outputs.need("telemetry_bucket_name")
        s3, bucket = deployment.client("s3"), deployment.outputs.telemetry_bucket_name
    ended = datetime.now(UTC) + (timedelta(hours=1) if everything else -timedelta(minutes=minutes))
    done = compaction.compact(
        s3, bucket, ended, settle=timedelta(minutes=0 if everything else settle), say=_show_merged
    )
    if not done:
        say("Nothing to compact.")


def _show_merged(merged: compaction.Merged) -> None:
    what = f"{merged.written}, {merged.size:,} bytes" if merged.written else "all in Parquet already"
    say(
        f"{merged.folder}: {merged.objects} objects of {merged.bytes:,} bytes, {merged.messages} messages -> {what}; "
        f"the objects are {'removed' if merged.removed else 'left until that has settled'}"
    )
