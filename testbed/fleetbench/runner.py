"""Runs the scenarios, generator after generator, and keeps the figures."""

import os
import platform
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from simulator.messages import TOPIC, station_ids
from testbed.errors import TestbedError
from testbed.fleetbench import brokers
from testbed.fleetbench.brokers import HOST, Broker
from testbed.fleetbench.generators import Generator
from testbed.fleetbench.load import Cost, Load

_Figure = TypeVar("_Figure")

_PUBLISHERS = 20
_FEW = 40  # messages a client of the short run that is taken off


@dataclass(frozen=True)
class Scale:
    """How much: ``messages`` of the publishing runs in all, ``rounds`` of which the cheapest counts;
    ``connections`` made at ``ramp`` a second and held for ``hold`` seconds; publishers of the fan-in.
    """

    messages: int = 200_000
    rounds: int = 2
    connections: int = 1000
    ramp: float = 100.0
    hold: float = 5.0
    fan_in: int = 1000
    fan_in_seconds: int = 15


@dataclass(frozen=True)
class Publishing:
    """CPU a publish, without the program's start and its connects; and publishes a second of the clock."""

    name: str
    language: str
    messages: int
    cpu_microseconds: float
    a_second: float

    @property
    def a_core(self) -> float:
        """Publishes a CPU second."""
        return 1e6 / self.cpu_microseconds


@dataclass(frozen=True)
class Connecting:
    """What a connection costs: CPU and memory beyond the program's own; ``a_second`` is the rate reached."""

    name: str
    language: str
    connected: int
    a_second: float
    cpu_milliseconds: float
    kib: float


@dataclass(frozen=True)
class FanIn:
    """A steady rate: share of a core, memory, and what the subscribers got."""

    name: str
    language: str
    published: int
    received: int
    core_share: float
    mib: float


@dataclass
class Report:
    """All figures of a run."""

    scale: Scale
    load_average: float = field(default_factory=lambda: os.getloadavg()[0])
    cores: int = field(default_factory=lambda: os.cpu_count() or 1)
    machine: str = field(default_factory=platform.machine)
    measured_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    publish_tcp: list[Publishing] = field(default_factory=list)
    publish_mtls: list[Publishing] = field(default_factory=list)
    connect_tcp: list[Connecting] = field(default_factory=list)
    connect_mtls: list[Connecting] = field(default_factory=list)
    fan_in: list[FanIn] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        publishing = ("publish_tcp", "publish_mtls")
        return asdict(self) | {
            name: [asdict(entry) | {"a_core": round(entry.a_core)} for entry in getattr(self, name)]
            for name in publishing
        }


def run(generators: Sequence[Generator], scale: Scale, folder: Path, say: Callable[[str], None]) -> Report:
    """Run every scenario with every generator that can; one that fails is said and left out."""
    folder.mkdir(parents=True, exist_ok=True)
    report = Report(scale)
    ready = []
    for generator in generators:
        try:
            generator.prepare()
            ready.append(generator)
        except TestbedError as error:
            report.left_out[generator.name] = str(error)
            say(f"{generator.name} is left out: {error}")
    names = station_ids(max(_PUBLISHERS, scale.connections, scale.fan_in))
    with brokers.mosquitto(folder, names) as broker:
        bench = _Bench(scale, broker, report, say, names)
        for secured, published in ((False, report.publish_tcp), (True, report.publish_mtls)):
            for generator in ready:
                if generator.tls or not secured:
                    bench.attempt(generator, published, partial(bench.publish, generator, secured=secured))
        holding = [generator for generator in ready if generator.connections]
        for secured, connected in ((False, report.connect_tcp), (True, report.connect_mtls)):
            for generator in holding if scale.connections else ():
                if generator.tls or not secured:
                    bench.attempt(generator, connected, partial(bench.connect, generator, secured=secured))
        for generator in holding if scale.fan_in else ():
            bench.attempt(generator, report.fan_in, partial(bench.fan_in, generator))
    return report


