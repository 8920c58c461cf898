"""The drill: a region is taken away under load, and given back; then both regions are held against the ledger."""

import json
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

from simulator.messages import station_ids
from testbed.deploy.deployment import Deployment
from testbed.drills.regions.pair import Pair, Replication
from testbed.drills.regions.watch import Watch, busiest_second
from testbed.errors import TestbedError
from testbed.host import guests, processes
from testbed.host.processes import ChildProcess
from testbed.paths import REPOSITORY
from testbed.pipeline import quiet
from testbed.pipeline.replicator import replicators
from testbed.proofs.books import Recency, recency
from testbed.proofs.regions import RegionsAudit, audit_regions
from testbed.say import Say
from testbed.stations import simulation

How = Literal["killed", "frozen"]

# For a fleet on a loaded machine: it looks after its home once a minute at least, and settles (docs/simulator.md).
_MOVING_SECONDS = 300
_SETTLE_SECONDS = 10
# A queue's batch and the stand-in's step.
_AT_ONCE_SECONDS = 5
# ministack writes its state down when it is told to end.
_SAVING_SECONDS = 180


@dataclass(frozen=True)
class Moved:
    """Seconds from the moment when a region was lost, or back, to the stations' first acknowledgement elsewhere.

    ``busiest``: how many arrived in the second with the most.
    """

    median: float
    last: float
    busiest: int

    @classmethod
    def from_arrivals(cls, arrivals: list[float]) -> "Moved":
        """Take sorted seconds."""
        middle = arrivals[len(arrivals) // 2] if arrivals else 0.0
        return cls(round(middle, 1), round(arrivals[-1] if arrivals else 0.0, 1), busiest_second(arrivals))


@dataclass(frozen=True)
class RegionReport:
    """What came of it.

    ``wrong_left``: stations whose state, or presence, was wrong in the region that was left, while the other was gone;
    ``wrong_back``: in either region, when all were home again.
    ``went_back``: states that the last writer set back for a while (docs/decisions/0019-two-regions.md).
    """

    seed: int
    how: How
    stations: int
    interval: float
    acknowledged: dict[str, int]
    away: Moved
    back: Moved
    wrong_left: list[str]
    wrong_back: list[str]
    went_back: int
    unacknowledged: int
    audit: RegionsAudit

    @property
    def clean(self) -> bool:
        """Whether nothing is missing and no state wrong."""
        return not (
            self.audit.missing_count
            or self.audit.wrong_count
            or self.wrong_left
            or self.wrong_back
            or self.unacknowledged
        )

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self) | {"clean": self.clean}


class Drill:
    """One run with one pair of regions."""

    def __init__(self, pair: Pair, say: Say, *, stations: int, interval: float, seed: int) -> None:
        """Name the fleet; touch nothing yet."""
        self._pair, self.say, self._seed, self._interval = pair, say, seed, interval
        self._rng = random.Random(seed)  # noqa: S311  # a schedule, not a secret
        self._prefix = f"regions-{seed}-{time.time_ns() % 10**8}-"
        self.stations = station_ids(stations, self._prefix)
        ledgers = pair.home.path / "ledgers"
        ledgers.mkdir(parents=True, exist_ok=True)
        self.ledger = ledgers / f"{self._prefix}fleet.ndjson"
        self.summary = pair.home.path / f"{self._prefix}summary.json"
        self.watch = Watch(self.ledger)

    @contextmanager
    def fleet(self) -> Iterator[None]:
        """Run the fleet while the context lasts, and let it end cleanly."""
        extra = {
            "--prefix": self._prefix,
            "--seed": self._seed,
            "--ledger": self.ledger,
            "--summary": self.summary,
            "--settle": _SETTLE_SECONDS,
        }
        words = [str(word) for pair in extra.items() for word in pair]
        words += ["--no-shadow", "--quiet", *self._pair.simulator_options()]
        home = self._pair.home
        log = home.place.log("regions-simulator")
        command = simulation.command(home, len(self.stations), self._interval, words)
        with log.open("wb") as output:
            fleet = subprocess.Popen(command, cwd=REPOSITORY, stdout=output, stderr=subprocess.STDOUT)
        with guests.listed(home.path, ChildProcess.of("simulator", fleet.pid, log)):
            try:
                yield
            finally:
                simulation.end(fleet)
        if fleet.returncode:
            raise TestbedError(f"The simulator ended with {fleet.returncode}.", f"See {log}.")

    def until_all_are_at(self, region: Deployment) -> None:
        """Wait until each station's last acknowledgement is a region's.

        Raises:
            TestbedError: they are not there in time.
        """
        processes.wait_until(
            lambda: self.watch.all_at(region.region, len(self.stations)),
            what=f"The fleet at {region.region}",
            seconds=_MOVING_SECONDS,
        )

    def publish_for_a_while(self, seconds: float) -> None:
        """Let the fleet publish, for another time each run."""
        time.sleep(self._rng.uniform(0.5, 1.5) * seconds)

    def until_all_have_spoken(self) -> None:
        """Wait until each station has spoken once more, some seconds after the last one moved.

        What two regions write of a station at once may set it back, until its next message.
        """
        then = datetime.now(UTC) + timedelta(seconds=_AT_ONCE_SECONDS)
        processes.wait_until(
            lambda: self.watch.all_spoke_after(then),
            what="A message of each station",
            seconds=_MOVING_SECONDS,
        )

    def behind(self, region: Deployment, where: Deployment) -> list[str]:
        """Wait until a region shows each station as acknowledged by now, or newer, and online where it is.

        Returns:
            What is wrong, a line a station.
        """
        self.watch.look()
        wanted = dict(self.watch.newest)
        deadline = time.monotonic() + quiet.QUIET_SECONDS
        while True:
            found = _states(region)
            wrong = [
                f"{station}: {region.region} has {found.get(station)}, acknowledged was {order} at {where.region}"
                for station, order in sorted(wanted.items())
                if station not in found
                or found[station].newest < order
                or found[station].connection != ("ONLINE", where.region)
            ]
            if not wrong or time.monotonic() > deadline:
                return wrong
            time.sleep(0.5)

    def until_quiet(self) -> None:
        """Wait until nothing is on its way in either region, and both have the same tables."""
        for region in (self._pair.home, self._pair.standby):
            quiet.wait_until_quiet(region)
        tables = replicators(self._pair.home, self._pair.standby, self.say)[:1]
        processes.wait_until(
            lambda: all(table.one.items() == table.other.items() for table in tables),
            what="The stand-in for global tables",
            seconds=quiet.QUIET_SECONDS,
        )

    def audited(self) -> RegionsAudit:
        """Hold both regions against the ledger."""
        self.watch.look()
        return audit_regions((self._pair.home, self._pair.standby), self.ledger, set(self.stations))

    def unacknowledged(self) -> int:
        """Return how many messages no region has acknowledged when the fleet ended."""
        return int(json.loads(self.summary.read_text())["unacknowledged"])


