"""The testbed's commands; `make` calls them."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.parse
import webbrowser
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import boto3
import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from testbed import (
    api,
    archive,
    cost_count,
    dead_letters,
    dev,
    device,
    lifecycle,
    load_test,
    logs,
    simulation,
)
from testbed import audit as auditing
from testbed import bridge_bench as bridge_benchmark
from testbed import cost as costing
from testbed import dashboard as watching
from testbed import enrolment_bench as enrolment_benchmark
from testbed import redrive as redriving
from testbed import scale as scaling
from testbed import trace as tracing
from testbed.analytics import compaction, saved
from testbed.analytics import query as asking
from testbed.audit import AuditReport
from testbed.aws import target
from testbed.bench import growth
from testbed.bench import run as benchmark
from testbed.cost import Counted
from testbed.deployment import Deployment, current
from testbed.errors import TestbedError
from testbed.faults import runner as breaking
from testbed.fleetbench import command as fleet_benchmark
from testbed.fleetbench.command import OPEN_MQTT
from testbed.fleetbench.runner import Scale
from testbed.parity import compare, scenario
from testbed.paths import REPOSITORY
from testbed.processes import Process, last_line
from testbed.results import pages
from testbed.results.document import MEASURED, Run, write
from testbed.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
# A pipe has no width: tables keep their columns there.
out = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def main() -> None:
    """Run a command; an error is one line with its remedy, a traceback only with ``--debug``."""
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    try:
        app()
    except TestbedError as error:
        if debug:
            raise
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"[red]error[/red] {error}", markup=True)
        sys.exit(1)
    except (BotoCoreError, ClientError) as error:
        if debug:
            raise
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"[red]error[/red] {escape(str(error))}")
        sys.exit(1)
    except KeyboardInterrupt:
        if debug:
            raise
        sys.exit(130)


def _confirm(question: str) -> bool:
    if not sys.stdin.isatty():
        raise TestbedError(f"{question} There is nobody to ask.", "Say yes beforehand: ARGS=--yes")
    return typer.confirm(question)


def _say(line: str) -> None:
    out.print(line, soft_wrap=True, markup=False)


Yes = Annotated[bool, typer.Option("--yes", help="Do not ask before changing or removing anything on AWS.")]


def _asking(yes: bool) -> Callable[[str], bool]:
    return (lambda _: True) if yes else _confirm


@app.command()
def up(yes: Yes = False) -> None:
    """Start the cloud and deploy to it."""
    lifecycle.up(Settings.from_environment(), _say, _asking(yes))


@app.command()
def down(
    yes: Yes = False,
    delete_archive: Annotated[
        bool, typer.Option(help="On AWS: delete the archive, too, with what is in it.")
    ] = False,
) -> None:
    """Stop and remove everything that up made."""
    lifecycle.down(Settings.from_environment(), _say, _asking(yes), delete_archive=delete_archive)


@app.command(name="dev")
def develop() -> None:
    """Follow functions/ and terraform/: what is saved is live a moment later."""
    dev.run(Settings.from_environment(), _say)


@app.command()
def plan() -> None:
    """What `up` would change on AWS, and what that costs; changes nothing."""
    target.plan(replace(Settings.from_environment(), target="aws"), _say)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def rehearse(context: typer.Context) -> None:
    """Go through all of TARGET=aws on a stand-in for AWS; arguments go to pytest in place of tests/e2e."""
    from testbed.rehearsal.run import rehearse as run  # noqa: PLC0415  # of use to this command alone

    run(_say, context.args or ["tests/e2e"])


@app.command()
def leftovers() -> None:
    """What of the deployment is in the AWS account; fails if there is anything."""
    target.say_leftovers(Settings.from_environment(), _say)


@app.command()
def package() -> None:
    """Build the functions' packages for AWS, as Terraform's defaults want them."""
    runtime, folder = target.aws_packages(Settings.from_environment())
    for zipped in sorted(folder.glob("*.zip")):
        digest = hashlib.sha256(zipped.read_bytes()).hexdigest()
        _say(f"{zipped}  {zipped.stat().st_size / 1e6:.2f} MB  sha256 {digest}")
    _say(f"For Python {runtime.python} on {runtime.architecture}.")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def simulate(
    context: typer.Context,
    num_stations: Annotated[int, typer.Option(help="How many stations.", min=1)] = 10,
    interval: Annotated[float, typer.Option(help="Seconds between two messages of a station.")] = 5,
) -> None:
    """Run a fleet of stations against what is up; further options are the simulator's."""
    deployment = current(Settings.from_environment())
    sys.exit(simulation.run(deployment, num_stations, interval, context.args, _say))


