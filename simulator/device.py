"""A station on the network: its messages and its connection, as long as the fleet runs."""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

from simulator.commands import Commands
from simulator.connection import Connection
from simulator.jobs import Jobs, Said
from simulator.journal import Journal
from simulator.ledger import Ledger
from simulator.messages import Message, Messages
from simulator.model_shadow import ModelShadow
from simulator.options import FleetOptions, FleetSummary
from simulator.packets import FAILURE, Topic
from simulator.regions import Region, Whereabouts
from simulator.settings import Settings
from simulator.shadow import Shadow
from simulator.state import StateFile

log = logging.getLogger("simulator")

Follow = Callable[[dict[str, Any]], dict[str, Any]]

# Unacknowledged messages a station may have before it waits.
WINDOW = 20
# At an interval of 0 a station publishes so many at once: what goes out together costs less.
_GULP = WINDOW // 2
# Acknowledged messages that a station remembers for a replay. With the window it stays under the 100
# unacknowledged publishes that AWS IoT allows a connection.
REPLAY_MESSAGES = 64
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
# From the command to the end of the connection. Assumed.
_RESTART_SECONDS = 0.5
# A quarter of a firmware's way into a station; half more or less, so that a fleet does not restart at once. Assumed.
_JOB_STEP_SECONDS = 1.0


