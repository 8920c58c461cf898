"""The fleet's messages: reproducible, and the same in whatever shards."""

import json
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from simulator.connection import Endpoint
from simulator.messages import Telemetry, station_ids
from simulator.options import FleetOptions
from tests.unit.functions.samples import telemetry

START = datetime(2026, 3, 2, 8, tzinfo=UTC)


def options(**fields: object) -> FleetOptions:
    nowhere = Endpoint("127.0.0.1", 1, Path("ca"), Path("certs"))
    return FleetOptions(**({"num_stations": 4, "endpoint": nowhere, "start": START} | fields))  # type: ignore[arg-type]


def payloads(station_id: str, count: int = 20, **fields: object) -> list[bytes]:
    source = Telemetry(options(**fields), station_id, "run", START)
    return [source.next().payload for _ in range(count)]


def test_the_same_seed_gives_the_same_bytes() -> None:
    """A station's messages depend on the seed, its id and the start alone."""
    assert payloads("station-01", seed=7) == payloads("station-01", seed=7)
    assert payloads("station-01", seed=7) == payloads("station-01", seed=7, num_stations=99, shard=(2, 3))


def test_another_seed_or_station_gives_others() -> None:
    """Neither two seeds nor two stations live the same life."""

    def states(station_id: str, seed: int) -> list[tuple[object, ...]]:
        documents = map(json.loads, payloads(station_id, seed=seed))
        return [(told["temperature_c"], told["power_kw"], told["battery_available"]) for told in documents]

    lives = [states(station_id, seed) for station_id in ("station-01", "station-02") for seed in (1, 2)]
    assert len({tuple(life) for life in lives}) == 4


def test_a_message_has_what_the_contract_says() -> None:
    """Ids are <station>-<run>-<sequence>, sequences count from 1, timestamps are UTC and move by the interval."""
    told = [json.loads(payload) for payload in payloads("station-01", 3, interval=5, speed=60)]
    assert [document["message_id"] for document in told] == [
        f"station-01-run-{number}" for number in (1, 2, 3)
    ]
    assert [document["sequence"] for document in told] == [1, 2, 3]
    assert [document["timestamp"] for document in told] == [
        "2026-03-02T08:05:00.000Z",
        "2026-03-02T08:10:00.000Z",
        "2026-03-02T08:15:00.000Z",
    ]
    assert set(told[0]) == set(telemetry()) | {"slot_charge"}


def test_station_ids_have_at_least_two_digits() -> None:
    """They are as wide as the largest number, two at least, so that they sort."""
    assert station_ids(3) == ["station-01", "station-02", "station-03"]
    assert station_ids(100)[0] == "station-001"
    assert station_ids(1, "test-") == ["test-01"]


@given(num_stations=st.integers(1, 300), count=st.integers(1, 20))
def test_the_shards_together_are_the_whole(num_stations: int, count: int) -> None:
    """Every station is in exactly one shard, and the shards' sizes differ by one at most."""
    shards = [station_ids(num_stations, shard=(index, count)) for index in range(1, count + 1)]
    assert sorted(station for shard in shards for station in shard) == station_ids(num_stations)
    assert max(map(len, shards)) - min(map(len, shards)) <= 1
