"""Build the simulator's command line."""

import asyncio
import gc
import json
import logging
import resource
import signal
import sys
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from simulator.connection import Endpoint
from simulator.fleet import CHATTY_STATIONS, Fleet
from simulator.ledger import Ledger, LedgerError
from simulator.options import TOPIC_ROOT, FleetError, FleetOptions, FleetSummary
from simulator.processes import run_spread
from simulator.progress import reporter
from simulator.scenario import DEFAULT_FILE, NORMAL_DAY, ScenarioError, load

log = logging.getLogger("simulator")


def simulate(
    endpoint: Annotated[str, typer.Option(help="Host of the MQTT broker.")],
    ca: Annotated[Path | None, typer.Option(help="Authority of the broker's certificate (PEM).")] = None,
    certs: Annotated[Path | None, typer.Option(help="Folder with <station id>.crt and .key.")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Plain TCP instead of mutual TLS.")] = False,
    num_stations: Annotated[int, typer.Option(min=1, help="How many stations.")] = 10,
    interval: Annotated[
        float,
        typer.Option(min=0, help="Seconds between two messages of a station; 0: as fast as acknowledged."),
    ] = 5,
    port: Annotated[int, typer.Option(help="Port of the broker (TLS).")] = 8883,
    duration: Annotated[float | None, typer.Option(help="Stop after so many seconds.")] = None,
    messages: Annotated[int | None, typer.Option(help="Stop after so many messages of each station.")] = None,
    seed: Annotated[int, typer.Option(help="Of all randomness: the same seed gives the same stations.")] = 1,
    run_id: Annotated[str, typer.Option(help="Part of every message id; the start time if not given.")] = "",
    start: Annotated[
        str | None,
        typer.Option(help="Where the stations' time begins (ISO 8601), for the same messages every time."),
    ] = None,
    prefix: Annotated[str, typer.Option(help="What station ids start with.")] = "station-",
    topic_root: Annotated[
        str, typer.Option(help="What stands before the station's id in its topics.")
    ] = TOPIC_ROOT,
    topic: Annotated[
        str, typer.Option(help="The stations' topic with {device}, in place of --topic-root.")
    ] = "",
    model: Annotated[
        str,
        typer.Option(help="What they say: a JSON file of templates, or module:Class; else a swap station."),
    ] = "",
    shard: Annotated[str, typer.Option(help="3/16: the third of sixteen parts of the fleet.")] = "1/1",
    speed: Annotated[float, typer.Option(help="How much faster than real time the stations live.")] = 1,
    from_hour: Annotated[
        float | None,
        typer.Option(
            min=0, max=24, help="Begin the stations' day at this hour; timestamps are the real time."
        ),
    ] = None,
    scenario: Annotated[str, typer.Option(help="What the network goes through.")] = NORMAL_DAY,
    scenario_file: Annotated[
        Path, typer.Option(help="File of scenarios (TOML).", show_default=False)
    ] = DEFAULT_FILE,
    storm_every: Annotated[
        float | None, typer.Option(min=0.1, help="Cut connections at once, every so many seconds.")
    ] = None,
    storm_share: Annotated[float, typer.Option(min=0, max=1, help="The part that a storm cuts.")] = 1,
    processes: Annotated[int, typer.Option(min=1, help="Spread the fleet over so many processes.")] = 1,
    qos: Annotated[int, typer.Option(min=0, max=1, help="0 or 1.")] = 1,
    ramp: Annotated[float, typer.Option(help="Connections a second at the start.")] = 200,
    keep_alive: Annotated[int, typer.Option(help="MQTT keep-alive in seconds.")] = 60,
    replay_window: Annotated[
        float, typer.Option(help="Seconds of messages sent again after a reconnect.")
    ] = 30,
    basic_ingest: Annotated[
        str | None, typer.Option(help="Publish straight to this rule (AWS Basic Ingest).")
    ] = None,
    payload_bytes: Annotated[
        int | None,
        typer.Option(min=0, help="Publish so many bytes in place of telemetry, to measure a broker."),
    ] = None,
    region: Annotated[str, typer.Option(help="Name of the broker's region, for the ledger.")] = "",
    standby: Annotated[
        str,
        typer.Option(
            help="HOST:PORT of a second region's broker, to fail over to; it knows the same stations."
        ),
    ] = "",
    standby_ca: Annotated[
        Path | None, typer.Option(help="Authority of that broker's certificate; --ca if not given.")
    ] = None,
    standby_region: Annotated[str, typer.Option(help="Name of that region, for the ledger.")] = "standby",
    patience: Annotated[
        float, typer.Option(min=0.1, help="With --standby: seconds to wait for a broker's answer.")
    ] = 10,
    settle: Annotated[
        float,
        typer.Option(min=0, help="Go home when home is well for so many seconds, or up to twice as many."),
    ] = 30,
    ledger: Annotated[
        Path | None, typer.Option(help="File that gets a line for each acknowledged message.")
    ] = None,
    shadow: Annotated[
        bool,
        typer.Option("--shadow/--no-shadow", help="Follow each station's device shadow, and take commands."),
    ] = False,
    settings: Annotated[
        Path | None,
        typer.Option(help="File (SQLite) that keeps settings and carried-out commands over a restart."),
    ] = None,
    summary: Annotated[Path | None, typer.Option(help="File that gets the summary as JSON.")] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="A line for each publish, whatever the fleet's size.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No line for each publish, whatever the fleet's size.")
    ] = False,
) -> None:
    """Run a fleet of EV battery-swap stations over MQTT. Ctrl-C ends it cleanly."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s - %(message)s", stream=sys.stdout)
    if not plain and not (ca and certs):
        raise typer.BadParameter("--ca and --certs are needed for mutual TLS; --plain does without")
    where = Endpoint(endpoint, port, None if plain else ca, None if plain else certs, keep_alive, region)
    try:
        options = FleetOptions(
            num_stations=num_stations,
            endpoint=where,
            interval=interval,
            duration=duration,
            messages=messages,
            seed=seed,
            run_id=run_id,
            start=_start(start),
            prefix=prefix,
            topic_root=topic_root,
            topic=topic,
            model=model,
            shard=_shard(shard),
            speed=speed,
            from_hour=from_hour,
            scenario=load(scenario, scenario_file),
            qos=qos,
            ramp_per_second=ramp,
            replay_window=replay_window,
            basic_ingest=basic_ingest,
            ledger=ledger,
            shadow=shadow,
            settings=settings,
            storm_every=storm_every,
            storm_share=storm_share,
            payload_bytes=payload_bytes,
            standby=_standby(standby, where, standby_ca, standby_region),
            patience=patience,
            settle=settle,
            chatty=verbose or (num_stations <= CHATTY_STATIONS and interval > 0 and not quiet),
        )
        result = run_fleet(options) if processes == 1 else run_spread(options, processes, run_fleet)
    except (LedgerError, FleetError, ScenarioError, OSError) as error:
        sys.exit(f"error: {error}")
    log.info("Summary: %s", json.dumps(result.as_dict()))
    if summary:
        summary.write_text(json.dumps(result.as_dict(), indent=1) + "\n")
    if result.connected == 0 and result.refused:
        sys.exit(
            f"error: no station could connect to {endpoint}:{port}.\n  Is it up, and are the stations enrolled?"
        )


def run_fleet(options: FleetOptions) -> FleetSummary:
    """Run a fleet in this process, to its end.

    Raises:
        FleetError, LedgerError, OSError: with what is missing.
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s - %(message)s", stream=sys.stdout)
    _raise_file_limit(options.num_stations // options.shard[1] + 1)
    return uvloop.run(_run(options))


async def _run(options: FleetOptions) -> FleetSummary:
    with (
        closing(Ledger(options.ledger)) as ledger,
        reporter(chatty=options.chatty, alone=options.shard[1] == 1) as tick,
    ):
        fleet = Fleet(options, ledger)
        # Hundreds of thousands of objects that live as long as the run: the collector need not look at them.
        gc.freeze()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, fleet.stop)
        log.info("Created %d simulated stations", fleet.summary.stations)
        log.info("Seed %d, run %s", options.seed, fleet.run_id)
        log.info("Connecting to %s:%d...", options.endpoint.host, options.endpoint.port)
        return await fleet.run(tick)


