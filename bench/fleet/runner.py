"""Run the scenarios, generator after generator, and keep the figures."""

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from bench.fleet import brokers
from bench.fleet.brokers import HOST, Broker
from bench.fleet.generators import Generator
from bench.fleet.load import Cost, Load, RunError, raise_file_limit
from bench.fleet.observer import observed, wait_for_ports
from simulator.messages import TOPIC, station_ids
from testbed.errors import TestbedError

_Figure = TypeVar("_Figure")

_PUBLISHERS = 20
_FEW = 40  # messages a client of the short run that is taken off
_SPARE_FILES = 200
# How much longer than it should a program may take, besides its start, until it is ended.
_SLOWER, _START_SECONDS = 1.5, 30.0
_LAST_SECONDS = 5.0


@dataclass(frozen=True)
class Scale:
    """How much is measured; 0 leaves a scenario out.

    ``messages`` of the publishing runs in all, ``rounds`` of which the cheapest counts; ``connections`` over TCP and
    ``mtls_connections`` made at ``ramp`` a second and held for ``hold`` seconds; ``fan_in`` publishers of a message a
    second, for ``fan_in_seconds``. The Open MQTT Benchmark Suite's conn-tcp-10k-100 is 10,000 connections at 100 a
    second; its fan-in 1K-5-1K-1K is 1,000 publishers.
    """

    messages: int = 200_000
    rounds: int = 2
    connections: int = 10_000
    mtls_connections: int = 1000
    ramp: float = 100.0
    hold: float = 5.0
    fan_in: int = 1000
    fan_in_seconds: int = 15


@dataclass(frozen=True)
class Publishing:
    """What a publish costs: CPU without the program's start and its connects, and publishes a second of the clock."""

    name: str
    language: str
    messages: int
    cpu_microseconds: float
    a_second: float

    @property
    def a_core(self) -> float:
        """How many publishes a CPU second makes."""
        return 1e6 / self.cpu_microseconds


@dataclass(frozen=True)
class Connecting:
    """What a connection costs: CPU and memory beyond those of a run with twenty.

    ``connected`` is the most that the broker saw at once, ``a_second`` the rate at which the program came there.
    ``failed`` is why it did not hold all that were ``asked`` for; empty if it did. The costs are then of those it had.
    """

    name: str
    language: str
    asked: int
    connected: int
    a_second: float
    cpu_milliseconds: float
    kib: float
    failed: str = ""


@dataclass(frozen=True)
class FanIn:
    """A steady rate: share of a core (connecting included), memory, and what the subscribers got."""

    name: str
    language: str
    published: int
    received: int
    core_share: float
    mib: float


@dataclass
class Report:
    """All figures of a run; ``versions`` are those of the generators that ran."""

    scale: Scale
    publish_tcp: list[Publishing] = field(default_factory=list)
    publish_mtls: list[Publishing] = field(default_factory=list)
    connect_tcp: list[Connecting] = field(default_factory=list)
    connect_mtls: list[Connecting] = field(default_factory=list)
    fan_in: list[FanIn] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def publishing(self) -> dict[str, Any]:
        """What was found of publishing, for JSON."""
        return {
            name: [
                asdict(entry) | {"a_core": round(entry.a_core)} for entry in getattr(self, f"publish_{name}")
            ]
            for name in ("tcp", "mtls")
        } | {"left_out": self.left_out}

    @property
    def open_mqtt(self) -> dict[str, Any]:
        """What was found of the Open MQTT Benchmark Suite's scenarios, for JSON."""
        return {
            name: [asdict(entry) for entry in getattr(self, name)]
            for name in ("connect_tcp", "connect_mtls", "fan_in")
        } | {"left_out": self.left_out}


def run(generators: Sequence[Generator], scale: Scale, folder: Path, say: Callable[[str], None]) -> Report:
    """Run every scenario with every generator that can; one that fails is said and left out."""
    folder.mkdir(parents=True, exist_ok=True)
    raise_file_limit(max(scale.connections, scale.mtls_connections, scale.fan_in) + _SPARE_FILES)
    report = Report(scale)
    ready = []
    for generator in generators:
        try:
            generator.prepare()
            ready.append(generator)
            report.versions[generator.name] = generator.version
        except TestbedError as error:
            report.left_out[generator.name] = error.problem
            say(f"{generator.name} is left out: {error}")
    secure = {
        *station_ids(_PUBLISHERS),
        *(station_ids(scale.mtls_connections) if scale.mtls_connections else ()),
    }
    with brokers.mosquitto(folder, sorted(secure)) as broker:
        bench = _Bench(scale, broker, report, say)
        for secured, published in ((False, report.publish_tcp), (True, report.publish_mtls)):
            for generator in ready if scale.messages else ():
                if generator.tls or not secured:
                    bench.attempt(generator, published, partial(bench.publish, generator, secured=secured))
        holding = [generator for generator in ready if generator.connections]
        for secured, connected, count in (
            (False, report.connect_tcp, scale.connections),
            (True, report.connect_mtls, scale.mtls_connections),
        ):
            for generator in holding if count else ():
                if generator.tls or not secured:
                    measure = partial(bench.connect, generator, count, secured=secured)
                    bench.attempt(generator, connected, measure)
        for generator in holding if scale.fan_in else ():
            bench.attempt(generator, report.fan_in, partial(bench.fan_in, generator))
    return report


