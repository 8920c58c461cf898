"""The commands that measure, and the one that draws the documentation's plots."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from bench import audit_memory, bridge, calls, enrolment, rule_sql, rule_sql_conformance, rule_sql_peers
from bench.fleet import command
from bench.fleet.command import OPEN_MQTT
from bench.fleet.runner import Scale
from bench.pipeline import connects, growth, run
from bench.results import documentation
from bench.results.document import MEASURED, Run, write
from testbed.cli.console import Application, confirm, say, short
from testbed.cli.costs import show_calls
from testbed.cost import bill, designs
from testbed.deploy import lifecycle
from testbed.deploy.design import chosen_design
from testbed.deploy.settings import Settings
from testbed.errors import TestbedError

app = Application()


@app.command("pipeline")
def pipeline_command(
    messages: Annotated[
        int | None, typer.Option(help="Messages of a burst; 5,000, on LocalStack 500.", min=100)
    ] = None,
    seconds: Annotated[int, typer.Option(help="How long a steady rate is offered.", min=2)] = 10,
    hold: Annotated[int, typer.Option(help="How long the last rate that kept up is held.", min=2)] = 60,
    first_rate: Annotated[
        int | None, typer.Option(help="Messages a second of the first rate; 200, on LocalStack 20.", min=5)
    ] = None,
    report: Annotated[Path | None, typer.Option(help="File for the figures as JSON.")] = None,
) -> None:
    """Measure latency and throughput beside the emulator's own path in the same run, and what the handler costs."""
    deployment = lifecycle.up(Settings.from_environment(), say, confirm)
    pace = deployment.engine.pace if deployment.engine else 1
    run.run(
        deployment,
        run.Scale(messages or round(5000 * pace), seconds, hold, first_rate or round(200 * pace)),
        say,
        report=report or MEASURED / f"pipeline-{deployment.cloud_name}.json",
    )


@app.command("growth")
def growth_command(
    sizes: Annotated[str, typer.Option(help="Fleet sizes.")] = "10,100,1000,10000",
    interval: Annotated[
        float, typer.Option(help="Seconds between two messages of a station.", min=0.01)
    ] = 60,
    rate: Annotated[
        float, typer.Option(help="Instead: messages a second of every fleet, whatever its size.", min=0)
    ] = 0,
    seconds: Annotated[float, typer.Option(help="Steady time of each size, after connecting.", min=1)] = 75,
    ramp: Annotated[float, typer.Option(help="Connections a second.", min=1)] = 200,
    report: Annotated[Path | None, typer.Option(help="File for the figures as JSON.")] = None,
) -> None:
    """Measure how everything grows with the fleet: connects, latency, memory and CPU of each part, the queue."""
    begun = Run("growth", "growth")
    deployment = lifecycle.up(Settings.from_environment(), say, confirm)
    scale = growth.GrowthScale(_sizes(sizes), interval, rate, seconds, ramp)
    found = growth.run(deployment, scale, say)
    report = report or MEASURED / ("growth-rate.json" if rate else "growth.json")
    write(begun.document(found.as_dict(), asdict(scale), {}), report)
    say(f"Figures: {report}")


@app.command("connects")
def connects_command(
    stations: Annotated[int, typer.Option(help="How many connect.", min=1)] = 1000,
    ramp: Annotated[float, typer.Option(help="Connections a second.", min=1)] = 1000,
    report: Annotated[Path | None, typer.Option(help="File for the figures as JSON.")] = None,
) -> None:
    """Measure the CPU of a connect in all parts beside a bare TLS handshake's."""
    begun = Run("connects", "connects")
    deployment = lifecycle.up(Settings.from_environment(), say, confirm)
    scale = connects.ConnectScale(stations, ramp)
    figures = {"fleets": [found.as_dict() for found in connects.run(deployment, scale, say)]}
    report = report or MEASURED / "connects.json"
    write(begun.document(figures, asdict(scale), {}), report)
    say(f"Figures: {report}")


def _sizes(text: str) -> tuple[int, ...]:
    words = text.replace(" ", "").split(",")
    if not all(word.isdecimal() and int(word) for word in words):
        raise TestbedError(f"--sizes {text} is no list of fleet sizes.", "Such as: --sizes 10,100,1000")
    return tuple(sorted({int(word) for word in words}))


@app.command("enrolment")
def enrolment_command(
    stations: Annotated[int, typer.Option(help="How many.", min=1)] = 10_000,
    report: Annotated[Path | None, typer.Option(help="File for the figures as JSON.")] = None,
) -> None:
    """Enrol a fleet at an emulator of its own, enrol it again, and remove it: seconds and CPU."""
    enrolment.run(stations, say, report=report)


@app.command("bridge")
def bridge_command(
    messages: Annotated[int, typer.Option(help="Of each of three rounds.")] = 3000,
    minutes: Annotated[float, typer.Option(help="How long memory is watched.")] = 0,
    rate: Annotated[int, typer.Option(help="Messages a second meanwhile.")] = 100,
    report: Annotated[Path | None, typer.Option(help="Where the figures go as JSON.")] = None,
) -> None:
    """Measure broker and bridge beside what one boto3 process sends to the queue, and their memory over time."""
    deployment = lifecycle.up(Settings.from_environment(), say, confirm)
    bridge.run(
        deployment,
        say,
        messages=messages,
        minutes=minutes,
        rate=rate,
        report=report or deployment.path / "bench" / "bridge.json",
    )


