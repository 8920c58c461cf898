"""What stations publish: pure, so that a test can hold it against what arrived."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec

from simulator.model import Station
from simulator.options import TOPIC_ROOT, FleetOptions
from simulator.settings import Settings

TOPIC = f"{TOPIC_ROOT}/{{station_id}}/telemetry"

_encode = msgspec.json.Encoder().encode


def station_ids(num_stations: int, prefix: str = "station-", shard: tuple[int, int] = (1, 1)) -> list[str]:
    """List the fleet's station ids: ``station-01``, ...; as wide as the largest number, two digits at least.

    A shard is every n-th station of the whole, so the shards together are exactly the whole.
    """
    width = max(2, len(str(num_stations)))
    index, count = shard
    return [f"{prefix}{number:0{width}}" for number in range(1, num_stations + 1)][index - 1 :: count]


@dataclass(slots=True)
class Message:
    """A message on its way: ``at`` is when it was sent, then when it was acknowledged (`time.monotonic`).

    ``noted`` says whether it is in the ledger: a replayed message is acknowledged twice and noted once.
    """

    sequence: int
    timestamp: str
    payload: bytes
    at: float = 0.0
    noted: bool = False


class Messages(Protocol):
    """A station's messages, one after the other."""

    sequence: int
    # The version that it tells; empty where it tells none.
    firmware: str

    def next(self) -> Message:
        """Let an interval pass; the message at its end."""

    def follow(self, settings: Settings, elapsed: float) -> None:
        """Change the settings, ``elapsed`` seconds after the last message."""

    @property
    def slots(self) -> int:
        """How many slots the station has; 0 where it is none."""

    def described(self) -> str:
        """Say what the last message said, in short."""

    def message_id(self, sequence: int) -> str:
        """Name a message."""


class Telemetry:
    """The station model's messages."""

    def __init__(self, options: FleetOptions, station_id: str, run_id: str, start: datetime) -> None:
        """``start`` is where the station's time begins."""
        self._prefix = f"{station_id}-{run_id}-"
        life = start
        if options.from_hour is not None:
            midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
            life = midnight + timedelta(hours=options.from_hour)
        self._station = Station(station_id, options.seed, life, options.scenario)
        self._moment = start
        self._speed = options.speed
        self._step = options.interval * options.speed
        # Without a start of its own the station lives in real time, and late messages say when they were made.
        self._real_time = options.start is None and (options.speed == 1 or options.from_hour is not None)
        self.sequence = 0

    def next(self) -> Message:
        """See `Messages.next`."""
        self.sequence += 1
        self._station.step(self._step)
        self._moment += timedelta(seconds=self._step)
        moment = datetime.now(UTC) if self._real_time else self._moment.astimezone(UTC)
        # 23 characters of ISO 8601, which is UTC's "+00:00" less.
        timestamp = moment.isoformat(timespec="milliseconds")[:23] + "Z"
        telemetry = self._station.telemetry()
        telemetry["message_id"] = f"{self._prefix}{self.sequence}"
        telemetry["sequence"] = self.sequence
        telemetry["timestamp"] = timestamp
        return Message(self.sequence, timestamp, _encode(telemetry))

    def follow(self, settings: Settings, elapsed: float) -> None:
        """See `Messages.follow`."""
        self._station.step(elapsed * self._speed)
        self._moment += timedelta(seconds=elapsed * self._speed)
        self._step = settings.reporting_interval_seconds * self._speed
        self._station.settings = settings

    @property
    def firmware(self) -> str:
        """See `Messages`."""
        return self._station.firmware

    @firmware.setter
    def firmware(self, version: str) -> None:
        self._station.firmware = version

    @property
    def slots(self) -> int:
        """See `Messages.slots`."""
        return self._station.generation.slots

    def described(self) -> str:
        """See `Messages.described`."""
        return f"batteries={self._station.ready}, temp={self._station.temperature_c:.1f}°C"

    def message_id(self, sequence: int) -> str:
        """See `Messages.message_id`."""
        return f"{self._prefix}{sequence}"


class Filler:
    """The same bytes every time: what other load generators publish."""

    def __init__(self, payload: bytes, station_id: str, run_id: str) -> None:
        """Keep ``payload``, which all stations share."""
        self._payload = payload
        self._prefix = f"{station_id}-{run_id}-"
        self.sequence = 0
        self.firmware = ""

    def next(self) -> Message:
        """See `Messages.next`."""
        self.sequence += 1
        return Message(self.sequence, "", self._payload)

    def follow(self, settings: Settings, elapsed: float) -> None:
        """Do nothing: bytes have no settings."""

    @property
    def slots(self) -> int:
        """See `Messages.slots`."""
        return 0

    def described(self) -> str:
        """See `Messages.described`."""
        return f"{len(self._payload)} bytes"

    def message_id(self, sequence: int) -> str:
        """See `Messages.message_id`; it is in the ledger only."""
        return f"{self._prefix}{sequence}"
