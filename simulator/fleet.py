"""The fleet: many stations, each with its own connection, on one event loop."""

import asyncio
import json
import logging
import random
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from simulator.connection import Connection, Endpoint
from simulator.ledger import Ledger
from simulator.model import Station

log = logging.getLogger("simulator")

TOPIC = "ev-swap/stations/{station_id}/telemetry"

# Unacknowledged messages a station may have before it waits.
_WINDOW = 20
# Acknowledged messages that a station remembers for a replay.
_REPLAY_MESSAGES = 64
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
# How long to wait for outstanding acknowledgements at the end.
_FAREWELL_SECONDS = 15.0
# Up to this many stations each publish is a log line.
CHATTY_STATIONS = 50


@dataclass(frozen=True)
class FleetOptions:
    """What to simulate.

    ``interval`` and ``duration`` are seconds of real time; ``speed`` makes the stations' own time run faster.
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
    """What happened; written as JSON by ``--summary``."""

    stations: int = 0
    connected: int = 0
    refused: int = 0
    disconnects: int = 0
    sent: int = 0
    acknowledged: int = 0
    replayed: int = 0
    unacknowledged: int = 0
    seconds: float = 0.0
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=100_000), repr=False)

    def latency(self, quantile: float) -> float:
        """A quantile of the seconds from publish to acknowledgement (the newest 100,000)."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(quantile * len(ordered)))] if ordered else 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        known = {name: value for name, value in vars(self).items() if name != "latencies"}
        return known | {
            "ack_p50_ms": round(1000 * self.latency(0.5), 2),
            "ack_p99_ms": round(1000 * self.latency(0.99), 2),
        }


def station_ids(num_stations: int, prefix: str = "station-", shard: tuple[int, int] = (1, 1)) -> list[str]:
    """The fleet's station ids: ``station-01``, ...; as wide as the largest number, two digits at least.

    A shard is every n-th station of the whole, so the shards together are exactly the whole.
    """
    width = max(2, len(str(num_stations)))
    index, count = shard
    return [f"{prefix}{number:0{width}}" for number in range(1, num_stations + 1)][index - 1 :: count]


@dataclass(slots=True)
class _Sent:
    message_id: str
    sequence: int
    timestamp: str
    payload: bytes
    at: float
    noted: bool = False


class Fleet:
    """Runs stations until its time is over or it is stopped."""

    def __init__(self, options: FleetOptions, ledger: Ledger) -> None:
        """Make the stations; `run` connects them."""
        self.options = options
        self.ledger = ledger
        self.summary = FleetSummary()
        self.stopping = asyncio.Event()
        self.failure: Exception | None = None
        self.run_id = options.run_id or datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        self.start = datetime.now(UTC)
        ids = station_ids(options.num_stations, options.prefix, options.shard)
        self.devices = [_Device(self, station_id) for station_id in ids]
        self.summary.stations = len(self.devices)

    async def run(self, tick: Callable[["Fleet"], None] = lambda _: None) -> FleetSummary:
        """Connect all stations at the ramp rate, let them publish, and end cleanly.

        Args:
            tick: called every second, for progress.

        Raises:
            LedgerError: the ledger could not be written.
        """
        begun = time.monotonic()
        with ThreadPoolExecutor(16, thread_name_prefix="connect") as executor:
            tasks = []
            clock = asyncio.create_task(self._clock(tick, begun))
            for number, device in enumerate(self.devices):
                tasks.append(asyncio.create_task(device.live(executor)))
                if number % 10 == 9:
                    await asyncio.sleep(10 / self.options.ramp_per_second)
                if self.stopping.is_set():
                    break
            await asyncio.gather(*tasks)
            clock.cancel()
        self.summary.seconds = round(time.monotonic() - begun, 3)
        self.summary.unacknowledged = sum(len(device.unacknowledged) for device in self.devices)
        if self.failure:
            raise self.failure
        self.ledger.flush()
        return self.summary

    def stop(self) -> None:
        """End: what is published is still waited for."""
        self.stopping.set()

    async def _clock(self, tick: Callable[["Fleet"], None], begun: float) -> None:
        while True:
            await asyncio.sleep(1)
            try:
                self.ledger.flush()
            except Exception as error:  # raised by `run`, when everything has ended
                self.failure = error
                self.stop()
            for device in self.devices:
                device.tick()
            self.summary.seconds = time.monotonic() - begun
            if self.options.duration is not None and self.summary.seconds >= self.options.duration:
                self.stop()
            tick(self)