Only = Annotated[
    list[str] | None,
    typer.Option(help="Generators by name; all if none is named. Ours take part unless one is named."),
]

Out = Annotated[Path | None, typer.Option(help="Folder for the figures as JSON.")]


@app.command("fleet")
def fleet_command(
    messages: Annotated[int, typer.Option(help="Messages of a publishing run.", min=1000)] = 200_000,
    rounds: Annotated[int, typer.Option(help="Runs of which the cheapest counts.", min=1)] = 2,
    only: Only = None,
    out: Out = None,
) -> None:
    """Measure what a publish costs the simulator, beside other load generators on the same Mosquitto."""
    scale = Scale(messages=messages, rounds=rounds, connections=0, mtls_connections=0, fan_in=0)
    command.run(scale, only, out, say)


@app.command("open-mqtt")
def open_mqtt_command(
    connections: Annotated[int, typer.Option(help="Of conn-tcp-10k-100; 0: none.", min=0)] = 10_000,
    mtls_connections: Annotated[int, typer.Option(help="The same over mutual TLS; 0: none.", min=0)] = 1000,
    ramp: Annotated[float, typer.Option(help="Connections a second.", min=1)] = 100,
    hold: Annotated[float, typer.Option(help="Seconds that all are held.", min=0.5)] = 5,
    fan_in: Annotated[int, typer.Option(help="Publishers of fan-in 1K-5-1K-1K; 0: none.", min=0)] = 1000,
    fan_in_seconds: Annotated[int, typer.Option(help="Messages of each.", min=1)] = 15,
    only: Only = None,
    out: Out = None,
) -> None:
    """Run the Open MQTT Benchmark Suite's connections and fan-in, by the simulator and others on one Mosquitto."""
    command.run(
        Scale(
            messages=0,
            connections=connections,
            mtls_connections=mtls_connections,
            ramp=ramp,
            hold=hold,
            fan_in=fan_in,
            fan_in_seconds=fan_in_seconds,
        ),
        only or list(OPEN_MQTT),
        out,
        say,
    )


@app.command("calls")
def calls_command(
    stations: Annotated[int, typer.Option(help="How many stations.", min=1)] = 1000,
    interval: Annotated[float, typer.Option(help="Seconds between two messages of a station.")] = 5,
    window: Annotated[float, typer.Option(help="Seconds that a batch may wait to fill.")] = 5,
) -> None:
    """Count what the deployed handler and the bridge call, for `make cost` to price."""
    workload = bill.Workload(stations, interval, window)
    settings = Settings.from_environment()
    deployed, design = lifecycle.up(settings, say, confirm), chosen_design(settings.environment)
    counts = calls.count(deployed, workload, design)
    # What the tests hold the design to stays what it is of: a queue. A stream's batches are others.
    if workload == bill.counted()[0] and design.ingest == "sqs":
        bill.keep_counted(workload, counts)
    show_calls(
        {
            "telemetry handler": counts.ours,
            "bridge (not AWS's rule)": counts.bridge,
            "the baseline design's handler": counts.baseline,
        }
    )
    total = bill.total(designs.design_bill(design, workload, counts.ours))
    say(
        f"{design.name}: ${total:.2f} a million messages, of {counts.ours.messages} messages counted in "
        f"{counts.ours.invocations} calls of the handler"
    )


@app.command("rule-sql")
def rule_sql_command(
    seconds: Annotated[float, typer.Option(help="CPU time of each rule.", min=0.01)] = 1,
) -> None:
    """Measure messages a CPU second through the rule SQL engine."""
    rule_sql.run(seconds, say)


@app.command("rule-sql-peers")
def rule_sql_peers_command(
    verbose: Annotated[bool, typer.Option("--verbose", help="Every case that ministack gets wrong.")] = False,
) -> None:
    """Count which cases of AWS's rule SQL reference the bridge and ministack get right."""
    rule_sql_peers.run(say, verbose=verbose)


@app.command("rule-sql-cases")
def rule_sql_cases_command() -> None:
    """Write the cases of AWS's rule SQL reference as a file that other engines can run."""
    rule_sql_conformance.run(say)


@app.command("audit")
def audit_command(
    lines: Annotated[int, typer.Option(help="Lines of the ledger.", min=1)] = 10_000_000,
    stations: Annotated[int, typer.Option(help="That they are of.", min=1)] = 1000,
) -> None:
    """Measure time and memory of the audit for a ledger of so many lines."""
    audit_memory.run(lines, stations)


@app.command("plots")
def plots_command(
    keep: Annotated[
        bool, typer.Option("--keep", help="First take what the benchmarks wrote to results/.")
    ] = False,
) -> None:
    """Draw the documentation's plots and write its tables, from the results in docs/results."""
    for path in documentation.keep() if keep else ():
        say(f"Kept: {short(str(path))}")
    documentation.run(lambda line: say(short(line) if line.startswith("/") else line))