@app.command()
def demo(
    seconds: Annotated[int, typer.Option(help="How long the stations run.")] = 60,
    num_stations: Annotated[int, typer.Option(help="How many stations.", min=1)] = 10,
    yes: Yes = False,
) -> None:
    """Up, ten stations for a minute, then what the REST API says of them."""
    deployment = lifecycle.up(Settings.from_environment(), _say, _asking(yes))
    _say(
        f"{num_stations} stations publish over MQTT for {seconds} s; the table is what the REST API says of them."
    )
    log = deployment.place.log("simulator") if deployment.ports else deployment.path / "simulator.log"
    # A little longer than is shown, so that the last table has the stations online.
    with ExitStack() as stack:
        if deployment.ports:
            page = stack.enter_context(watching.running(deployment))
            stack.enter_context(watching.in_background(page))
            _say(
                f"The same in a browser, for as long: http://127.0.0.1:{page.server_port}/   (later: make dashboard)"
            )
        fleet = simulation.start(deployment, num_stations, ["--duration", str(seconds + 10)], log)
        try:
            _watch(deployment, seconds, fleet)
        finally:
            fleet.send_signal(signal.SIGINT)
            fleet.wait()
    if fleet.returncode:
        raise TestbedError(f"The simulator failed: {last_line(log)}", f"See {log}.")
    outputs = deployment.outputs
    auditing.wait_for_empty_queue(deployment.client("sqs"), outputs["telemetry_queue_url"], 30)
    objects = sum(1 for _ in archive.objects(deployment.client("s3"), outputs["telemetry_bucket_name"]))
    letters = len(dead_letters.read(deployment.client("sqs"), outputs["dead_letter_queue_url"]))
    _say(f"Archive: {objects} objects in {outputs['telemetry_bucket_name']}   dead letters: {letters}")
    key = _short(str(deployment.api_key_file))
    _say(f"Ask yourself: curl -H \"x-api-key: $(cat {key})\" '{deployment.api_url}/stations?min_batteries=5'")
    _say("Next: make audit (is anything lost?), make status, make logs; make down removes it all.")


def _watch(deployment: Deployment, seconds: int, fleet: "subprocess.Popen[bytes]") -> None:
    """Show the stations until the time is over: live on a terminal, once elsewhere."""
    deadline = time.monotonic() + seconds
    table = _stations_table(deployment)
    with Live(table, console=out, auto_refresh=False) if out.is_terminal else nullcontext() as live:
        while time.monotonic() < deadline and fleet.poll() is None:
            time.sleep(1)
            if live:
                live.update(_stations_table(deployment), refresh=True)
    if not out.is_terminal:
        out.print(_stations_table(deployment))


def _stations_table(deployment: Deployment) -> Table:
    table = Table(title=f"GET {deployment.api_url}/stations")
    for heading in ("station", "ready", "charging", "swaps", "queue", "power", "temp", "status", "seen"):
        table.add_column(
            heading, justify="left" if heading in ("station", "status") else "right", no_wrap=True
        )
    for station in sorted(api.stations(deployment), key=lambda item: str(item["station_id"])):
        table.add_row(
            str(station["station_id"]),
            f"{station['battery_available']}/{station.get('slots', '?')}",
            str(station.get("charging", "")),
            str(station.get("swaps_total", "")),
            str(station.get("queue_length", "")),
            f"{station['power_kw']:.0f} kW" if "power_kw" in station else "",
            f"{station['temperature_c']:.1f} °C" if "temperature_c" in station else "",
            str(station.get("status", "")),
            str(station["timestamp"])[11:19],
        )
    return table