class _Device:
    """A station and its connection, as long as the fleet runs."""

    def __init__(self, fleet: Fleet, station_id: str) -> None:
        self._fleet = fleet
        self._options = fleet.options
        self.station_id = station_id
        self._random = random.Random(f"{fleet.options.seed}/{station_id}/network")
        self._station = Station(station_id, fleet.options.seed, fleet.start)
        topic = TOPIC.format(station_id=station_id)
        rule = fleet.options.basic_ingest
        self._topic = f"$aws/rules/{rule}/{topic}" if rule else topic
        self._sequence = 0
        self._connection: Connection | None = None
        self._lost = asyncio.Event()
        self._acknowledged = asyncio.Event()
        self.unacknowledged: dict[int, _Sent] = {}
        self._waiting: deque[_Sent] = deque()
        self._remembered: deque[_Sent] = deque(maxlen=_REPLAY_MESSAGES)

    async def live(self, executor: Executor) -> None:
        """Connect, publish, reconnect; until the fleet stops."""
        pause = _FIRST_PAUSE
        publishing: asyncio.Task[None] | None = None
        while not self._fleet.stopping.is_set():
            self._lost.clear()
            connection = Connection(
                self.station_id,
                self._options.endpoint,
                acknowledged=self._on_acknowledged,
                lost=self._on_lost,
            )
            try:
                await connection.connect(executor)
            except OSError as error:
                self._fleet.summary.refused += 1
                log.debug("%s cannot connect: %s", self.station_id, error)
                # Full jitter: stations that were cut off together must not come back together.
                await self._sleep(self._random.uniform(0.2, 1) * pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            pause = _FIRST_PAUSE
            self._connection = connection
            self._fleet.summary.connected += 1
            self._replay()
            if publishing is None:
                publishing = asyncio.create_task(self._publish_regularly())
            await self._until_lost_or_done(publishing)
            if publishing.done():
                break
            if self._lost.is_set():
                self._disconnected()
        if publishing:
            await publishing
        await self._farewell()

    @property
    def is_connected(self) -> bool:
        """Whether it is."""
        return self._connection is not None

    def tick(self) -> None:
        """Once a second."""
        if self._connection:
            self._connection.tick()

    async def _until_lost_or_done(self, publishing: "asyncio.Task[None]") -> None:
        lost = asyncio.create_task(self._lost.wait())
        await asyncio.wait((lost, publishing), return_when=asyncio.FIRST_COMPLETED)
        lost.cancel()

    async def _publish_regularly(self) -> None:
        interval, options = self._options.interval, self._options
        # Spread over the interval, or all stations would speak at once.
        next_at = time.monotonic() + self._random.uniform(0, interval)
        # The station's own clock: the real one, or faster.
        moment = datetime.now(UTC)
        while options.messages is None or self._sequence < options.messages:
            if await self._sleep(next_at - time.monotonic()):
                return
            next_at = max(next_at + interval, time.monotonic())
            self._station.step(interval * options.speed)
            moment = (
                datetime.now(UTC)
                if options.speed == 1
                else moment + timedelta(seconds=interval * options.speed)
            )
            self._send(self._message(moment))
            # Back-pressure: a station whose messages are not acknowledged waits, and measures later.
            while (
                len(self.unacknowledged) + len(self._waiting) >= _WINDOW and not self._fleet.stopping.is_set()
            ):
                self._acknowledged.clear()
                acknowledged = asyncio.create_task(self._acknowledged.wait())
                stopping = asyncio.create_task(self._fleet.stopping.wait())
                await asyncio.wait((acknowledged, stopping), return_when=asyncio.FIRST_COMPLETED)
                acknowledged.cancel()
                stopping.cancel()

    def _message(self, moment: datetime) -> _Sent:
        self._sequence += 1
        timestamp = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        message_id = f"{self.station_id}-{self._fleet.run_id}-{self._sequence}"
        telemetry = self._station.telemetry() | {
            "message_id": message_id, "sequence": self._sequence, "timestamp": timestamp,
        }  # fmt: skip
        if self._options.chatty:
            log.info(
                "Published telemetry for %s: batteries=%d, temp=%.1f°C",
                self.station_id, telemetry["battery_available"], telemetry["temperature_c"],
            )  # fmt: skip
        payload = json.dumps(telemetry, separators=(",", ":")).encode()
        return _Sent(message_id, self._sequence, timestamp, payload, 0.0)

    def _send(self, message: _Sent) -> None:
        if self._connection is None:
            self._waiting.append(message)
            return
        message.at = time.monotonic()
        mid = self._connection.publish(self._topic, message.payload, self._options.qos)
        self._fleet.summary.sent += 1
        if self._options.qos:
            self.unacknowledged[mid] = message

    def _on_acknowledged(self, mid: int) -> None:
        message = self.unacknowledged.pop(mid, None)
        if message is None:
            return
        now = time.monotonic()
        self._fleet.summary.latencies.append(now - message.at)
        message.at = now
        if not message.noted:
            message.noted = True
            self._fleet.summary.acknowledged += 1
            self._fleet.ledger.add(message.message_id, self.station_id, message.sequence, message.timestamp)
        self._remembered.append(message)
        self._acknowledged.set()

    def _on_lost(self) -> None:
        self._lost.set()

    def _disconnected(self) -> None:
        self._fleet.summary.disconnects += 1
        self._connection = None
        # Not acknowledged: to be sent again, before anything newer.
        self._waiting.extendleft(reversed(self.unacknowledged.values()))
        self.unacknowledged.clear()

    def _replay(self) -> None:
        """Send again what a killed broker may have lost, then what it never acknowledged."""
        since = time.monotonic() - self._options.replay_window
        again = [message for message in self._remembered if message.at >= since]
        self._remembered.clear()
        self._fleet.summary.replayed += len(again)
        waiting, self._waiting = self._waiting, deque()
        for message in (*again, *waiting):
            self._send(message)

    async def _farewell(self) -> None:
        deadline = time.monotonic() + _FAREWELL_SECONDS
        while (
            self.unacknowledged
            and self._connection
            and not self._lost.is_set()
            and time.monotonic() < deadline
        ):
            self._acknowledged.clear()
            try:
                await asyncio.wait_for(self._acknowledged.wait(), deadline - time.monotonic())
            except TimeoutError:
                break
        if self._connection:
            self._connection.close()

    async def _sleep(self, seconds: float) -> bool:
        """Sleep; True at once when the fleet stops."""
        if self._fleet.stopping.is_set():
            return True
        try:
            await asyncio.wait_for(self._fleet.stopping.wait(), max(0.0, seconds))
        except TimeoutError:
            return False
        return True