class Network(Protocol):
    """What a device needs of the fleet that it belongs to."""

    options: FleetOptions
    summary: FleetSummary
    ledger: Ledger
    journal: Journal
    state: StateFile
    # Home, and where there is one the region to fail over to.
    regions: tuple[Region, ...]
    stopping: asyncio.Event
    # How many devices are connected.
    up: int

    def start_task(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Start a task whose failure ends the run."""

    def connected(self, *, first: bool) -> None:
        """Count a connection, the device's first or a later one."""

    def finished(self) -> None:
        """Count a device that has published its share and has nothing unacknowledged."""

    def deaf(self, station_id: str) -> None:
        """Note that the broker does not let a device subscribe to its shadow."""

    def refused(self, station_id: str, error: OSError) -> None:
        """Count a connection that failed and will be tried again."""


class Device:
    """One of very many: timers, and no tasks but to connect."""

    __slots__ = (
        "_blocked",
        "_commands",
        "_connecting",
        "_connection",
        "_ever_connected",
        "_finished",
        "_fleet",
        "_interval",
        "_job_timer",
        "_jobs",
        "_messages",
        "_model_shadow",
        "_next_at",
        "_pause",
        "_random",
        "_remembered",
        "_returning",
        "_shadow",
        "_station_id",
        "_timer",
        "_topic",
        "_unacknowledged",
        "_waiting",
        "_whereabouts",
    )

    def __init__(
        self,
        fleet: Network,
        station_id: str,
        messages: Messages,
        *,
        listens: bool = False,
        follow: Follow | None = None,
    ) -> None:
        """Connect to nothing yet.

        Args:
            fleet: where it belongs.
            station_id: its name.
            messages: what it says.
            listens: whether it takes settings, commands and jobs, as a battery-swap station does.
            follow: what its model does with the desired state of its shadow; see `simulator.templates.Model`.
        """
        self._fleet = fleet
        self._station_id = station_id
        self._messages = messages
        options = fleet.options
        # Apart from the model's, so that the network's fortunes change nothing in what a station tells.
        self._random = random.Random(f"{options.seed}/{station_id}/network")
        topic = (options.topic or f"{options.topic_root}/{{device}}/telemetry").replace(
            "{device}", station_id
        )
        rule = options.basic_ingest
        self._topic = Topic(f"$aws/rules/{rule}/{topic}" if rule else topic)
        self._whereabouts = Whereabouts(station_id, fleet.regions, self._random)
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._returning: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._next_at = 0.0
        self._interval = options.interval
        self._shadow: Shadow | None = None
        self._jobs: Jobs | None = None
        self._job_timer: asyncio.TimerHandle | None = None
        self._commands = Commands(
            station_id, options.topic_root, messages.slots, self._restart, fleet.state, fleet.journal
        )
        self._model_shadow = ModelShadow(station_id, follow) if follow else None
        if listens:
            self._listen()
        self._pause = _FIRST_PAUSE
        self._ever_connected = self._blocked = self._finished = False
        self._unacknowledged: dict[int, Message] = {}
        self._waiting: deque[Message] = deque()
        self._remembered: deque[Message] = deque(maxlen=REPLAY_MESSAGES)

    def _listen(self) -> None:
        fleet, station_id = self._fleet, self._station_id
        self._shadow = Shadow(
            station_id, fleet.options.interval, fleet.state, fleet.journal, self._on_settings
        )
        self._interval = self._shadow.settings.reporting_interval_seconds
        self._messages.follow(self._shadow.settings, 0)
        self._jobs = Jobs(
            station_id,
            fleet.options.seed,
            self._messages.firmware,
            fleet.state,
            self._on_firmware,
            self._restart,
        )

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

    def cut(self) -> None:
        """Lose the connection without a word, as by a power cut in the network."""
        if self._connection:
            self._connection.abort()
            self._on_lost()

    def publish_no_more(self) -> None:
        """Make no new messages; those on their way are seen to their end."""
        if self._timer:
            self._timer.cancel()
        if self._connection:
            self._connection.gulp(0)
        if self._connecting and not self.owes:
            self._connecting.cancel()
        if self._returning:
            self._returning.cancel()

    def give_up_silence(self) -> None:
        """End a connection whose broker owes an answer for longer than a station with another region waits."""
        if self._connection is None or not self._unacknowledged:
            return
        oldest = next(iter(self._unacknowledged.values()))
        if time.monotonic() - oldest.at > self._fleet.options.patience:
            self._connection.abort()
            self._on_lost(silent=True)

    def close(self) -> None:
        """Say goodbye."""
        for task in (self._connecting, self._returning):
            if task:
                task.cancel()
        if self._connection:
            self._connection.close()
            self._connection = None

    async def _connect(self, pause: float) -> None:
        fleet = self._fleet
        while True:
            if pause:
                await asyncio.sleep(pause)
            connection = self._new_connection(self._whereabouts.region)
            try:
                await self._open(connection, self._whereabouts.region)
                break
            except OSError as error:
                fleet.refused(self._station_id, error)
                self._failed()
            pause = self._next_pause()
        self._connecting = None
        self._take(connection)
        self._replay()
        if self._whereabouts.away and not (self._returning or fleet.stopping.is_set()):
            self._returning = fleet.start_task(self._return())
        first, self._ever_connected = not self._ever_connected, True
        fleet.connected(first=first)
        if first:
            loop = asyncio.get_running_loop()
            # Spread over the interval, or all stations would speak at once.
            self._next_at = loop.time() + self._random.uniform(0, self._interval)
            if not fleet.stopping.is_set():
                self._timer = loop.call_at(self._next_at, self._publish)

    def _new_connection(self, region: Region) -> Connection:
        return Connection(
            self._station_id,
            region.endpoint,
            region.identities,
            acknowledged=self._on_acknowledged,
            lost=self._on_lost,
            drained=self._on_drained,
            heard=self._on_heard,
            subscribed=self._on_subscribed,
        )

    async def _open(self, connection: Connection, region: Region) -> None:
        async with region.handshakes:
            if len(self._fleet.regions) > 1:
                await connection.connect(self._fleet.options.patience)
            else:
                await connection.connect()

    def _take(self, connection: Connection) -> None:
        """Have it from now on."""
        self._connection = connection
        options = self._fleet.options
        if self._shadow and self._jobs:
            connection.subscribe((*self._shadow.filters, *self._jobs.filters, self._commands.topic))
        elif self._model_shadow:
            connection.subscribe(self._model_shadow.filters)
        done = self._fleet.stopping.is_set() or self._messages.sequence == options.messages
        if not (options.interval or done):
            connection.gulp(_GULP)

    async def _return(self) -> None:
        """Go home when home is well again; the other region is left when home has said welcome, not before."""
        options, home = self._fleet.options, self._whereabouts.home
        while True:
            await self._whereabouts.until_home_is_well(options.patience, options.settle)
            connection = self._new_connection(home)
            try:
                await self._open(connection, home)
                break
            except OSError as error:
                self._fleet.refused(self._station_id, error)
        self._returning = None
        self._whereabouts.away = False
        self._fleet.summary.returns += 1
        if self._connection:
            self._connection.close()
            self._wait_again()
        else:
            if self._connecting:
                self._connecting.cancel()
                self._connecting = None
            self._fleet.connected(first=False)
        self._take(connection)
        self._send_waiting()

    def _failed(self, *, silent: bool = False) -> None:
        was = self._whereabouts.away
        self._whereabouts.failed(silent=silent)
        if self._whereabouts.away and not was:
            self._fleet.summary.failovers += 1
        if not self._whereabouts.away and self._returning:
            # It tries its home anyway, and two connections of one client id end each other.
            self._returning.cancel()
            self._returning = None

    def _next_pause(self) -> float:
        # Full jitter: stations that were cut off together must not come back together.
        # (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/)
        pause = self._random.uniform(0, self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        return pause

    def _publish(self) -> None:
        self._timer = None
        options, messages = self._fleet.options, self._messages
        if self._fleet.stopping.is_set():
            return
        room = self._room()
        if room <= 0:
            # Back-pressure: a station whose messages are not acknowledged waits, and measures later.
            self._blocked = True
            return
        # An interval of 0 fills the window.
        count = 1 if options.interval else room
        if options.messages is not None:
            count = min(count, options.messages - messages.sequence)
        self._send([messages.next() for _ in range(count)])
        if options.chatty:
            log.info("Published telemetry for %s: %s", self._station_id, messages.described())
        if options.messages is not None and messages.sequence >= options.messages:
            if self._connection and not options.interval:
                self._connection.gulp(0)
            self._check_finished()
            return
        if not options.interval and self._room() <= 0:
            self._blocked = True
            return
        loop = asyncio.get_running_loop()
        self._next_at = max(self._next_at + self._interval, loop.time())
        self._timer = loop.call_at(self._next_at, self._publish)

    # --- what an operator says -----------------------------------------------

    def _on_subscribed(self, codes: bytes) -> None:
        shadow = self._shadow or self._model_shadow
        if shadow is None:
            return
        if max(codes) >= FAILURE:
            self._fleet.deaf(self._station_id)
            return
        self._say((shadow.ask(), b""))
        if self._jobs:
            self._say(self._jobs.start)

    def _on_heard(self, topic: str, payload: bytes) -> None:
        if self._model_shadow:
            if report := self._model_shadow.hear(topic, payload):
                self._say((self._model_shadow.update_topic, report))
            return
        if self._shadow is None or self._jobs is None:
            return
        if topic == self._commands.topic:
            if answer := self._commands.hear(payload):
                self._say((self._commands.answer_topic, answer))
        elif topic in self._jobs.filters:
            self._say(self._jobs.hear(topic, payload))
            self._work()
        elif report := self._shadow.hear(topic, payload):
            self._say((self._shadow.update_topic, report))

    def _say(self, said: Said | None) -> None:
        """Publish once; what is lost with its connection is made good by what is asked at the next."""
        if said and self._connection:
            topic, payload = said
            self._connection.publish(Topic(topic), [payload], 1)

    def _work(self) -> None:
        """Have the next step of a job taken in a while, if there is one."""
        if self._jobs and self._jobs.working and self._job_timer is None:
            pause = self._random.uniform(0.5, 1.5) * _JOB_STEP_SECONDS
            self._job_timer = asyncio.get_running_loop().call_later(pause, self._on_job_step)

    def _on_job_step(self) -> None:
        self._job_timer = None
        if self._jobs and not self._fleet.stopping.is_set():
            self._say(self._jobs.step())
            self._work()

    def _restart(self) -> None:
        """Say goodbye when the answer is out, and come back after a pause."""

        def leave() -> None:
            if self._connection:
                self._connection.close()
                self._on_lost()

        asyncio.get_running_loop().call_later(_RESTART_SECONDS, leave)

    def _on_firmware(self, version: str) -> None:
        self._messages.firmware = version

    def _on_settings(self, settings: Settings) -> None:
        now = asyncio.get_running_loop().time()
        elapsed = min(max(0.0, self._interval - (self._next_at - now)), self._interval) if self._timer else 0
        self._messages.follow(settings, elapsed)
        self._interval = settings.reporting_interval_seconds
        log.info("Settings of %s: %s", self._station_id, settings)
        if self._timer:
            self._timer.cancel()
            self._next_at = now + self._interval
            self._timer = asyncio.get_running_loop().call_at(self._next_at, self._publish)

    # --- what it says --------------------------------------------------------

    def _room(self) -> int:
        """Count the messages that may be made."""
        if self._connection is not None and self._connection.backlogged:
            return 0
        return WINDOW - len(self._unacknowledged) - len(self._waiting)

    def _on_room(self) -> None:
        enough = 1 if self._fleet.options.interval else _GULP
        if self._blocked and self._room() >= enough:
            self._blocked = False
            self._next_at = asyncio.get_running_loop().time()
            self._publish()

    def _on_drained(self) -> None:
        self._on_room()
        # At QoS 0 nobody says more than this.
        self._check_finished()

    def _send(self, messages: list[Message]) -> None:
        if self._connection is None:
            self._waiting.extend(messages)
            return
        now = time.monotonic()
        for message in messages:
            message.at = now
        payloads = [message.payload for message in messages]
        packet_ids = self._connection.publish(self._topic, payloads, self._fleet.options.qos)
        self._fleet.summary.sent += len(messages)
        if self._fleet.options.qos:
            self._unacknowledged.update(zip(packet_ids, messages, strict=True))

    def _on_acknowledged(self, packet_ids: Sequence[int]) -> None:
        fleet, remember = self._fleet, self._fleet.options.replay_window > 0
        ledger = fleet.ledger if fleet.ledger.kept else None
        region = self._whereabouts.region.endpoint.region
        now = time.monotonic()
        noted, together, sent_at = 0, 0, 0.0
        for packet_id in packet_ids:
            message = self._unacknowledged.pop(packet_id, None)
            if message is None:
                continue
            if message.at != sent_at:
                # Those that were sent together have one latency.
                fleet.summary.latencies.add(now - sent_at, together)
                sent_at, together = message.at, 0
            together += 1
            message.at = now
            if not message.noted:
                message.noted = True
                noted += 1
                if ledger:
                    message_id = self._messages.message_id(message.sequence)
                    ledger.add(
                        message_id, self._station_id, message.sequence, message.timestamp, region=region
                    )
            if remember:
                self._remembered.append(message)
        fleet.summary.latencies.add(now - sent_at, together)
        fleet.summary.acknowledged += noted
        # Only this proves that the connection is of use: a broker may welcome and then close on a publish.
        self._pause = _FIRST_PAUSE
        self._whereabouts.answered()
        self._on_room()
        self._check_finished()

    def _check_finished(self) -> None:
        messages = self._fleet.options.messages
        if messages is None or self._finished or self._messages.sequence < messages or self.owes:
            return
        self._finished = True
        self._fleet.finished()

    def _on_lost(self, *, silent: bool = False) -> None:
        # One that was left for another may say so late.
        if self._connection is None or not self._connection.ended:
            return
        fleet = self._fleet
        fleet.summary.disconnects += 1
        fleet.up -= 1
        self._connection = None
        self._failed(silent=silent)
        self._wait_again()
        # A station that has finished comes back, too: for the replay.
        if self.owes or not fleet.stopping.is_set():
            self.connect(self._next_pause())

    def _wait_again(self) -> None:
        """Have what is not acknowledged sent again, before anything newer."""
        self._waiting.extendleft(reversed(self._unacknowledged.values()))
        self._unacknowledged.clear()

    def _replay(self) -> None:
        """Send again what a killed broker may have lost, then what it never acknowledged."""
        since = time.monotonic() - self._fleet.options.replay_window
        again = [message for message in self._remembered if message.at >= since]
        self._remembered.clear()
        self._fleet.summary.replayed += len(again)
        self._send_waiting(again)

    def _send_waiting(self, again: Sequence[Message] = ()) -> None:
        waiting, self._waiting = self._waiting, deque()
        self._send([*again, *waiting])
        self._on_room()
