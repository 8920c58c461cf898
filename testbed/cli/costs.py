"""Commands of dollars and quotas."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from testbed.cli.console import AsJson, app, out, say, show, show_json
from testbed.cost import bill, designs, scale
from testbed.cost.bill import Counted, Line, Workload
from testbed.cost.designs import Design
from testbed.deploy.design import chosen_design
from testbed.deploy.settings import Settings


@app.command("cost")
def cost_command(
    stations: Annotated[int, typer.Option(help="How many stations.", min=1, envvar="STATIONS")] = 1000,
    interval: Annotated[
        float, typer.Option(help="Seconds between two messages of a station.", envvar="INTERVAL")
    ] = 5,
    window: Annotated[float, typer.Option(help="Seconds that a batch may wait to fill.")] = 5,
    basic_ingest: Annotated[
        bool,
        typer.Option(
            help="Stations publish straight to the rule; the simulator does so with --basic-ingest."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a network of stations costs on AWS by the settings, and what other designs would cost."""
    workload = bill.Workload(stations, interval, window, basic_ingest=basic_ingest)
    at, counts = bill.counted()
    ours, baseline = counts.ours, counts.baseline
    is_counted = (at.stations, at.interval, at.window) == (stations, interval, window)
    deployed = chosen_design(Settings.from_environment().environment)
    # What was counted are the batches of a queue.
    found = ours if is_counted and deployed.ingest == "sqs" else None
    bills = {
        "this design": designs.design_bill(deployed, workload, found),
        "the baseline design": bill.baseline_bill(workload, baseline if is_counted else None),
    }
    if as_json:
        show_json(
            {
                "workload": asdict(workload),
                "deployed": deployed.name,
                "messages_a_month": workload.messages_a_month,
                "usd_a_million_messages": {name: [*map(asdict, lines)] for name, lines in bills.items()},
                "designs_usd_a_million_messages": {
                    design.name: bill.total(designs.design_bill(design, workload))
                    for design in designs.DESIGNS
                },
            }
        )
        return
    _show_bills(workload, deployed, bills)
    _show_designs(workload, deployed)
    counted = f"counted, of {ours.messages} messages in {ours.invocations} calls"
    say(
        f"The handler's calls: {counted if found else 'by the design'}; `make bench WHAT=calls` counts them anew."
    )
    millions = workload.messages_a_month / 1e6
    say(
        f"{millions:,.1f} million messages a month. Prices of us-east-1, with date and sources: "
        "testbed/cost/prices.json; other regions' may be a fifth higher."
    )


def _show_bills(workload: Workload, deployed: Design, bills: dict[str, list[Line]]) -> None:
    """Show the lines of each bill and their total."""
    table = Table(
        title=f"{deployed.name}: {workload.stations} stations, a message every {workload.interval:g} s, "
        f"batches of {workload.window:g} s"
    )
    for heading in ("service", "what", "$ a million messages", "$ a month"):
        table.add_column(heading, justify="right" if heading.startswith("$") else "left")
    millions = workload.messages_a_month / 1e6
    for title, lines in bills.items():
        for line in lines:
            table.add_row(
                line.service, line.what, f"{line.usd_a_million:.3f}", f"{line.usd_a_million * millions:,.2f}"
            )
        whole = bill.total(lines)
        table.add_row(
            "[bold]total",
            f"[bold]{title}",
            f"[bold]{whole:.2f}",
            f"[bold]{whole * millions:,.2f}",
            end_section=True,
        )
    out.print(table)


def _show_designs(workload: Workload, deployed: Design) -> None:
    """Show the total of each design, and which is the cheapest at this size."""
    table = Table(title="By the design, not counted; ingest, stream_shards and table_capacity choose")
    for heading in ("design", "$ a million messages", "$ a month"):
        table.add_column(heading, justify="right" if heading.startswith("$") else "left")
    for design in designs.DESIGNS:
        whole = bill.total(designs.design_bill(design, workload))
        table.add_row(
            designs.marked(design, deployed),
            f"{whole:.2f}",
            f"{whole * workload.messages_a_month / 1e6:,.2f}",
        )
    out.print(table)
    say(
        f"Cheapest at this size: {designs.cheapest(workload).name}; `testbed scale` says from which fleet on each pays."
    )


def show_calls(parts: dict[str, Counted]) -> None:
    """Show the AWS calls that a proxy saw, for a million messages."""
    table = Table(title="AWS calls for a million messages, as counted on the wire")
    for heading in ("of", "service", "operation", "calls", "MB sent", "MB received"):
        table.add_column(
            heading, justify="right" if heading in ("calls", "MB sent", "MB received") else "left"
        )
    for part, found in parts.items():
        for service, operation, times, sent, received in found.a_million():
            table.add_row(part, service, operation, f"{times:,.0f}", f"{sent:,.1f}", f"{received:,.1f}")
    out.print(table)


@app.command("scale")
def scale_command(
    markdown: Annotated[bool, typer.Option("--markdown", help="Print docs/scale.md's tables.")] = False,
) -> None:
    """Show what 10,000 to a million stations need of AWS's quotas, and cost: arithmetic, not measured."""
    deployed = chosen_design(Settings.from_environment().environment)
    if markdown:
        show(scale.markdown(scale.table()) + "\n\n" + scale.markdown(designs.table()))
        return
    for title, (head, *rows) in (
        ("↑ has to be raised; ✗ cannot be: the design ends there", scale.table()),
        ("Stations every 5 s; which one is deployed is a matter of settings", designs.table(deployed)),
    ):
        table = Table(*head, title=title)
        for row in rows:
            table.add_row(*row)
        out.print(table)
    say("Quotas: testbed/cost/quotas.json, with their date and sources. What follows: docs/scale.md.")