def _short(path: str) -> str:
    """A path as seen from here, where that is shorter."""
    return min(path, os.path.relpath(path), key=len)


@app.command()
def dashboard(
    port: Annotated[int | None, typer.Option(help="Of the page; any free one if left out.")] = None,
    local: Annotated[bool, typer.Option(help="Serve it here, though CloudFront does, too.")] = False,
) -> None:
    """Serve the live dashboard on 127.0.0.1 until Ctrl-C; where CloudFront serves it, say where that is."""
    deployment = current(Settings.from_environment())
    if (url := deployment.outputs.get("dashboard_url")) and not local:
        _say(
            f"Dashboard: {url}/   It asks for the API's key, which is in {_short(str(deployment.api_key_file))}"
        )
        if sys.stdout.isatty():
            webbrowser.open(url)
        return
    # Stopped by a kill, too, it takes its front door along.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with watching.running(deployment, port) as page:
        _say(f"Dashboard: http://127.0.0.1:{page.server_port}/   Ctrl-C ends it.")
        page.serve_forever()


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
    table.add_row("API key", f"in {_short(str(deployment.api_key_file))}; send it as x-api-key")
    table.add_row("MQTT", f"{deployment.mqtt_host}:{deployment.mqtt_port} (mTLS)")
    table.add_row("stations known", str(sum(1 for _ in api.stations(deployment, limit=100))))
    table.add_row("stations enrolled", str(len(lifecycle.enrolment(deployment).enrolled())))
    table.add_row("queue", str(auditing.queue_depth(sqs, outputs["telemetry_queue_url"])))
    table.add_row("dead letters", str(auditing.queue_depth(sqs, outputs["dead_letter_queue_url"])))
    out.print(table)


def _what_runs(process: Process) -> str:
    return process.where if process.container else f"pid {process.pid}, log {_short(process.log)}"


@app.command(name="logs")
def show_logs(
    minutes: Annotated[int, typer.Option(help="How far back.")] = 15,
    lines: Annotated[int, typer.Option(help="Most lines of each log.")] = 40,
) -> None:
    """The logs of the functions and of the testbed's processes."""
    logs.show(current(Settings.from_environment()), _say, minutes=minutes, lines=lines)


@app.command(name="publish")
def publish_message(
    # By the environment: on its way through make and a shell a message would lose its dollars and its quotes.
    station: Annotated[
        str, typer.Argument(envvar="TESTBED_STATION", help="Station id; it is enrolled if it is not.")
    ] = "",
    message: Annotated[str, typer.Argument(envvar="TESTBED_MESSAGE", help="The payload, good or bad.")] = "",
) -> None:
    """Publish one message as a station, by MQTT with its certificate."""
    if not station or not message:
        raise TestbedError(
            "Who says what?",
            """make publish STATION=station-01 MESSAGE='{"station_id": "station-01", ...}'""",
        )
    if device.publish(current(Settings.from_environment()), station, message.encode()):
        _say(f"Enrolled {station}, which was no station yet")
    _say(f"Acknowledged by the broker: {len(message.encode())} bytes from {station}")


@app.command()
def listen(
    messages: Annotated[int, typer.Option(help="End after so many.", min=1)] = 10,
    seconds: Annotated[float, typer.Option(help="End after so long.")] = 60,
) -> None:
    """Print what stations publish, as the broker hands it on."""
    if not device.listen(current(Settings.from_environment()), messages, seconds, _say):
        raise TestbedError(f"No station said anything in {seconds:g} s.", "Let some: make simulate")


