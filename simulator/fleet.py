"""The fleet: many stations, each with its own connection, on one event loop."""

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from simulator.connection import Connection, Endpoint, Identities
from simulator.latency import Latencies
from simulator.ledger import Ledger
from simulator.model import Station

log = logging.getLogger("simulator")

TOPIC = "ev-swap/stations/{station_id}/telemetry"

# Unacknowledged messages a station may have before it waits.
WINDOW = 20
# Acknowledged messages that a station remembers for a replay. With the window it stays under the 100
# unacknowledged publishes that AWS IoT allows a connection.
REPLAY_MESSAGES = 64
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
# Handshakes at once: each is milliseconds of CPU, and more at once only time out together.
_HANDSHAKES = 64
# How long to wait for outstanding acknowledgements at the end.
_FAREWELL_SECONDS = 15.0
# Up to this many stations each publish is a log line.
CHATTY_STATIONS = 50
# Different reasons of failed connections that are told; all are counted.
_TOLD_REASONS = 5

_encode = msgspec.json.Encoder().encode


class FleetError(Exception):
    """The fleet cannot run as it was asked to."""


@dataclass(frozen=True)
class FleetOptions:
    """What to simulate.

    ``interval`` and ``duration`` are seconds of real time; ``speed`` makes the stations' own time run faster.
    ``start`` (time zone aware) is where the stations' time begins; with it, timestamps are those of the
    stations' time and the same options give the same messages to the byte, whenever and in whatever shards
    they run (with the same ``run_id``). Without it their time is the real one.
    ``replay_window`` is how many seconds of acknowledged messages a station sends again when it reconnects: a
    broker that was killed may have lost the last ones it acknowledged, and duplicates do no harm.
    ``basic_ingest`` names a rule to publish to directly. ``shard`` is (index from 1, of how many).
    """

    num_stations: int
    endpoint: Endpoint
    interval: float = 5.0
    duration: float | None = None
    messages: int | None = None
    seed: int = 1
    run_id: str = ""
    start: datetime | None = None
    prefix: str = "station-"
    shard: tuple[int, int] = (1, 1)
    speed: float = 1.0
    qos: int = 1
    ramp_per_second: float = 200.0
    replay_window: float = 30.0
    basic_ingest: str | None = None
    ledger: Path | None = None
    chatty: bool = False


