"""Commands that change a whole fleet: firmware and settings."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.live import Live
from rich.text import Text

from testbed.cli.console import Yes, app, asking_unless, if_interrupted, out, say
from testbed.deploy.deployment import current
from testbed.deploy.settings import Settings
from testbed.errors import TestbedError
from testbed.operations.firmware import Firmware, Pace, Progress
from testbed.operations.fleet_settings import FleetSettings, Tally
from testbed.operations.selection import NOBODY, chosen

# DescribeJob: 10 a second an account.
_LOOK_SECONDS = 1.0
_BAR = 40
# Words and styles of a bar's parts.
_PARTS = {
    "Succeeded": ("succeeded", "green"),
    "Failed": ("failed", "red"),
    "Rejected": ("rejected", "red"),
    "TimedOut": ("timed out", "red"),
    "Canceled": ("canceled", "magenta"),
    "InProgress": ("in progress", "yellow"),
    "Queued": ("queued", "blue"),
    "waiting": ("waiting", "dim"),
}

Stations = Annotated[str, typer.Option(help="Stations whose names fit, such as 'station-0*'.")]
Where = Annotated[
    list[str] | None, typer.Option(help="Stations with this in the API, such as firmware=2.4.1.")
]


@app.command("firmware")
def firmware_command(  # the options of a roll-out
    version: Annotated[
        str, typer.Argument(help="Firmware to roll out; without it, look at the newest.")
    ] = "",
    stations: Stations = "*",
    where: Where = None,
    per_minute: Annotated[int, typer.Option(min=1, max=1000, help="Stations that are told a minute.")] = 1000,
    growth: Annotated[
        float,
        typer.Option(min=1, max=5, help="So many times faster whenever a minute's worth has succeeded."),
    ] = 1,
    abort_percent: Annotated[
        float, typer.Option(min=1, max=100, help="End it when so many percent have failed ...")
    ] = 20,
    abort_after: Annotated[int, typer.Option(min=1, help="... of at least so many that are done.")] = 5,
    timeout_minutes: Annotated[int, typer.Option(min=1, max=10080, help="How long a station may take.")] = 10,
    fail: Annotated[
        float, typer.Option(min=0, max=1, help="The part of the simulated stations that is to fail.")
    ] = 0,
    cancel: Annotated[bool, typer.Option("--cancel", help="Cancel the newest roll-out.")] = False,
    roll_back: Annotated[
        bool, typer.Option("--roll-back", help="Lead those that have the newest one back.")
    ] = False,
    job: Annotated[str, typer.Option(help="Another job than the newest, by its id.")] = "",
    yes: Yes = False,
) -> None:
    """Roll firmware out to the stations by AWS IoT Jobs, and show how far it is; fails if any station does."""
    if (bool(version) + cancel + roll_back) > 1:
        raise TestbedError("A version, --cancel and --roll-back are three things.", "Give one of them.")
    deployment = current(Settings.from_environment())
    deployment.outputs.need("iot_policy_name", "stations_table_name")
    firmware = Firmware(deployment)
    pace = Pace(per_minute, growth, abort_percent, abort_after, timeout_minutes)
    if version:
        wanted = list(chosen(deployment, stations, where or []))
        with _counting("stations in the job's thing group") as told:
            job = firmware.roll_out(version, wanted, pace, failures=fail, told=told)
        if gone := len(wanted) - firmware.progress(job).stations:
            say(f"{gone} of {len(wanted)} stations are no things any more, and are left out.")
    else:
        job = job or firmware.newest()
    if cancel:
        firmware.cancel(job)
    if roll_back:
        job = _roll_back(firmware, firmware.progress(job), pace)
    end = _follow(firmware, job)
    if end.aborted and end.counts["Succeeded"] and end.operation == "Firmware":
        end = _offer(firmware, end, pace, yes=yes)
    raise typer.Exit(1 if end.failed or end.aborted else 0)


def _roll_back(firmware: Firmware, of: Progress, pace: Pace) -> str:
    with _counting("stations in the job's thing group") as told:
        return firmware.roll_back(of, pace, told)


def _offer(firmware: Firmware, aborted: Progress, pace: Pace, *, yes: bool) -> Progress:
    """Offer the way back where a roll-out was aborted; at no terminal, say how."""
    count = aborted.counts["Succeeded"]
    if not (yes or out.is_terminal):
        say(f"{count} stations have {aborted.version}. Lead them back: scripts/testbed firmware --roll-back")
        return aborted
    if asking_unless(yes)(f"Lead the {count} stations that have {aborted.version} back?"):
        _follow(firmware, _roll_back(firmware, aborted, pace))
    return aborted


def _follow(firmware: Firmware, job: str) -> Progress:
    """Show a job's progress until it is over, and say in one line how it ended."""
    again = (
        f"The roll-out goes on. Look again: scripts/testbed firmware --job {job}; "
        f"end it: scripts/testbed firmware --cancel --job {job}"
    )
    with if_interrupted(again), _shown() as show:
        while True:
            now = firmware.progress(job)
            show(now)
            if now.over:
                break
            time.sleep(_LOOK_SECONDS)
    firmware.tidy()
    say(f"{line(now)}: {_ended(now)} ({job})")
    return now


def _ended(now: Progress) -> str:
    if now.aborted:
        return "aborted, too many failed"
    return {"COMPLETED": "completed", "CANCELED": "canceled"}.get(now.status, now.status.lower())


