"""The fleet: many stations, each with its own connection, on one event loop."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

from simulator.connection import Endpoint
from simulator.device import Device
from simulator.journal import Journal
from simulator.ledger import Ledger
from simulator.messages import Filler, Messages, Telemetry, station_ids
from simulator.options import FleetError, FleetOptions, FleetSummary
from simulator.regions import Region
from simulator.state import StateFile
from simulator.templates import ModelMessages, load

log = logging.getLogger("simulator")

# How long to wait for outstanding acknowledgements at the end.
_FAREWELL_SECONDS = 15.0
# Up to this many stations each publish is a log line.
CHATTY_STATIONS = 50
# Different reasons of failed connections that are told; all are counted.
_TOLD_REASONS = 5


class Fleet:
    """Runs stations until its time is over or it is stopped."""

    def __init__(self, options: FleetOptions, ledger: Ledger) -> None:
        """Make the stations; `run` connects them.

        Raises:
            FleetError: a certificate is missing, or what the stations keep cannot be kept.
            LedgerError: the journal cannot be written.
        """
        self.options = options
        self.ledger = ledger
        self.summary = FleetSummary()
        self.stopping = asyncio.Event()
        self.up = 0
        self.run_id = options.run_id or datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        ids = station_ids(options.num_stations, options.prefix, options.shard)
        endpoints = [each for each in (options.endpoint, options.standby) if each]
        for endpoint in endpoints:
            _require_files(endpoint, ids)
        self.regions = tuple(Region.of(endpoint) for endpoint in endpoints)
        messages = self._messages(options.start or datetime.now(UTC))
        listens = options.shadow and options.interval > 0 and not options.model
        self.state = StateFile(options.settings if listens else None)
        self.journal = Journal.beside(ledger.path if listens else None)
        self._devices = [
            self._device(station_id, messages(station_id), listens=listens) for station_id in ids
        ]
        self.summary.stations = self._unfinished = len(self._devices)
        self._failure: BaseException | None = None
        self._impatient = False
        self._told: set[str] = set()
        self._told_deaf = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._begun = 0.0

    def _messages(self, start: datetime) -> Callable[[str], Messages]:
        size, options = self.options.payload_bytes, self.options
        if size is None and options.model:
            model = load(options.model)
            return lambda device: ModelMessages(
                model(device, options.seed), options, device, self.run_id, start
            )
        if size is None:
            return lambda station_id: Telemetry(self.options, station_id, self.run_id, start)
        payload = b"x" * size
        return lambda station_id: Filler(payload, station_id, self.run_id)

    def _device(self, station_id: str, messages: Messages, *, listens: bool) -> Device:
        follow = None
        if isinstance(messages, ModelMessages) and self.options.interval > 0:
            follow = messages.follow_shadow
        return Device(self, station_id, messages, listens=listens, follow=follow)

    async def run(self, tick: Callable[["Fleet"], None] = lambda _: None) -> FleetSummary:
        """Connect all stations at the ramp rate, let them publish, and end cleanly.

        Args:
            tick: called every second, for progress.

        Raises:
            LedgerError: the ledger could not be written.
        """
        loop = asyncio.get_running_loop()
        self._begun = time.monotonic()
        # An error in a callback would silence one station and nobody would know.
        loop.set_exception_handler(
            lambda _, context: self._fail(context.get("exception"), context["message"])
        )
        ramp, clock = self.start_task(self._ramp()), self.start_task(self._clock(tick, self._begun))
        others = [self.start_task(self._storms()), self.start_task(self._impatience())]
        try:
            await self.stopping.wait()
            for task in (ramp, *others):
                task.cancel()
            for device in self._devices:
                device.publish_no_more()
            await self._farewell()
        finally:
            clock.cancel()
            for device in self._devices:
                device.close()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self.state.close()
            loop.set_exception_handler(None)
        self.summary.seconds = round(time.monotonic() - self._begun, 3)
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

    def connected(self, *, first: bool) -> None:
        """Note that a station is connected, for the first time or again."""
        self.up += 1
        if first:
            self.summary.connected += 1
            self.summary.ramp_seconds = round(time.monotonic() - self._begun, 3)

    def finished(self) -> None:
        """Note that a station has published its share and all of it is acknowledged."""
        self._unfinished -= 1
        if not self._unfinished:
            self.stopping.set()

    def deaf(self, station_id: str) -> None:
        """Note that a station may not subscribe to its shadow: it keeps publishing."""
        if not self._told_deaf:
            self._told_deaf = True
            log.warning(
                "%s may not subscribe to its device shadow and its jobs: nothing can be set there.",
                station_id,
            )

    def refused(self, station_id: str, error: OSError) -> None:
        """Note that a connection failed, and will be tried again."""
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

    async def _storms(self) -> None:
        """Cut connections at once, as a network does that fails: all of them come back by themselves."""
        options, chance = self.options, random.Random(f"{self.options.seed}/storms")
        while options.storm_every:
            await asyncio.sleep(options.storm_every)
            for device in self._devices:
                if chance.random() < options.storm_share:
                    device.cut()

    async def _impatience(self) -> None:
        """Give up regions that do not answer: a fleet that has another one need not wait for the keep-alive."""
        while len(self.regions) > 1:
            await asyncio.sleep(min(1.0, self.options.patience / 4))
            for device in self._devices:
                device.give_up_silence()

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


def _require_files(endpoint: Endpoint, station_ids: list[str]) -> None:
    folder = endpoint.certificates
    if folder is None:
        return
    wanted = [folder / f"{station_id}.{ending}" for station_id in station_ids for ending in ("crt", "key")]
    missing = [path for path in (endpoint.ca, *wanted) if path and not path.is_file()]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise FleetError(
            f"{missing[0]}{more} is missing.\n  Stations are enrolled by `make simulate`; ids are as wide as "
            "--num-stations is long."
        )