class _Bench:
    def __init__(self, scale: Scale, broker: Broker, report: Report, say: Callable[[str], None]) -> None:
        self._scale, self._broker, self._report, self._say = scale, broker, report, say

    def attempt(self, generator: Generator, figures: list[_Figure], measure: Callable[[], _Figure]) -> None:
        try:
            figures.append(measure())
        except TestbedError as error:
            self._report.left_out[generator.name] = error.problem
            self._say(f"{generator.name} failed: {error}")

    def publish(self, generator: Generator, *, secured: bool) -> Publishing:
        """Measure the cheapest of the rounds, less a short run, so that neither start nor connects count."""
        load = self._load(_PUBLISHERS, secured=secured)
        each = max(2 * _FEW, int(self._scale.messages * generator.share / _PUBLISHERS))
        short = min((generator.run(load.with_messages(_FEW)) for _ in range(self._scale.rounds)), key=_cpu)
        long = min((generator.run(load.with_messages(each)) for _ in range(self._scale.rounds)), key=_cpu)
        count = (each - _FEW) * _PUBLISHERS
        if long.cpu <= short.cpu:
            raise TestbedError(f"{count} publishes are too few to tell from its start", "More --messages.")
        found = Publishing(
            generator.name,
            generator.language,
            count,
            1e6 * (long.cpu - short.cpu) / count,
            count / max(1e-6, long.seconds - short.seconds),
        )
        how = "mTLS" if secured else "TCP"
        self._say(
            f"publish, {how}: {found.name} ({found.language}): {found.cpu_microseconds:.1f} µs of CPU a publish, "
            f"{found.a_core:,.0f}/s a core, {found.a_second:,.0f}/s"
        )
        return found

    def connect(self, generator: Generator, count: int, *, secured: bool) -> Connecting:
        """Measure many connections that say nothing, beside twenty."""
        scale = self._scale
        few = generator.run(replace(self._load(_PUBLISHERS, secured=secured), hold=min(1.0, scale.hold)))
        wait_for_ports(count)
        load = replace(
            self._load(count, secured=secured),
            ramp=scale.ramp,
            hold=scale.hold,
            limit=_SLOWER * count / scale.ramp + scale.hold + _START_SECONDS,
        )
        failed = ""
        with observed(self._broker) as connected:
            try:
                many = generator.run(load)
            except RunError as error:
                many, failed = error.cost, error.problem
        # The broker tells once a second: a run of a moment it may not have told of.
        most = max(connected.most, 0 if failed else int(many.said.get("connected", 0)))
        said = (
            0.0 if failed else float(many.said.get("connect_seconds") or many.said.get("ramp_seconds") or 0)
        )
        found = Connecting(
            generator.name,
            generator.language,
            count,
            most,
            most / max(1e-3, said or connected.seconds),
            1e3 * (many.cpu - few.cpu) / max(1, most - _PUBLISHERS),
            (many.rss_bytes - few.rss_bytes) / 1024 / max(1, most - _PUBLISHERS),
            failed or ("" if most >= count else "it ended before all were connected"),
        )
        self._say(
            f"connect, {'mTLS' if secured else 'TCP'}: {found.name}: {found.connected} of {count} at "
            f"{found.a_second:.0f}/s, {found.cpu_milliseconds:.2f} ms of CPU and {found.kib:.0f} KiB each"
            + (f" ({found.failed})" if found.failed else "")
        )
        return found

    def fan_in(self, generator: Generator) -> FanIn:
        """Measure a message of 16 bytes a second from each publisher to five subscribers that share a subscription."""
        scale = self._scale
        load = replace(
            self._load(scale.fan_in, secured=False),
            payload_bytes=16,
            interval=1.0,
            messages=scale.fan_in_seconds,
            ramp=max(100.0, scale.fan_in / 5),
            limit=_SLOWER * (scale.fan_in_seconds + 5) + _START_SECONDS,
        )
        published = scale.fan_in * scale.fan_in_seconds
        with _subscribers(self._broker) as received:
            cost = generator.run(load)
            _wait_for(lambda: received() >= published)
        found = FanIn(
            generator.name,
            generator.language,
            published,
            received(),
            cost.cpu / cost.seconds,
            cost.rss_bytes / 2**20,
        )
        self._say(
            f"fan-in: {found.name}: {published} published, {found.received} received, "
            f"{100 * found.core_share:.0f} % of a core, {found.mib:.0f} MiB"
        )
        return found

    def _load(self, clients: int, *, secured: bool) -> Load:
        broker = self._broker
        return Load(
            HOST,
            broker.tls if secured else broker.plain,
            str(broker.folder / "ca.crt"),
            str(broker.folder) if secured else "",
            tuple(station_ids(clients)),
            TOPIC,
        )


@contextmanager
def _subscribers(broker: Broker) -> Iterator[Callable[[], int]]:
    files = [broker.folder / f"received-{number}" for number in range(5)]
    processes = []
    for file in files:
        with file.open("wb") as output:
            processes.append(
                subprocess.Popen(
                    [
                        "mosquitto_sub",
                        "-h",
                        HOST,
                        "-p",
                        str(broker.plain),
                        "-q",
                        "1",
                        "-F",
                        "%t",
                        "-t",
                        f"$share/benchmark/{TOPIC.format(station_id='+')}",
                    ],
                    stdout=output,
                )
            )
    try:
        yield lambda: sum(len(file.read_bytes().splitlines()) for file in files)
    finally:
        for process in processes:
            process.terminate()
            process.wait()


def _wait_for(condition: Callable[[], bool]) -> None:
    """Wait a moment for the last messages to reach the subscribers."""
    deadline = time.monotonic() + _LAST_SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)


def _cpu(cost: Cost) -> float:
    return cost.cpu