def line(now: Progress) -> str:
    """Say how far a job is, in one line."""
    counts = now.counts | {"waiting": now.waiting}
    parts = [f"{counts[part]} {word}" for part, (word, _) in _PARTS.items() if counts[part]]
    return f"{now.operation} {now.version}: {', '.join(parts) or 'nothing yet'} of {now.stations}"


def bar(now: Progress, width: int = _BAR) -> Text:
    """Draw how far a job is: a part for each status, as long as its share of the stations."""
    counts = now.counts | {"waiting": now.waiting}
    return _drawn([(counts[part], style) for part, (_, style) in _PARTS.items()], now.stations, width)


def _drawn(parts: Iterable[tuple[int, str]], whole: int, width: int) -> Text:
    drawn, cells, seen = Text(), 0, 0
    for count, style in parts:
        seen += count
        end = round(width * seen / max(1, whole))
        drawn.append("━" * (end - cells), style)
        cells = end
    return drawn


@app.command("fleet-settings")
def fleet_settings_command(
    charging_power_limit: Annotated[
        float | None, typer.Option(help="kW that a station draws for charging at most.")
    ] = None,
    max_state_of_charge: Annotated[
        float | None, typer.Option(help="Percent that packs are charged to.")
    ] = None,
    reporting_interval: Annotated[float | None, typer.Option(help="Seconds between two messages.")] = None,
    maintenance: Annotated[
        str | None, typer.Option(help="Maintenance for this reason: the stations swap nothing; '' ends it.")
    ] = None,
    stations: Stations = "*",
    where: Where = None,
    per_second: Annotated[
        float, typer.Option(min=0.1, max=1000, help="Stations that are asked a second.")
    ] = 10,
    abort_percent: Annotated[
        float, typer.Option(min=1, max=100, help="Ask no more when so many percent do not follow.")
    ] = 20,
    wait: Annotated[float, typer.Option(help="Seconds without a report until the missing are left.")] = 60,
) -> None:
    """Change settings of many stations by the API, and show how many report them; fails if one does not follow."""
    settings: dict[str, object] = {
        "charging_power_limit_kw": charging_power_limit,
        "max_state_of_charge_percent": max_state_of_charge,
        "reporting_interval_seconds": reporting_interval,
    }
    if maintenance is not None:
        settings |= {"maintenance_mode": bool(maintenance), "maintenance_reason": maintenance}
    given = {name: value for name, value in settings.items() if value is not None}
    deployment = current(Settings.from_environment())
    deployment.outputs.need("api_gateway_invoke_url", "operations_table_name")
    with _settings_shown() as show:
        change = FleetSettings(
            deployment, given, per_second=per_second, abort_percent=abort_percent, patience=wait, told=show
        )
        with if_interrupted("What was asked of stations stays asked: they follow when they hear of it."):
            tally = change.run(chosen(deployment, stations, where or []))
    if not tally.asked:
        raise TestbedError(*NOBODY)
    for reason in tally.reasons.values():
        say(reason)
    say(settings_line(tally) + (": aborted, too many do not follow" if tally.aborted else ""))
    raise typer.Exit(1 if tally.aborted or tally.bad or tally.pending else 0)


# What is shown of each outcome, and how.
_OUTCOMES = {
    "reported": ("reported", "green"),
    "refused": ("refused", "red"),
    "failed": ("failed", "red"),
    "unknown": ("never reported any", "red"),
    "conflict": ("in conflict", "magenta"),
    "overtaken": ("changed by somebody else", "magenta"),
}


def settings_line(tally: Tally) -> str:
    """Say how far a change of settings is, in one line."""
    parts = [
        f"{tally.outcomes[name]} {word}" for name, (word, _) in _OUTCOMES.items() if name in tally.outcomes
    ]
    pending = [f"{tally.pending} not yet"] if tally.pending else []
    return f"{tally.asked} stations asked: {', '.join([*parts, *pending]) or 'nothing yet'}"


@contextmanager
def _settings_shown() -> Iterator[Callable[[Tally], None]]:
    if not out.is_terminal:
        yield lambda _: None
        return
    with Live(console=out, auto_refresh=False, transient=True) as live:

        def draw(tally: Tally) -> None:
            counts = [(tally.outcomes.get(name, 0), style) for name, (_, style) in _OUTCOMES.items()]
            drawn = _drawn([*counts, (tally.pending, "blue")], tally.asked, _BAR)
            live.update(Text.assemble(drawn, "  ", settings_line(tally)), refresh=True)

        yield draw


@contextmanager
def _shown() -> Iterator[Callable[[Progress], None]]:
    """Draw on a terminal again and again; elsewhere say a line when there is something new."""
    if out.is_terminal:
        with Live(console=out, auto_refresh=False, transient=True) as live:
            yield lambda now: live.update(Text.assemble(bar(now), "  ", line(now)), refresh=True)
        return
    said = ""

    def tell(now: Progress) -> None:
        nonlocal said
        if line(now) != said and not now.over:
            said = line(now)
            say(said)

    yield tell


@contextmanager
def _counting(what: str) -> Iterator[Callable[[int], None]]:
    if not out.is_terminal:
        yield lambda _: None
        return
    with out.status("") as status:
        yield lambda count: status.update(f"{count} {what}")
