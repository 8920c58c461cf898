"""The drill of a lost region: what it reads of the ledger, and when it says that all is well."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from testbed.deploy.settings import Settings
from testbed.drills.regions.pair import standby_settings
from testbed.drills.regions.runner import Moved, RegionReport
from testbed.drills.regions.watch import Watch, busiest_second
from testbed.proofs.regions import RegionsAudit

BEGUN = datetime(2026, 3, 2, 8, tzinfo=UTC)


def write(path: Path, *lines: tuple[str, int, str, float], torn: bool = False) -> None:
    """Append (station, sequence, region, second of the acknowledgement)."""
    text = "".join(
        json.dumps(
            {
                "message_id": f"{station}-run-{sequence}",
                "station_id": station,
                "sequence": sequence,
                "timestamp": f"2026-03-02T08:00:{sequence:02d}.000Z",
                "acked_at": (BEGUN + timedelta(seconds=second)).isoformat(),
                "region": region,
            }
        )
        + "\n"
        for station, sequence, region, second in lines
    )
    with path.open("a") as file:
        file.write(text[:-9] if torn else text)


def test_a_station_is_where_its_last_acknowledgement_came_from(tmp_path: Path) -> None:
    watch = Watch(tmp_path / "ledger.ndjson")
    assert not watch.all_at("home", 2)
    write(watch.path, ("a", 1, "home", 1), ("b", 1, "home", 1))
    assert watch.all_at("home", 2)
    write(watch.path, ("a", 2, "away", 12.5))
    assert not watch.all_at("away", 2)
    write(watch.path, ("b", 2, "away", 13), ("b", 3, "away", 14))
    assert watch.all_at("away", 2)
    assert watch.arrivals("away", BEGUN + timedelta(seconds=10)) == [2.5, 3.0]
    assert watch.acknowledged == {"home": 2, "away": 3}


def test_a_line_that_is_not_whole_yet_is_read_when_it_is(tmp_path: Path) -> None:
    watch = Watch(tmp_path / "ledger.ndjson")
    write(watch.path, ("a", 1, "home", 1), torn=True)
    watch.look()
    assert not watch.region
    whole = tmp_path / "whole.ndjson"
    write(whole, ("a", 1, "home", 1))
    with watch.path.open("a") as file:
        file.write(whole.read_text()[-9:])
    watch.look()
    assert watch.region == {"a": "home"}


def test_the_newest_message_is_not_the_one_acknowledged_last(tmp_path: Path) -> None:
    watch = Watch(tmp_path / "ledger.ndjson")
    write(watch.path, ("a", 2, "home", 1), ("a", 1, "home", 2))
    watch.look()
    assert watch.newest["a"] == ("2026-03-02T08:00:02.000000Z", 2, "a-run-2")


def test_a_stampede_shows() -> None:
    assert busiest_second([0.1, 1.2, 1.3, 1.9, 2.0]) == 3
    assert busiest_second([]) == 0


def audit(**changed: Any) -> RegionsAudit:
    return replace(RegionsAudit(10, {"home": 5, "away": 6}, 1, 0, 0, [], {"home": [], "away": []}), **changed)


@pytest.mark.parametrize(
    ("changed", "clean"),
    [
        ({}, True),
        ({"went_back": 3}, True),
        ({"audit": audit(missing_count=1, missing=["a-run-1"])}, False),
        ({"audit": audit(wrong_state={"home": ["a: ..."], "away": []})}, False),
        ({"wrong_left": ["a: ..."]}, False),
        ({"unacknowledged": 1}, False),
    ],
)
def test_a_run_is_clean_when_nothing_is_missing_and_no_state_wrong(
    changed: dict[str, Any], clean: bool
) -> None:
    moved = Moved(1, 2, 3)
    report = RegionReport(1, "killed", 2, 5, {"home": 5, "away": 5}, moved, moved, [], [], 0, 0, audit())
    assert replace(report, **changed).clean is clean
    assert json.loads(json.dumps(replace(report, **changed).as_dict()))["clean"] is clean


def test_the_second_region_is_another_one_on_ports_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DEPLOYMENT", "AWS_REGION", "TARGET"):
        monkeypatch.delenv(name, raising=False)
    for region, second in (("eu-central-1", "us-east-1"), ("us-east-1", "eu-west-1")):
        home: Any = SimpleNamespace(name="default", engine_name="embedded", region=region)
        settings = standby_settings(Settings.from_environment(), home)
        assert (settings.name, settings.region, settings.engine) == ("default-standby", second, "embedded")
        assert (settings.aws_port, settings.mqtt_port, settings.metrics_port) == (None, None, None)
        assert "AWS_REGION" in settings.given
