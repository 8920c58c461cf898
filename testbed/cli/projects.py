"""Commands before there is a deployment: begin a project, look at the machine."""

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from testbed.cli.console import app, out, say, short
from testbed.deploy import doctor, template


@app.command("init")
def init_command(
    folder: Annotated[Path, typer.Argument(help="Where; made if it is not there.")] = Path(),
) -> None:
    """Write a project that goes up: Terraform, a function, a test, and testbed.toml."""
    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")[:24].rstrip("-")
    name = name if name[:1].isalpha() else f"iot-{name}".rstrip("-")
    for file in template.write(folder, name):
        say(f"wrote {short(str(file))}")
    say("Next: testbed up, pytest, testbed simulate, testbed logs; testbed down removes it all.")


@app.command("doctor")
def doctor_command() -> None:
    """Say what this machine has and lacks, and how to mend it; fails if the testbed cannot run."""
    table = Table(show_header=False, box=None)
    fails = False
    for finding in doctor.examine():
        mark = "[green]ok" if not finding.mend else "[red]lacks" if finding.needed else "[yellow]note"
        fails = fails or bool(finding.needed and finding.mend)
        table.add_row(
            mark, finding.what, f"{finding.found}. {finding.mend}" if finding.mend else finding.found
        )
    out.print(table)
    raise typer.Exit(1 if fails else 0)