@app.command(name="api")
def ask_api(
    route: Annotated[
        str, typer.Argument(envvar="TESTBED_ROUTE", help="Such as /stations/station-01.")
    ] = "/stations",
) -> None:
    """GET a route of the REST API, with its key."""
    path, _, query_string = f"/{route.removeprefix('/')}".partition("?")
    status_code, document = api.get(
        current(Settings.from_environment()), path, **dict(urllib.parse.parse_qsl(query_string))
    )
    _say(json.dumps(document, indent=1))
    raise typer.Exit(0 if status_code == 200 else 1)


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
        _say(f"{count:6} {name}{'' if name in reasons else '  (stays: trying again would not help)'}")
    _say(f"{report.sent_back} sent back" if report.found else "The dead-letter queue is empty.")


@app.command()
def trace(
    message_id: Annotated[
        str, typer.Argument(help="As in the ledger and the archive.", show_default=False)
    ] = "",
) -> None:
    """Follow one message: measured, acknowledged, queued, archived or refused; where and when."""
    deployment = current(Settings.from_environment())
    where = (
        f"Ids are in the ledgers, {_short(str(deployment.path / 'ledgers'))}/, and in what make api shows."
    )
    if not message_id:
        raise TestbedError("Which message? make trace ID=<message id>", where)
    sightings = tracing.trace(deployment, message_id)
    if not sightings:
        raise TestbedError(f"{message_id} was never seen.", where)
    for sighting in sightings:
        _say(f"{sighting.when or '-':26} {sighting.where:20} {sighting.detail}")