@dataclass
class FleetSummary:
    """What happened; written as JSON by ``--summary``.

    ``connected`` is stations that ever were, ``refused`` attempts that failed, ``sent`` publishes with those
    sent again, ``acknowledged`` messages (each once), ``replayed`` those sent again though acknowledged,
    ``unacknowledged`` messages of which the broker never said that it has them.
    """

    stations: int = 0
    connected: int = 0
    refused: int = 0
    disconnects: int = 0
    sent: int = 0
    acknowledged: int = 0
    replayed: int = 0
    unacknowledged: int = 0
    seconds: float = 0.0
    latencies: Latencies = field(default_factory=Latencies, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        known = {name: value for name, value in vars(self).items() if name != "latencies"}
        return known | {
            "ack_p50_ms": round(1000 * self.latencies.quantile(0.5), 2),
            "ack_p99_ms": round(1000 * self.latencies.quantile(0.99), 2),
        }


def station_ids(num_stations: int, prefix: str = "station-", shard: tuple[int, int] = (1, 1)) -> list[str]:
    """The fleet's station ids: ``station-01``, ...; as wide as the largest number, two digits at least.

    A shard is every n-th station of the whole, so the shards together are exactly the whole.
    """
    width = max(2, len(str(num_stations)))
    index, count = shard
    return [f"{prefix}{number:0{width}}" for number in range(1, num_stations + 1)][index - 1 :: count]


@dataclass(slots=True)
class _Message:
    message_id: str
    sequence: int
    timestamp: str
    payload: bytes
    at: float = 0.0
    noted: bool = False


class Source:
    """A station's messages, one after the other: pure, so that a test can hold it against what arrived."""

    def __init__(self, options: FleetOptions, station_id: str, run_id: str, start: datetime) -> None:
        """``start`` is where the station's time begins."""
        self._options = options
        self._prefix = f"{station_id}-{run_id}-"
        self._station = Station(station_id, options.seed, start)
        self._moment = start
        self._step = options.interval * options.speed
        # Without a start of its own the station lives in real time, and late messages say when they were made.
        self._real_time = options.start is None and options.speed == 1
        self.sequence = 0

    def next(self) -> tuple[_Message, dict[str, Any]]:
        """Let an interval pass; the message at its end, and its telemetry."""
        self.sequence += 1
        self._station.step(self._step)
        self._moment += timedelta(seconds=self._step)
        moment = datetime.now(UTC) if self._real_time else self._moment.astimezone(UTC)
        timestamp = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        telemetry = self._station.telemetry()
        telemetry["message_id"] = message_id = f"{self._prefix}{self.sequence}"
        telemetry["sequence"] = self.sequence
        telemetry["timestamp"] = timestamp
        return _Message(message_id, self.sequence, timestamp, _encode(telemetry)), telemetry


class Fleet:
    """Runs stations until its time is over or it is stopped."""

    def __init__(self, options: FleetOptions, ledger: Ledger) -> None:
        """Make the stations; `run` connects them.

        Raises:
            FleetError: a certificate is missing.
        """
        self.options = options
        self.ledger = ledger
        self.summary = FleetSummary()
        self.stopping = asyncio.Event()
        self.up = 0
        self.run_id = options.run_id or datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        ids = station_ids(options.num_stations, options.prefix, options.shard)
        _require_files(options.endpoint, ids)
        self.identities = Identities(options.endpoint)
        self.handshakes = asyncio.Semaphore(_HANDSHAKES)
        start = options.start or datetime.now(UTC)
        self._devices = [_Device(self, station_id, start) for station_id in ids]
        self.summary.stations = self._unfinished = len(self._devices)
        self._failure: BaseException | None = None
        self._impatient = False
        self._told: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, tick: Callable[["Fleet"], None] = lambda _: None) -> FleetSummary:
        """Connect all stations at the ramp rate, let them publish, and end cleanly.

        Args:
            tick: called every second, for progress.

        Raises:
            LedgerError: the ledger could not be written.
        """
        loop = asyncio.get_running_loop()
        begun = time.monotonic()
        # An error in a callback would silence one station and nobody would know.
        loop.set_exception_handler(
            lambda _, context: self._fail(context.get("exception"), context["message"])
        )
        ramp, clock = self.start_task(self._ramp()), self.start_task(self._clock(tick, begun))
        try:
            await self.stopping.wait()
            ramp.cancel()
            for device in self._devices:
                device.publish_no_more()
            await self._farewell()
        finally:
            clock.cancel()
            for device in self._devices:
                device.close()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            loop.set_exception_handler(None)
        self.summary.seconds = round(time.monotonic() - begun, 3)
        self.summary.unacknowledged = self.outstanding
        if self._failure:
            raise self._failure
        self.ledger.flush()
        return self.summary

    def stop(self) -> None:
        """End: what is published is still waited for. Called again: end at once."""
        self._impatient = self.stopping.is_set()
        self.stopping.set()

    @property
    def outstanding(self) -> int:
        """Messages that were made and not acknowledged."""
        return sum(device.outstanding for device in self._devices)

    def start_task(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Start a task of this fleet: its failure is the run's, and no run ends before it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    # --- what devices tell ---------------------------------------------------

    def finished(self) -> None:
        """A station has published its share and all of it is acknowledged."""
        self._unfinished -= 1
        if not self._unfinished:
            self.stopping.set()

    def refused(self, station_id: str, error: OSError) -> None:
        """A connection failed, and will be tried again."""
        self.summary.refused += 1
        reason = str(error) or type(error).__name__
        if reason not in self._told and len(self._told) < _TOLD_REASONS:
            self._told.add(reason)
            log.warning("%s cannot connect: %s. Trying again.", station_id, reason)

    # --- inside --------------------------------------------------------------

    async def _ramp(self) -> None:
        begun = time.monotonic()
        for number, device in enumerate(self._devices):
            early = begun + number / self.options.ramp_per_second - time.monotonic()
            if early > 0.005:
                await asyncio.sleep(early)
            device.connect()

    async def _clock(self, tick: Callable[["Fleet"], None], begun: float) -> None:
        while True:
            duration = self.options.duration
            left = float("inf") if duration is None else begun + duration - time.monotonic()
            if left <= 0 and not self.stopping.is_set():
                self.stop()
            await asyncio.sleep(min(1.0, left) if left > 0 else 1.0)
            try:
                self.ledger.flush()
            except Exception as error:  # raised by `run`, when everything has ended
                self._fail(error, "")
            self.summary.seconds = time.monotonic() - begun
            tick(self)

    async def _farewell(self) -> None:
        deadline = time.monotonic() + _FAREWELL_SECONDS
        while any(device.owes for device in self._devices):
            if time.monotonic() > deadline or self._impatient:
                return
            await asyncio.sleep(0.02)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._fail(error, "")

    def _fail(self, error: BaseException | None, message: str) -> None:
        if self._failure is None:
            self._failure = error or RuntimeError(message)
        self.stopping.set()


class _Device:
    """A station and its connection, as long as the fleet runs. Timers, no tasks but to connect: there are many."""

    __slots__ = (
        "_blocked", "_connecting", "_connection", "_ever_connected", "_finished", "_fleet", "_next_at", "_pause",
        "_random", "_remembered", "_source", "_station_id", "_timer", "_topic", "_unacknowledged", "_waiting",
    )  # fmt: skip

    def __init__(self, fleet: Fleet, station_id: str, start: datetime) -> None:
        self._fleet = fleet
        self._station_id = station_id
        options = fleet.options
        self._source = Source(options, station_id, fleet.run_id, start)
        # Apart from the model's, so that the network's fortunes change nothing in what a station tells.
        self._random = random.Random(f"{options.seed}/{station_id}/network")
        topic = TOPIC.format(station_id=station_id)
        rule = options.basic_ingest
        self._topic = (f"$aws/rules/{rule}/{topic}" if rule else topic).encode()
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._next_at = 0.0
        self._pause = _FIRST_PAUSE
        self._ever_connected = self._blocked = self._finished = False
        self._unacknowledged: dict[int, _Message] = {}
        self._waiting: deque[_Message] = deque()
        self._remembered: deque[_Message] = deque(maxlen=REPLAY_MESSAGES)

    @property
    def outstanding(self) -> int:
        """Messages that were made and never acknowledged; a replay does not count."""
        return sum(not message.noted for message in (*self._unacknowledged.values(), *self._waiting))

    @property
    def owes(self) -> bool:
        """Whether something is not yet with the broker."""
        unsent = self._connection is not None and self._connection.unsent
        return bool(self._unacknowledged or self._waiting or unsent)

    def connect(self, pause: float = 0.0) -> None:
        """Connect after ``pause`` seconds, and keep trying."""
        self._connecting = self._fleet.start_task(self._connect(pause))

    def publish_no_more(self) -> None:
        """Make no new messages; those on their way are seen to their end."""
        if self._timer:
            self._timer.cancel()
        if self._connecting and not self.owes:
            self._connecting.cancel()

    def close(self) -> None:
        """Say goodbye."""
        if self._connecting:
            self._connecting.cancel()
        if self._connection:
            self._connection.close()
            self._connection = None

    async def _connect(self, pause: float) -> None:
        fleet = self._fleet
        while True:
            if pause:
                await asyncio.sleep(pause)
            connection = Connection(
                self._station_id, fleet.options.endpoint, fleet.identities,
                acknowledged=self._on_acknowledged, lost=self._on_lost, drained=self._on_room,
            )  # fmt: skip
            try:
                async with fleet.handshakes:
                    await connection.connect()
                break
            except OSError as error:
                fleet.refused(self._station_id, error)
            pause = self._next_pause()
        self._connection, self._connecting = connection, None
        fleet.up += 1
        self._replay()
        if not self._ever_connected:
            self._ever_connected = True
            fleet.summary.connected += 1
            loop = asyncio.get_running_loop()
            # Spread over the interval, or all stations would speak at once.
            self._next_at = loop.time() + self._random.uniform(0, fleet.options.interval)
            if not fleet.stopping.is_set():
                self._timer = loop.call_at(self._next_at, self._publish)

    def _next_pause(self) -> float:
        # Jitter: stations that were cut off together must not come back together.
        pause = self._random.uniform(0.2, 1) * self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        return pause

    def _publish(self) -> None:
        self._timer = None
        options, source = self._fleet.options, self._source
        if self._fleet.stopping.is_set():
            return
        if self._is_full():
            # Back-pressure: a station whose messages are not acknowledged waits, and measures later.
            self._blocked = True
            return
        message, telemetry = source.next()
        if options.chatty:
            log.info(
                "Published telemetry for %s: batteries=%d, temp=%.1f°C",
                self._station_id, telemetry["battery_available"], telemetry["temperature_c"],
            )  # fmt: skip
        self._send(message)
        if options.messages is not None and source.sequence >= options.messages:
            self._check_finished()
            return
        loop = asyncio.get_running_loop()
        self._next_at = max(self._next_at + options.interval, loop.time())
        self._timer = loop.call_at(self._next_at, self._publish)

    def _is_full(self) -> bool:
        if self._connection is not None and self._connection.backlogged:
            return True
        return len(self._unacknowledged) + len(self._waiting) >= WINDOW

    def _on_room(self) -> None:
        if self._blocked and not self._is_full():
            self._blocked = False
            self._next_at = asyncio.get_running_loop().time()
            self._publish()

    def _send(self, message: _Message) -> None:
        if self._connection is None:
            self._waiting.append(message)
            return
        message.at = time.monotonic()
        packet_id = self._connection.publish(self._topic, message.payload, self._fleet.options.qos)
        self._fleet.summary.sent += 1
        if packet_id:
            self._unacknowledged[packet_id] = message

    def _on_acknowledged(self, packet_id: int) -> None:
        message = self._unacknowledged.pop(packet_id, None)
        if message is None:
            return
        fleet = self._fleet
        now = time.monotonic()
        fleet.summary.latencies.add(now - message.at)
        message.at = now
        if not message.noted:
            message.noted = True
            fleet.summary.acknowledged += 1
            fleet.ledger.add(message.message_id, self._station_id, message.sequence, message.timestamp)
        if fleet.options.replay_window:
            self._remembered.append(message)
        # Only this proves that the connection is of use: a broker may welcome and then close on a publish.
        self._pause = _FIRST_PAUSE
        self._on_room()
        self._check_finished()

    def _check_finished(self) -> None:
        messages = self._fleet.options.messages
        if messages is None or self._finished or self._source.sequence < messages or self.owes:
            return
        self._finished = True
        self._fleet.finished()

    def _on_lost(self) -> None:
        if self._connection is None:
            return
        fleet = self._fleet
        fleet.summary.disconnects += 1
        fleet.up -= 1
        self._connection = None
        # Not acknowledged: to be sent again, before anything newer.
        self._waiting.extendleft(reversed(self._unacknowledged.values()))
        self._unacknowledged.clear()
        # A station that has finished comes back, too: for the replay.
        if self.owes or not fleet.stopping.is_set():
            self.connect(self._next_pause())

    def _replay(self) -> None:
        """Send again what a killed broker may have lost, then what it never acknowledged."""
        since = time.monotonic() - self._fleet.options.replay_window
        again = [message for message in self._remembered if message.at >= since]
        self._remembered.clear()
        self._fleet.summary.replayed += len(again)
        waiting, self._waiting = self._waiting, deque()
        for message in (*again, *waiting):
            self._send(message)
        self._on_room()


def run_fleet(options: FleetOptions, tick: Callable[[Fleet], None] = lambda _: None) -> FleetSummary:
    """Run a fleet from code that has no event loop, to its end.

    Raises:
        FleetError, LedgerError, OSError: with what is missing.
    """

    async def run() -> FleetSummary:
        with contextlib.closing(Ledger(options.ledger)) as ledger:
            return await Fleet(options, ledger).run(tick)

    return asyncio.run(run())


def _require_files(endpoint: Endpoint, station_ids: list[str]) -> None:
    missing = [path for path in (endpoint.ca,) if not path.is_file()] + [
        path
        for station_id in station_ids
        for path in (
            endpoint.certificates / f"{station_id}.crt",
            endpoint.certificates / f"{station_id}.key",
        )
        if not path.is_file()
    ]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise FleetError(
            f"{missing[0]}{more} is missing.\n  Stations are enrolled by `make simulate`; ids are as wide as "
            "--num-stations is long."
        )
