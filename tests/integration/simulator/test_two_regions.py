"""A fleet with two endpoints: stations leave a region that does not answer, lose nothing, and come home."""

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from simulator.connection import Endpoint
from simulator.fleet import Fleet
from simulator.options import FleetOptions
from tests.integration.simulator.conftest import BrokerProcess, Collector, FleetPlace
from tests.integration.simulator.test_fleet import run

FLEET = 8


@pytest.fixture
def standby(fleet_certificates: Path, tmp_path: Path) -> Iterator[tuple[BrokerProcess, Collector]]:
    """Run the broker of a second region, which knows the same certificates."""
    folder = tmp_path / "standby"
    shutil.copytree(fleet_certificates, folder)
    broker = BrokerProcess(folder)
    collector = Collector(broker)
    broker.start()
    try:
        collector.start()
        yield broker, collector
    finally:
        collector.stop()
        broker.kill()


def options(place: FleetPlace, standby: BrokerProcess) -> FleetOptions:
    home = place.options(num_stations=FLEET, interval=0.5, patience=2.0, settle=0.5, duration=240)
    away = Endpoint("127.0.0.1", standby.port, standby.folder / "ca.crt", standby.folder, region="away")
    return replace(home, endpoint=replace(home.endpoint, region="home"), standby=away)


class Ledger:
    """What the fleet's ledger says, read as it grows."""

    def __init__(self, place: FleetPlace) -> None:
        self._place = place

    def lines(self) -> list[dict[str, str]]:
        text = self._place.ledger.read_text() if self._place.ledger.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def last_regions(self) -> Counter[str]:
        """How many stations have their newest acknowledgement from which region."""
        return Counter({line["station_id"]: line["region"] for line in self.lines()}.values())

    def of(self, region: str) -> set[str]:
        return {line["message_id"] for line in self.lines() if line["region"] == region}


def test_a_fleet_leaves_a_lost_region_and_comes_home(
    place: FleetPlace, standby: tuple[BrokerProcess, Collector]
) -> None:
    """Home is killed, and later freezes: all stations go away each time, and come back when it is well again."""
    broker, collector = standby
    ledger = Ledger(place)
    stories: list[Iterator[None]] = []

    def all_at(region: str) -> Iterator[None]:
        while ledger.last_regions() != {region: FLEET}:
            yield

    def story(fleet: Fleet) -> Iterator[None]:
        yield from all_at("home")
        for lose, restore in (
            (place.broker.kill, place.broker.start),
            (place.broker.freeze, place.broker.thaw),
        ):
            lose()
            yield from all_at("away")
            restore()
            yield from all_at("home")
        fleet.stop()
        while True:
            yield

    def tick(fleet: Fleet) -> None:
        if not stories:
            stories.append(story(fleet))
        next(stories[0])

    summary = run(options(place, broker), tick)
    assert summary.unacknowledged == 0
    assert summary.failovers >= 2 * FLEET
    assert summary.returns >= 2 * FLEET
    # Each station's messages are 1, 2, 3, ... without a gap, noted once, and where the ledger says.
    lines = ledger.lines()
    assert len(lines) == len({line["message_id"] for line in lines}) == summary.acknowledged
    for station, count in Counter(line["station_id"] for line in lines).items():
        sequences = sorted(int(line["sequence"]) for line in lines if line["station_id"] == station)
        assert sequences == list(range(1, count + 1))
    collector.wait_for(ledger.of("away"))
    place.collector.wait_for(ledger.of("home"))