@app.command()
def query(
    name: Annotated[str | None, typer.Argument(help="A saved query; without it, they are listed.")] = None,
    days: Annotated[int, typer.Option(help="Days of receipt, today included.", min=1)] = 7,
    through: Annotated[asking.Through | None, typer.Option(help="Not what is best here, but this.")] = None,
) -> None:
    """Ask the archive: a saved query through Athena where there is one, through DuckDB elsewhere."""
    if not name:
        for each in map(saved.load, saved.names()):
            _say(f"{each.name:30} {each.about}")
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
    _say(
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
        _say("Nothing to compact.")


def _show_hour(hour: compaction.Hour) -> None:
    what = f"{hour.written}, {hour.size:,} bytes" if hour.written else "all in Parquet already"
    _say(
        f"{hour.folder}: {hour.objects} objects of {hour.bytes:,} bytes, {hour.messages} messages -> {what}; "
        f"the objects are {'removed' if hour.removed else 'left until that has settled'}"
    )


@app.command()
def cost(
    stations: Annotated[int, typer.Option(help="How many stations.", min=1)] = 1000,
    interval: Annotated[float, typer.Option(help="Seconds between two messages of a station.")] = 5,
    window: Annotated[float, typer.Option(help="Seconds that a batch may wait to fill.")] = 5,
    basic_ingest: Annotated[bool, typer.Option(help="Stations publish straight to the rule.")] = True,
    count: Annotated[
        bool,
        typer.Option(help="Count anew what the deployed handler and the bridge call; of the goal, keep it."),
    ] = False,
) -> None:
    """What a network of stations costs on AWS, beside the seed's design counted the same way."""
    workload = costing.Workload(stations, interval, window, basic_ingest=basic_ingest)
    at, counts = costing.counted()
    if count:
        deployment = lifecycle.up(Settings.from_environment(), _say, _confirm)
        counts = cost_count.count(deployment, workload)
        # What the tests hold the design to stays what it is of.
        if workload == at:
            costing.keep_counted(workload, counts)
        at = workload
    ours, seeds = counts.ours, counts.seeds
    is_counted = (at.stations, at.interval, at.window) == (stations, interval, window)
    table = Table(title=f"{stations} stations, a message every {interval:g} s, batches of {window:g} s")
    for heading in ("service", "what", "$ a million messages", "$ a month"):
        table.add_column(heading, justify="right" if heading.startswith("$") else "left")
    millions = workload.messages_a_month / 1e6
    for title, lines in (
        ("this design", costing.bill(workload, ours if is_counted else None)),
        ("the seed's design", costing.seed_bill(workload, seeds if is_counted else None)),
    ):
        for line in lines:
            table.add_row(
                line.service, line.what, f"{line.usd_a_million:.3f}", f"{line.usd_a_million * millions:,.2f}"
            )
        whole = costing.total(lines)
        table.add_row(
            "[bold]total",
            f"[bold]{title}",
            f"[bold]{whole:.2f}",
            f"[bold]{whole * millions:,.2f}",
            end_section=True,
        )
    out.print(table)
    if count:
        _show_calls({
            "telemetry handler": ours, "bridge (not AWS's rule)": counts.bridge, "the seed's handler": seeds,
        })  # fmt: skip
    _say(
        "The handler's calls: "
        + (
            f"counted, of {ours.messages} messages in {ours.invocations} calls"
            if is_counted
            else "by the design"
        )
        + "; `--count` counts them anew."
    )
    _say(
        f"{millions:,.1f} million messages a month. Prices: testbed/prices.json, with their date and sources."
    )


def _show_calls(parts: dict[str, Counted]) -> None:
    """The AWS calls that a proxy saw, for a million messages."""
    table = Table(title="AWS calls for a million messages, as counted on the wire")
    for heading in ("of", "service", "operation", "calls", "MB sent", "MB received"):
        table.add_column(
            heading, justify="right" if heading in ("calls", "MB sent", "MB received") else "left"
        )
    for part, found in parts.items():
        for service, operation, calls, sent, received in found.a_million():
            table.add_row(part, service, operation, f"{calls:,.0f}", f"{sent:,.1f}", f"{received:,.1f}")
    out.print(table)


@app.command()
def scale(
    markdown: Annotated[bool, typer.Option("--markdown", help="As docs/scale.md has it.")] = False,
) -> None:
    """What 10,000 to a million stations need of AWS's quotas, and what they cost: arithmetic, not measured."""
    if markdown:
        _say(scaling.markdown())
        return
    head, *rows = scaling.table()
    table = Table(*head, title="↑ has to be raised; ✗ cannot be: the design ends there")
    for row in rows:
        table.add_row(*row)
    out.print(table)
    _say("Quotas: testbed/quotas.json, with their date and sources. What follows: docs/scale.md.")


@app.command()
def bench(
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
    """Latency and throughput, beside the emulator's own path in the same run; and what the handler costs."""
    deployment = lifecycle.up(Settings.from_environment(), _say, _confirm)
    slow = deployment.engine == "localstack"
    benchmark.run(
        deployment,
        benchmark.Scale(
            messages or (500 if slow else 5000), seconds, hold, first_rate or (20 if slow else 200)
        ),
        _say,
        report=report or MEASURED / f"pipeline-{deployment.engine}.json",
    )


@app.command(name="bench-growth")
def bench_growth(
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
    """How everything grows with the fleet: connects, latency, memory and CPU of each part, and the queue."""
    begun = Run("growth", "bench-growth")
    deployment = lifecycle.up(Settings.from_environment(), _say, _confirm)
    scale = growth.GrowthScale(_sizes(sizes), interval, rate, seconds, ramp)
    found = growth.run(deployment, scale, _say)
    report = report or MEASURED / ("growth-rate.json" if rate else "growth.json")
    write(begun.document(found.as_dict(), asdict(scale), {}), report)
    _say(f"Figures: {report}")


def _sizes(text: str) -> tuple[int, ...]:
    words = text.replace(" ", "").split(",")
    if not all(word.isdecimal() and int(word) for word in words):
        raise TestbedError(f"--sizes {text} is no list of fleet sizes.", "Such as: --sizes 10,100,1000")
    return tuple(sorted({int(word) for word in words}))


@app.command(name="load-test")
def run_load_test(
    shards: Annotated[int, typer.Option(help="Containers in Compose; on AWS Terraform says it.", min=1)] = 2,
    duration: Annotated[float, typer.Option(help="Seconds, in Compose; on AWS Terraform says it.")] = 60,
) -> None:
    """Run a fleet in shards: Fargate tasks on AWS, containers in Compose."""
    settings = Settings.from_environment()
    load_test.run(current(settings), settings, shards, duration, _say)


@app.command(name="bench-enrolment")
def bench_enrolment(
    stations: Annotated[int, typer.Option(help="How many.", min=1)] = 10_000,
    report: Annotated[Path | None, typer.Option(help="File for the figures as JSON.")] = None,
) -> None:
    """Enrol a fleet at an emulator of its own, enrol it again, and remove it: seconds and CPU."""
    enrolment_benchmark.run(stations, _say, report=report)


@app.command(name="bench-bridge")
def bench_bridge(
    messages: Annotated[int, typer.Option(help="Of each of three rounds.")] = 3000,
    minutes: Annotated[float, typer.Option(help="How long memory is watched.")] = 0,
    rate: Annotated[int, typer.Option(help="Messages a second meanwhile.")] = 100,
    report: Annotated[Path | None, typer.Option(help="Where the figures go as JSON.")] = None,
) -> None:
    """Broker and bridge against what one boto3 process sends to the queue; and their memory over time."""
    deployment = lifecycle.up(Settings.from_environment(), _say, _confirm)
    bridge_benchmark.run(
        deployment, _say, messages=messages, minutes=minutes, rate=rate,
        report=report or deployment.path / "bench" / "bridge.json",
    )  # fmt: skip


Only = Annotated[
    list[str] | None,
    typer.Option(help="Generators by name; all if none is named. Ours take part unless one is named."),
]
Out = Annotated[Path | None, typer.Option(help="Folder for the figures as JSON.")]


@app.command(name="bench-fleet")
def bench_fleet(
    messages: Annotated[int, typer.Option(help="Messages of a publishing run.", min=1000)] = 200_000,
    rounds: Annotated[int, typer.Option(help="Runs of which the cheapest counts.", min=1)] = 2,
    only: Only = None,
    out: Out = None,
) -> None:
    """What a publish costs the simulator, beside other load generators on the same Mosquitto in the same run."""
    scale = Scale(messages=messages, rounds=rounds, connections=0, mtls_connections=0, fan_in=0)
    fleet_benchmark.run(scale, only, out, _say)


@app.command(name="bench-open-mqtt")
def bench_open_mqtt(
    connections: Annotated[int, typer.Option(help="Of conn-tcp-10k-100; 0: none.", min=0)] = 10_000,
    mtls_connections: Annotated[int, typer.Option(help="The same over mutual TLS; 0: none.", min=0)] = 1000,
    ramp: Annotated[float, typer.Option(help="Connections a second.", min=1)] = 100,
    hold: Annotated[float, typer.Option(help="Seconds that all are held.", min=0.5)] = 5,
    fan_in: Annotated[int, typer.Option(help="Publishers of fan-in 1K-5-1K-1K; 0: none.", min=0)] = 1000,
    fan_in_seconds: Annotated[int, typer.Option(help="Messages of each.", min=1)] = 15,
    only: Only = None,
    out: Out = None,
) -> None:
    """The Open MQTT Benchmark Suite's connections and fan-in, by the simulator and by others on one Mosquitto."""
    fleet_benchmark.run(
        Scale(
            messages=0, connections=connections, mtls_connections=mtls_connections, ramp=ramp, hold=hold,
            fan_in=fan_in, fan_in_seconds=fan_in_seconds,
        ),
        only or list(OPEN_MQTT), out, _say,
    )  # fmt: skip


@app.command()
def plots(
    keep: Annotated[
        bool, typer.Option("--keep", help="First take what the benchmarks wrote to results/.")
    ] = False,
) -> None:
    """Draw the documentation's plots and write its tables, from the results in docs/results."""
    for path in pages.keep() if keep else ():
        _say(f"Kept: {_short(str(path))}")
    pages.run(lambda line: _say(_short(line) if line.startswith("/") else line))


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
    _show_audit(report, f"Audit of {len(ledgers)} ledger(s) in {time.monotonic() - start:.1f} s")
    raise typer.Exit(0 if report.clean else 1)


def _show_audit(report: AuditReport, title: str) -> None:
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
        _say(line)


def _judged(count: int) -> str:
    return f"[{'red' if count else 'green'}]{count}"


@app.command(name="parity-record")
def parity_record(
    record: Annotated[
        Path | None, typer.Option(help="File for it; by default tests/parity/<target>.json.")
    ] = None,
) -> None:
    """Play the parity scenario against what is up, and keep what came of it."""
    deployment = current(Settings.from_environment())
    path = record or _record_of(deployment.engine or deployment.target)
    path.parent.mkdir(parents=True, exist_ok=True)
    found = scenario.record(deployment, _say)
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    _say(f"Recorded {_short(str(path))}")


@app.command()
def parity(
    recorded: Annotated[str, typer.Option(help="The target whose record it is held against.")] = "embedded",
    report: Annotated[Path | None, typer.Option(help="File for the gaps as a Markdown table.")] = None,
) -> None:
    """Hold what is up against the record of another target; fails on a gap that gaps.json does not explain."""
    deployment = current(Settings.from_environment())
    path, name = _record_of(recorded), deployment.engine or deployment.target
    if not path.is_file():
        raise TestbedError(f"There is no record of {recorded}.", "Record it first: make parity-record")
    # A record of its own, so that both went through JSON.
    seen = json.loads(json.dumps(scenario.record(deployment, _say)))
    found = compare.gaps(json.loads(path.read_text()), seen, f"{recorded} {name}")
    table = compare.table(found, recorded, name)
    if report:
        report.write_text(table)
    _say(table if found else f"{name} answers as {recorded} did.")
    unexplained = sum(not gap.reason for gap in found)
    _say(f"{len(found)} gaps, {unexplained} of them unexplained")
    raise typer.Exit(1 if unexplained else 0)


def _record_of(name: str) -> Path:
    return REPOSITORY / "tests" / "parity" / f"{name}.json"


@app.command(name="faults")
def break_things(
    seconds: Annotated[float, typer.Option(help="How long the fleet publishes.")] = 60,
    seed: Annotated[int, typer.Option(help="Of the faults and their order.")] = 1,
    stations: Annotated[int, typer.Option(help="How many stations.")] = 20,
    interval: Annotated[float, typer.Option(help="Seconds between two messages of a station.")] = 1,
    only: Annotated[list[str] | None, typer.Option(help="Only faults whose name has this in it.")] = None,
    freeze: Annotated[float, typer.Option(help="Seconds that what is frozen stays so.", min=1)] = 6,
    json_file: Annotated[Path | None, typer.Option("--json", help="File for the report as JSON.")] = None,
) -> None:
    """Break the deployment under load in every way that is known, then audit; fails if anything is missing."""
    deployment = lifecycle.up(Settings.from_environment(), _say, _confirm)
    report = breaking.run(
        deployment,
        _say,
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
    _show_calls({"functions and bridge": report.calls})
    _show_audit(report.audit, f"Seed {seed}: the audit")
    _say(
        f"Poison: {report.poison_sent} acknowledged, {len(report.lost_poison)} not in the DLQ, "
        f"{len(report.stored_poison)} stored as if good"
    )
    if json_file:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(report.as_dict(), indent=1) + "\n")
    raise typer.Exit(0 if report.clean else 1)
