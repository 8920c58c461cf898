"""What a fleet is asked to do, and what became of it."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from simulator.connection import Endpoint
from simulator.latency import Latencies
from simulator.scenario import NORMAL, Scenario

# What stands before a station's name in its topics, unless a deployment has one of its own.
TOPIC_ROOT = "ev-swap/stations"


class FleetError(Exception):
    """The fleet cannot run as it was asked to."""


@dataclass(frozen=True)
class FleetOptions:
    """What to simulate.

    ``interval`` and ``duration`` are seconds of real time; an interval of 0 publishes as fast as the broker
    acknowledges. ``speed`` makes the stations' own time run faster.
    ``start`` (time zone aware) is where the stations' time begins; with it, timestamps are those of the
    stations' time and the same options give the same messages to the byte, whenever and in whatever shards
    they run (with the same ``run_id``). Without it their time is the real one.
    With ``from_hour`` the stations live from that hour (UTC) on, at ``speed``, and say so at the real time: a day
    that is played in minutes is news to whoever hears it.
    ``replay_window`` is how many seconds of acknowledged messages a station sends again when it reconnects: a
    broker that was killed may have lost the last ones it acknowledged, and duplicates do no harm.
    ``basic_ingest`` names a rule to publish to directly. ``shard`` is (index from 1, of how many).
    Every ``storm_every`` seconds ``storm_share`` of all connections are cut at once, without a word.
    ``topic`` has ``{device}`` and comes before ``topic_root``; ``model`` is what `simulator.templates.load` takes, and
    empty is a battery-swap station.
    ``shadow``: each station follows its device shadow, takes commands, and keeps both in the file ``settings`` over a
    restart; what it did of them is in a journal beside the ledger. Battery-swap stations only, and not at an interval
    of 0.
    ``standby`` is the endpoint of a second region, which a station goes to when its own, ``endpoint``, refuses it twice
    or owes it an answer for ``patience`` seconds; it goes home when that has been well for ``settle`` to twice as many.
    ``payload_bytes`` publishes that many bytes in place of telemetry, to measure a broker or this program.
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
    topic_root: str = TOPIC_ROOT
    topic: str = ""
    model: str = ""
    shard: tuple[int, int] = (1, 1)
    speed: float = 1.0
    from_hour: float | None = None
    scenario: Scenario = NORMAL
    qos: int = 1
    ramp_per_second: float = 200.0
    replay_window: float = 30.0
    storm_every: float | None = None
    storm_share: float = 1.0
    basic_ingest: str | None = None
    payload_bytes: int | None = None
    ledger: Path | None = None
    shadow: bool = False
    settings: Path | None = None
    chatty: bool = False
    standby: Endpoint | None = None
    patience: float = 10.0
    settle: float = 30.0


@dataclass
class FleetSummary:
    """What happened; written as JSON by ``--summary``.

    ``connected`` is stations that ever were, ``refused`` attempts that failed, ``sent`` publishes with those
    sent again, ``acknowledged`` messages (each once), ``replayed`` those sent again though acknowledged,
    ``unacknowledged`` messages of which the broker never said that it has them. ``failovers`` and ``returns``: how
    often a station went to the second region, and home again. ``ramp_seconds`` is when the
    last station was connected for the first time.
    """

    stations: int = 0
    connected: int = 0
    refused: int = 0
    disconnects: int = 0
    sent: int = 0
    acknowledged: int = 0
    replayed: int = 0
    unacknowledged: int = 0
    failovers: int = 0
    returns: int = 0
    seconds: float = 0.0
    ramp_seconds: float = 0.0
    latencies: Latencies = field(default_factory=Latencies, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Return what is written as JSON."""
        known = {name: value for name, value in vars(self).items() if name != "latencies"}
        return known | {
            "ack_p50_ms": round(1000 * self.latencies.quantile(0.5), 2),
            "ack_p99_ms": round(1000 * self.latencies.quantile(0.99), 2),
        }
