"""Commands of the stations: run a fleet, watch it, speak as one of it, ask the API."""

import json
import subprocess
import sys
import time
import urllib.parse
import webbrowser
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from typing import Annotated, Any

import typer
from rich import box
from rich.live import Live
from rich.measure import Measurement
from rich.table import Table

from testbed import dashboard
from testbed.archive import reader
from testbed.cli.console import Yes, app, asking_unless, if_interrupted, out, say, short, show, show_json
from testbed.deploy import lifecycle
from testbed.deploy.deployment import Deployment, current
from testbed.deploy.settings import Settings
from testbed.errors import TestbedError
from testbed.host.processes import last_line
from testbed.pipeline import api, quiet
from testbed.stations import device, load_test, simulation
from testbed.stations.picture import watching
from testbed.stations.played import PlayedDay


@app.command("simulate", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def simulate_command(
    context: typer.Context,
    num_stations: Annotated[int, typer.Option(help="How many stations.", min=1, envvar="STATIONS")] = 10,
    interval: Annotated[
        float, typer.Option(help="Seconds between two messages of a station.", envvar="INTERVAL")
    ] = 5,
) -> None:
    """Run a fleet of stations against what is up; further options are the simulator's."""
    deployment = current(Settings.from_environment())
    sys.exit(simulation.run(deployment, num_stations, interval, context.args, say))


@app.command("demo")
def demo_command(
    seconds: Annotated[
        int | None,
        typer.Option(help="How long the stations run; a minute, or the whole of a scenario's day."),
    ] = None,
    num_stations: Annotated[int, typer.Option(help="How many stations.", min=1)] = 10,
    scenario: Annotated[str, typer.Option(help="Play a day of it in minutes.")] = "",
    speed: Annotated[float, typer.Option(help="How much faster than ours a scenario's day is.")] = 360,
    yes: Yes = False,
) -> None:
    """Deploy, run ten stations for a minute, and show what the REST API says of them."""
    with if_interrupted("What is up stays up: make up goes on from here; make down removes it."):
        _demo(seconds, num_stations, PlayedDay(scenario, speed) if scenario else None, yes=yes)


def _demo(seconds: int | None, num_stations: int, day: PlayedDay | None, *, yes: bool) -> None:
    seconds = seconds or (day.seconds if day else 60)
    deployment = lifecycle.up(Settings.from_environment(), say, asking_unless(yes))
    say(
        f"{num_stations} stations publish over MQTT for {seconds} s; the table is what the REST API says of them."
    )
    if day:
        say(f"A day of {day.name} from 06:00, {day.speed:g} times as fast as ours: {day.notes()['says']}.")
    log = deployment.place.log("simulator") if deployment.ports else deployment.path / "simulator.log"
    # A little longer than is shown, so that the last table has the stations online.
    picture, page = deployment.path / "dashboard.png", None
    with ExitStack() as stack:
        if deployment.ports:
            page = stack.enter_context(dashboard.running(deployment, say))
            stack.enter_context(dashboard.in_background(page))
            say(
                f"The same in a browser, for as long: http://127.0.0.1:{page.server_port}/   (later: make dashboard)"
            )
        extra = ["--duration", str(seconds + 10), *(day.options() if day else [])]
        # From here on, whatever a browser takes to start: the fleet's own time runs, too.
        until = time.monotonic() + seconds
        fleet = stack.enter_context(simulation.started(deployment, num_stations, extra, log))
        take = None
        if page:
            page.notes = day.notes() if day else {}
            take = stack.enter_context(watching(f"http://127.0.0.1:{page.server_port}/"))
        _watch(deployment, until, fleet)
        if take and take(picture):
            say(f"A picture of the page: {short(str(picture))}")
    if fleet.returncode:
        raise TestbedError(f"The simulator failed: {last_line(log)}", f"See {log}.")
    outputs = deployment.outputs
    quiet.wait_until_handled(deployment, 30)
    objects = sum(1 for _ in reader.objects(deployment.client("s3"), outputs.telemetry_bucket_name))
    letters = quiet.queue_depth(deployment.client("sqs"), outputs.dead_letter_queue_url)
    say(f"Archive: {objects} objects in {outputs.telemetry_bucket_name}   dead letters: {letters}")
    key = short(str(deployment.api_key_file))
    say(f"Ask yourself: curl -H \"x-api-key: $(cat {key})\" '{deployment.api_url}/stations?min_batteries=5'")
    say("Next: make audit (is anything lost?), make status, make logs; make down removes it all.")


def _watch(deployment: Deployment, until: float, fleet: "subprocess.Popen[bytes]") -> None:
    """Show the stations until a moment of the monotonic clock: live on a terminal, once elsewhere."""
    table = _stations_table(deployment)
    with Live(table, console=out, auto_refresh=False) if out.is_terminal else nullcontext() as live:
        while time.monotonic() < until and fleet.poll() is None:
            time.sleep(1)
            if live:
                live.update(_stations_table(deployment), refresh=True)
    if not out.is_terminal:
        out.print(_stations_table(deployment))


# Heading, and what a station has there. In the order in which a narrow terminal leaves them out, the last one first.
_COLUMNS: dict[str, Callable[[dict[str, Any]], str]] = {
    "station": lambda item: str(item["station_id"]),
    "ready": lambda item: f"{item['battery_available']}/{item.get('slots', '?')}",
    "status": lambda item: str(item.get("status", "")),
    "seen": lambda item: str(item["timestamp"])[11:19],
    "charging": lambda item: str(item.get("charging", "")),
    "°C": lambda item: f"{item['temperature_c']:.1f}" if "temperature_c" in item else "",
    "kW": lambda item: f"{item['power_kw']:.0f}" if "power_kw" in item else "",
    "swaps": lambda item: str(item.get("swaps_total", "")),
    "queue": lambda item: str(item.get("queue_length", "")),
}
_SHOWN = ("station", "ready", "charging", "swaps", "queue", "kW", "°C", "status", "seen")


def _stations_table(deployment: Deployment) -> Table:
    found = sorted(api.stations(deployment), key=lambda item: str(item["station_id"]))
    return stations_table(found, f"GET {deployment.api_url}/stations", out.width)


def stations_table(stations: Sequence[dict[str, Any]], title: str, width: int) -> Table:
    """Return the API's stations as a table of at most ``width`` columns of text; what finds no room is left out."""
    chosen = list(_COLUMNS)
    while True:
        # No lines between columns: a terminal of 80 has room for all of them then.
        table = Table(title=title, box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
        for name in (name for name in _SHOWN if name in chosen):
            table.add_column(name, justify="left" if name in ("station", "status") else "right", no_wrap=True)
        for station in stations:
            table.add_row(*(_COLUMNS[name](station) for name in _SHOWN if name in chosen))
        untitled = replace(out.options, max_width=10_000)
        if len(chosen) == 1 or Measurement.get(out, untitled, table).maximum <= width:
            return table
        chosen.pop()


@app.command("dashboard")
def dashboard_command(
    port: Annotated[int | None, typer.Option(help="The page's port; any free one if left out.")] = None,
    local: Annotated[bool, typer.Option(help="Serve it here, though CloudFront does, too.")] = False,
) -> None:
    """Serve the live dashboard on 127.0.0.1 until Ctrl-C; where CloudFront serves it, say where that is."""
    deployment = current(Settings.from_environment())
    deployment.outputs.need("api_gateway_invoke_url", "stations_table_name")
    if (url := deployment.outputs.dashboard_url) and not local:
        say(
            f"Dashboard: {url}/   It asks for the API's key, which is in {short(str(deployment.api_key_file))}"
        )
        if sys.stdout.isatty():
            webbrowser.open(url)
        return
    with dashboard.running(deployment, say, port) as page:
        say(f"Dashboard: http://127.0.0.1:{page.server_port}/   Ctrl-C ends it.")
        page.serve_forever()


@app.command("publish")
def publish_command(
    station: Annotated[str, typer.Argument(help="Its id; it must exist.")] = "",
    message: Annotated[str, typer.Argument(help="The payload, good or bad.")] = "",
    enrol: Annotated[bool, typer.Option("--enrol", help="Make the station if it does not exist.")] = False,
    topic: Annotated[str, typer.Option(help="Where to, if not to the station's own topic.")] = "",
) -> None:
    """Publish one message as a station, by MQTT with its certificate."""
    if not station or not message:
        raise TestbedError(
            "Who says what?",
            """scripts/testbed publish station-01 '{"station_id": "station-01", ...}'""",
        )
    deployment = current(Settings.from_environment())
    deployment.outputs.need("iot_policy_name")
    if device.publish(deployment, station, message.encode(), topic=topic, enrol=enrol):
        say(f"Enrolled {station}, which was no device yet")
    say(f"Acknowledged by the broker: {len(message.encode())} bytes from {station}")


@app.command("listen")
def listen_command(
    messages: Annotated[int, typer.Option(help="End after so many.", min=1)] = 10,
    seconds: Annotated[float, typer.Option(help="End after so long.")] = 60,
    topic: Annotated[str, typer.Option(help="A topic filter, if not that of all stations.")] = "",
) -> None:
    """Print what stations publish, as the broker hands it on."""
    deployment = current(Settings.from_environment())
    deployment.outputs.need("iot_policy_name")
    if not device.listen(deployment, messages, seconds, show, topic):
        raise TestbedError(f"No station said anything in {seconds:g} s.", "Let some: make simulate")


@app.command("api")
def api_command(
    route: Annotated[str, typer.Argument(help="Such as /stations/station-01.")] = "/stations",
    patch: Annotated[
        str, typer.Option(help="JSON to change it with, as /stations/{id}/settings takes.")
    ] = "",
    post: Annotated[str, typer.Option(help="JSON to send there, as /stations/{id}/commands takes.")] = "",
) -> None:
    """Ask the REST API for a route, or change what is there, with its key; fails if the answer is a refusal."""
    path, _, query_string = f"/{route.removeprefix('/')}".partition("?")
    deployment = current(Settings.from_environment())
    deployment.outputs.need("api_gateway_invoke_url")
    if patch and post:
        raise TestbedError("--patch and --post are two requests.", "Give one of them.")
    if patch or post:
        method = "PATCH" if patch else "POST"
        status_code, document = api.send(deployment, method, path, _json(patch or post))
    else:
        status_code, document = api.get(deployment, path, **dict(urllib.parse.parse_qsl(query_string)))
    show_json(document)
    raise typer.Exit(0 if status_code in (200, 202) else 1)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise TestbedError(f"{text} is no JSON: {error}.", 'As {"command": "identify"} is.') from error


@app.command("load-test")
def load_test_command(
    shards: Annotated[int, typer.Option(help="Containers in Compose; on AWS Terraform says it.", min=1)] = 2,
    duration: Annotated[float, typer.Option(help="Seconds, in Compose; on AWS Terraform says it.")] = 60,
) -> None:
    """Run a fleet in shards: Fargate tasks on AWS, containers in Compose."""
    settings = Settings.from_environment()
    current(settings).outputs.need("telemetry_bucket_name", "topic_root")
    load_test.run(current(settings), settings, shards, duration, say)
