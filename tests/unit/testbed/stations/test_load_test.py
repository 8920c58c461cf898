"""The shards of a load test."""

import io
import tarfile
from pathlib import Path

from bridge.authority import Authority
from simulator import shard
from simulator.messages import station_ids
from testbed.stations.load_test import bundle

ENVIRONMENT = {
    "SHARDS": "4",
    "STATIONS": "10",
    "INTERVAL": "60",
    "DURATION": "30",
    "ENDPOINT": "broker",
    "PORT": "8883",
}


def test_a_shard_runs_its_part_and_connects_at_its_part_of_the_quota() -> None:
    line = shard.command(ENVIRONMENT | {"RAMP": "200"}, 3, Path("certs"), Path("ledger"))
    assert line[line.index("--shard") + 1] == "3/4"
    assert line[line.index("--ramp") + 1] == "50"


def test_a_bundle_has_what_its_shard_needs_and_no_other_stations_key(tmp_path: Path) -> None:
    authority = Authority.load_or_create(tmp_path / "authority", name="test")
    for station in station_ids(5):
        authority.client(station).write(tmp_path / f"{station}.crt", tmp_path / f"{station}.key")
    packed = bundle(tmp_path, authority.path, station_ids(5, shard=(2, 2)))
    with tarfile.open(fileobj=io.BytesIO(packed)) as files:
        assert sorted(files.getnames()) == [
            "ca.crt",
            "station-02.crt",
            "station-02.key",
            "station-04.crt",
            "station-04.key",
        ]
        assert files.getmember("station-02.key").mode == 0o600
