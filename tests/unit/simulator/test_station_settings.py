"""A station and its device shadow: what it takes, refuses, reports, and keeps."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.data_plane import shadow_documents as documents
from simulator.journal import Journal
from simulator.options import FleetError
from simulator.settings import Settings
from simulator.shadow import Shadow
from simulator.state import StateFile

STATION = "station-01"
PREFIX = f"$aws/things/{STATION}/shadow/"


class Service:
    """The shadow as the device shadow service would keep it, by the data plane's own rules of merging."""

    def __init__(self, station: Shadow) -> None:
        self.station, self.version, self.state = station, 1, dict[str, Any]()
        self.reports = 0

    def start(self) -> None:
        """Answer what a station asks when it connects."""
        if self.version == 1:
            self._take(self.station.hear(PREFIX + "get/rejected", b'{"code": 404, "message": "none"}'))
        else:
            whole = {"state": self.state, "version": self.version}
            self._take(self.station.hear(PREFIX + "get/accepted", json.dumps(whole).encode()))

    def desire(self, **settings: Any) -> None:
        """Change what is desired, and tell the station of the delta."""
        self.hold(**settings)
        self._tell()

    def hold(self, **settings: Any) -> None:
        """Change what is desired while the station is away."""
        self._merge({"desired": {"settings": settings}})

    def _merge(self, patch: dict[str, Any]) -> None:
        self.version += 1
        for section, change in patch.items():
            self.state[section] = documents.merge(self.state.get(section, {}), change)

    def _tell(self) -> None:
        delta = documents.delta(self.state.get("desired", {}), self.state.get("reported", {}))
        if delta:
            said = {"version": self.version, "state": delta}
            self._take(self.station.hear(PREFIX + "update/delta", json.dumps(said).encode()))

    def _take(self, report: bytes | None) -> None:
        if report is not None:
            self.reports += 1
            assert self.reports < 20, "the station reports again and again"
            self._merge(json.loads(report)["state"])
            self._tell()

    @property
    def reported(self) -> dict[str, Any]:
        return self.state["reported"]


_opened: list[StateFile] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while _opened:
        _opened.pop().close()


def shadow(station_id: str, interval: float, file: Path | None = None, journal: Path | None = None) -> Shadow:
    _opened.append(StateFile(file))
    return Shadow(station_id, interval, _opened[-1], Journal(journal))


def service(file: Path | None = None, journal: Path | None = None) -> Service:
    made = Service(shadow(STATION, 5, file, journal))
    made.start()
    return made


def test_a_station_without_a_shadow_reports_what_it_does() -> None:
    assert service().reported["settings"]["reporting_interval_seconds"] == 5


def test_a_desired_setting_is_applied_and_reported_once() -> None:
    it = service()
    it.desire(charging_power_limit_kw=200, maintenance_mode=True, maintenance_reason="door")
    assert it.station.settings == Settings(5, 100, 200, True, "door")
    assert it.reported["settings"]["charging_power_limit_kw"] == 200
    assert it.reports == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("charging_power_limit_kw", 1201),
        ("charging_power_limit_kw", True),
        ("reporting_interval_seconds", 0.5),
        ("max_state_of_charge_percent", "80"),
        ("maintenance_mode", 1),
        ("maintenance_reason", "x" * 201),
        ("colour", "red"),
    ],
)
def test_what_is_out_of_range_is_refused_with_a_reason_and_the_rest_applied(name: str, value: Any) -> None:
    it = service()
    it.desire(**{"charging_power_limit_kw": 70, "max_state_of_charge_percent": 80, name: value})
    assert (it.station.settings.charging_power_limit_kw == 70) == (name != "charging_power_limit_kw")
    assert (it.station.settings.max_state_of_charge_percent == 80) == (name != "max_state_of_charge_percent")
    assert list(it.reported["refused"]) == [name]
    assert it.reported["refused"][name]


def test_a_reason_is_gone_when_it_holds_no_longer() -> None:
    it = service()
    it.desire(charging_power_limit_kw=5000, colour="red")
    assert it.reported["refused"].keys() == {"charging_power_limit_kw", "colour"}
    it.desire(charging_power_limit_kw=50)
    assert it.reported["refused"].keys() == {"colour"}
    it.desire(colour=None)
    assert it.station.settings.charging_power_limit_kw == 50


def test_an_old_delta_changes_nothing() -> None:
    """Deltas are delivered at least once and in any order."""
    it = service()
    it.desire(charging_power_limit_kw=50)
    late = {"version": 2, "state": {"settings": {"charging_power_limit_kw": 600}}}
    assert it.station.hear(PREFIX + "update/delta", json.dumps(late).encode()) is None
    assert it.station.settings.charging_power_limit_kw == 50


def test_what_was_set_while_it_was_away_is_applied_when_it_comes_back() -> None:
    it = service()
    it.hold(reporting_interval_seconds=60)
    it.start()
    assert it.reported["settings"]["reporting_interval_seconds"] == 60


def test_an_answer_that_comes_late_does_not_bring_back_what_was() -> None:
    """At QoS 1 the answer to what a station asked may come once more, after a delta; a new connection asks anew."""
    it = service()
    it.hold(charging_power_limit_kw=70)
    late = json.dumps({"state": it.state, "version": it.version}).encode()
    it.start()
    it.desire(charging_power_limit_kw=50)
    assert it.station.hear(PREFIX + "get/accepted", late) is None
    assert it.station.settings.charging_power_limit_kw == 50
    it.station.ask()
    it.station.hear(PREFIX + "get/accepted", late)
    assert it.station.settings.charging_power_limit_kw == 70


def test_settings_outlive_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "state"
    it = service(path)
    it.desire(charging_power_limit_kw=50)
    it.desire(charging_power_limit_kw=70)
    assert shadow(STATION, 9, path).settings == Settings(9, charging_power_limit_kw=70)
    assert shadow("station-02", 5, path).settings == Settings(5)


def test_what_was_set_a_thousand_times_takes_the_room_of_once(tmp_path: Path) -> None:
    it = service(tmp_path / "state")
    for kw in range(1000):
        it.station.hear(PREFIX + "get/accepted", _whole(kw))
    it.station._file.close()
    assert (tmp_path / "state").stat().st_size < 50_000


def test_the_journal_says_what_a_station_does_and_since_which_version(tmp_path: Path) -> None:
    it = service(journal=tmp_path / "journal")
    it.desire(charging_power_limit_kw=50, colour="red")
    lines = [json.loads(line) for line in (tmp_path / "journal").read_text().splitlines()]
    assert [line["version"] for line in lines] == [0, 3]
    assert [line["settings"]["charging_power_limit_kw"] for line in lines] == [1200, 50]
    assert list(lines[-1]["refused"]) == ["colour"]


def _whole(kw: int) -> bytes:
    desired = {"desired": {"settings": {"charging_power_limit_kw": kw}}}
    return json.dumps({"state": desired, "version": 5 + kw}).encode()


def test_what_cannot_be_kept_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("This is no database, and long enough for a head of one." * 20)
    with pytest.raises(FleetError, match="cannot be kept"):
        StateFile(tmp_path / "file" / "state")
    with pytest.raises(FleetError, match="cannot be kept"):
        StateFile(tmp_path / "file")


@pytest.mark.parametrize("payload", [b"", b"[]", b"\xff", b'{"state": 1}', b'{"version": 9, "state": []}'])
def test_rubbish_changes_nothing(payload: bytes) -> None:
    it = service()
    for name in ("update/delta", "get/accepted", "get/rejected"):
        it.station.hear(PREFIX + name, payload)
    assert it.station.settings == Settings(5)