def _shard(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise typer.BadParameter(f"--shard {text} is no part of a whole, as 3/16 is")
    return int(index), int(count)


def _standby(address: str, home: Endpoint, ca: Path | None, region: str) -> Endpoint | None:
    if not address:
        return None
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise typer.BadParameter(f"--standby {address} is no host and port, as example.com:8883 is")
    return replace(home, host=host, port=int(port), ca=(home.ca and ca) or home.ca, region=region)


def _start(text: str | None) -> datetime | None:
    try:
        start = datetime.fromisoformat(text) if text else None
    except ValueError as error:
        raise typer.BadParameter(f"--start {text} is no time, as 2026-11-23T08:00:00Z is") from error
    if start and start.tzinfo is None:
        raise typer.BadParameter(f"--start {text} says nothing of its time zone: end it with Z")
    return start


def _raise_file_limit(stations: int) -> None:
    """Raise the soft limit of open files, often 1,024: each connection is one.

    Raises:
        FleetError: the system allows fewer than are needed.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = stations + 100
    if soft != resource.RLIM_INFINITY and soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise FleetError(
                f"{stations} stations need {wanted} open files, and this shell allows {hard}.\n"
                f"  Raise it (ulimit -Hn), or run the fleet in parts: --shard 1/{wanted // hard + 1} and so on."
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


app = typer.Typer(add_completion=False)
app.command()(simulate)


def main() -> None:
    """Run ``python -m simulator``."""
    app()