def run(
    pair: Pair,
    bring_back: Callable[[], object],
    say: Say,
    *,
    stations: int,
    interval: float,
    seed: int,
    seconds: float,
    how: How,
) -> RegionReport:
    """Run a fleet at home, take home away, give it back, and audit.

    Args:
        pair: two local deployments.
        bring_back: brings home up again where it was killed.
        say: prints a line.
        stations: the fleet's size.
        interval: seconds between two messages of a station.
        seed: of the fleet and the drill's times.
        seconds: about how long the fleet publishes before the loss, during and after it.
        how: home's processes are killed, or stand still.

    Raises:
        TestbedError: the drill itself could not go on.
    """
    drill = Drill(pair, say, stations=stations, interval=interval, seed=seed)
    say(f"Seed {seed}: {stations} stations, a message every {interval:g} s; home {pair.home.region} is {how}")
    pair.enrol(drill.stations)
    replication = Replication(pair)
    with ExitStack() as stack:
        replication.start()
        stack.callback(replication.stop)
        with drill.fleet():
            lost_at, back_at, wrong_left, wrong_back = _lose_and_return(
                drill, pair, replication, bring_back, how, seconds
            )
        drill.until_quiet()
        audited = drill.audited()
    pair.remove(drill.stations)
    return RegionReport(
        seed,
        how,
        stations,
        interval,
        dict(drill.watch.acknowledged),
        Moved.from_arrivals(drill.watch.arrivals(pair.standby.region, lost_at)),
        Moved.from_arrivals(drill.watch.arrivals(pair.home.region, back_at)),
        wrong_left,
        wrong_back,
        len(replication.went_back()),
        drill.unacknowledged(),
        audited,
    )


def _lose_and_return(
    drill: Drill,
    pair: Pair,
    replication: Replication,
    bring_back: Callable[[], object],
    how: How,
    seconds: float,
) -> tuple[datetime, datetime, list[str], list[str]]:
    """Take home away from a running fleet and give it back; return when, and what was wrong then and then."""
    drill.until_all_are_at(pair.home)
    drill.publish_for_a_while(seconds)
    lost_at = datetime.now(UTC)
    drill.say(f"{pair.home.region} is lost")
    with _lost(pair.home, how):
        drill.until_all_are_at(pair.standby)
        drill.say(f"All stations are at {pair.standby.region}")
        # What it knew is lost with it: it begins anew.
        replication.stop(kill=True)
        replication.start()
        drill.publish_for_a_while(seconds)
        wrong_left = drill.behind(pair.standby, pair.standby)
    if how == "killed":
        bring_back()
    back_at = datetime.now(UTC)
    drill.say(f"{pair.home.region} is back")
    drill.until_all_are_at(pair.home)
    drill.say(f"All stations are at {pair.home.region} again")
    drill.publish_for_a_while(seconds)
    drill.until_all_have_spoken()
    wrong_back = [line for region in (pair.home, pair.standby) for line in drill.behind(region, pair.home)]
    return lost_at, back_at, wrong_left, wrong_back


@contextmanager
def _lost(region: Deployment, how: How) -> Iterator[None]:
    """Take all processes of a region away; those that stand still go on at the end, those that are killed do not.

    The emulator is asked to end where the others are killed: AWS's queues and tables outlive what runs there, and a
    killed ministack forgets them.
    """
    everything = list(region.processes.values())
    if how == "killed":
        cloud = region.local_engine.cloud
        for process in everything:
            if process.name != cloud:
                process.stop(kill=True)
        for process in everything:
            process.stop(seconds=_SAVING_SECONDS)
        yield
        return
    members = [member for process in everything for member in reversed(process.family())]
    try:
        for member in members:
            processes.unless_gone(member.suspend, None)
        yield
    finally:
        for member in reversed(members):
            processes.unless_gone(member.resume, None)


class _Shown(NamedTuple):
    newest: Recency
    connection: tuple[str, str]  # and its region


def _states(region: Deployment) -> dict[str, _Shown]:
    """Read what a region's table shows of each station."""
    pages = (
        region.client("dynamodb")
        .get_paginator("scan")
        .paginate(TableName=region.outputs.stations_table_name, ConsistentRead=True)
    )
    return {
        item["station_id"]["S"]: _Shown(
            recency(item["timestamp"]["S"], int(item["sequence"]["N"]), item["message_id"]["S"]),
            (item["connection"]["S"], item["connection_region"]["S"]),
        )
        for page in pages
        for item in page["Items"]
        if "timestamp" in item and "connection" in item
    }