class _Bench:
    def __init__(
        self, scale: Scale, broker: Broker, report: Report, say: Callable[[str], None], names: list[str]
    ) -> None:
        self._scale, self._broker, self._report, self._say = scale, broker, report, say
        self._names = names

    def attempt(self, generator: Generator, figures: list[_Figure], measure: Callable[[], _Figure]) -> None:
        try:
            figures.append(measure())
        except TestbedError as error:
            self._report.left_out[generator.name] = str(error)
            self._say(f"{generator.name} failed: {error}")

    def publish(self, generator: Generator, *, secured: bool) -> Publishing:
        """The cheapest of the rounds, less a short run: neither the start nor the connects count."""
        load = self._load(_PUBLISHERS, secured=secured)
        each = max(2 * _FEW, int(self._scale.messages * generator.share / _PUBLISHERS))
        short = min((generator.run(load.with_messages(_FEW)) for _ in range(self._scale.rounds)), key=_cpu)
        long = min((generator.run(load.with_messages(each)) for _ in range(self._scale.rounds)), key=_cpu)
        count = (each - _FEW) * _PUBLISHERS
        found = Publishing(
            generator.name, generator.language, count,
            1e6 * max(1e-6, long.cpu - short.cpu) / count, count / max(1e-6, long.seconds - short.seconds),
        )  # fmt: skip
        how = "mTLS" if secured else "TCP"
        self._say(
            f"publish, {how}: {found.name} ({found.language}): {found.cpu_microseconds:.1f} µs of CPU a publish, "
            f"{found.a_core:,.0f}/s a core, {found.a_second:,.0f}/s"
        )
        return found

    def connect(self, generator: Generator, *, secured: bool) -> Connecting:
        """Many connections that say nothing, beside twenty."""
        scale = self._scale
        few = generator.run(replace(self._load(_PUBLISHERS, secured=secured), hold=scale.hold))
        load = replace(self._load(scale.connections, secured=secured), ramp=scale.ramp, hold=scale.hold)
        many = generator.run(load)
        more = scale.connections - _PUBLISHERS
        seconds = many.said.get("connect_seconds") or many.said.get("ramp_seconds") or many.seconds
        found = Connecting(
            generator.name, generator.language, int(many.said.get("connected", 0)), scale.connections / seconds,
            1e3 * (many.cpu - few.cpu) / more, (many.rss_bytes - few.rss_bytes) / 1024 / more,
        )  # fmt: skip
        how = "mTLS" if secured else "TCP"
        self._say(
            f"connect, {how}: {found.name}: {found.connected} at {found.a_second:.0f}/s, "
            f"{found.cpu_milliseconds:.2f} ms of CPU and {found.kib:.0f} KiB each"
        )
        return found

    def fan_in(self, generator: Generator) -> FanIn:
        """A message a second from each, 16 bytes, to five subscribers that share a subscription."""
        scale = self._scale
        load = replace(
            self._load(scale.fan_in, secured=False), payload_bytes=16, interval=1.0, messages=scale.fan_in_seconds,
            ramp=max(100.0, scale.fan_in / 5),
        )  # fmt: skip
        with _subscribers(self._broker) as received:
            cost = generator.run(load)
        published = scale.fan_in * scale.fan_in_seconds
        found = FanIn(
            generator.name, generator.language, published, received(), cost.cpu / cost.seconds,
            cost.rss_bytes / 2**20,
        )  # fmt: skip
        self._say(
            f"fan-in: {found.name}: {published} published, {found.received} received, "
            f"{100 * found.core_share:.0f} % of a core, {found.mib:.0f} MiB"
        )
        return found

    def _load(self, clients: int, *, secured: bool) -> Load:
        broker = self._broker
        return Load(
            HOST, broker.tls if secured else broker.plain, str(broker.folder / "ca.crt"),
            str(broker.folder) if secured else "", tuple(self._names[:clients]), TOPIC,
        )  # fmt: skip


@contextmanager
def _subscribers(broker: Broker) -> Iterator[Callable[[], int]]:
    files = [broker.folder / f"received-{number}" for number in range(5)]
    processes = []
    for file in files:
        with file.open("wb") as output:
            processes.append(
                subprocess.Popen(
                    [
                        "mosquitto_sub", "-h", HOST, "-p", str(broker.plain), "-q", "1", "-F", "%t",
                        "-t", f"$share/benchmark/{TOPIC.format(station_id='+')}",
                    ],
                    stdout=output,
                )
            )  # fmt: skip
    try:
        yield lambda: sum(len(file.read_bytes().splitlines()) for file in files)
    finally:
        for process in processes:
            process.terminate()
            process.wait()


def _cpu(cost: Cost) -> float:
    return cost.cpu
