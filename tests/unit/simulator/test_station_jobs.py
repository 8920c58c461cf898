"""A station's jobs, against the Jobs service itself: firmware that comes, fails, goes back, and outlives a restart."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.data_plane.jobs import Execution, Job
from bridge.data_plane.jobs import Jobs as Service
from bridge.data_plane.jobs_device import DeviceJobs
from bridge.data_plane.store import Store
from simulator.jobs import Jobs, Said
from simulator.state import StateFile

STATION = "station-01"


class Cloud:
    """The data plane's Jobs, which stations talk to without a broker."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "store.sqlite")
        self.service = Service(self.store, "arn:aws:iot:eu-central-1:000000000000:")
        self._devices, self._seen = DeviceJobs(self.store, self.service), 0

    def create(self, job_id: str, *stations: str, document: Any = None, **asked: Any) -> None:
        document = document or {"operation": "firmware", "version": "9.0.0", **asked}
        record = {"targetSelection": "SNAPSHOT", "targets": []}
        with self.store.transaction():
            job = Job(job_id, "IN_PROGRESS", time.time(), json.dumps(document), record)
            self.service.create(job, stations or (STATION,))

    def take(self, said: Said) -> None:
        topic, payload = said
        assert self._devices.handle(topic, payload), topic

    def told(self) -> list[Said]:
        """Return what was published since the last time."""
        answers = self.store.answers(self._seen, 1000)
        self._seen = max([self._seen, *(answer.number for answer in answers)])
        return [(answer.topic, answer.payload) for answer in answers]

    def execution(self, job_id: str, station: str = STATION) -> Execution:
        return self.service.execution(job_id, station)


class Station:
    """A station that is connected or not; its restarts are counted, and take effect at `connect`."""

    def __init__(
        self, cloud: Cloud, file: StateFile, station_id: str = STATION, version: str = "2.4.1"
    ) -> None:
        self.cloud, self.id, self.installed, self.restarts = cloud, station_id, "", 0
        self.jobs = Jobs(station_id, 1, version, file, self._install, self._restart)
        self.connect()

    def _install(self, version: str) -> None:
        self.installed = version

    def _restart(self) -> None:
        self.restarts += 1

    def connect(self) -> None:
        """Connect, ask, and hear the answers."""
        self.cloud.take(self.jobs.start)
        self.listen()

    def listen(self) -> None:
        while told := [said for said in self.cloud.told() if said[0] in self.jobs.filters]:
            for topic, payload in told:
                if answer := self.jobs.hear(topic, payload):
                    self.cloud.take(answer)

    def step(self) -> None:
        if said := self.jobs.step():
            self.cloud.take(said)
        self.listen()

    def finish(self) -> None:
        """Work until there is nothing to do, with the restart at its end."""
        while self.jobs.working:
            self.step()
        self.connect()


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    made = Cloud(tmp_path)
    yield made
    made.store.close()


_opened: list[StateFile] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while _opened:
        _opened.pop().close()


def state(path: Path | None = None) -> StateFile:
    _opened.append(StateFile(path))
    return _opened[-1]


@pytest.fixture
def station(cloud: Cloud) -> Station:
    return Station(cloud, state())


def test_firmware_is_reported_step_by_step_and_succeeds_after_the_restart(
    cloud: Cloud, station: Station
) -> None:
    assert station.installed == "2.4.1"
    cloud.create("job")
    station.listen()
    seen = [cloud.execution("job")]
    while station.jobs.working:
        station.step()
        seen.append(cloud.execution("job"))
    assert [one.details.get("percent") for one in seen] == [None, "25", "50", "75", "100"]
    assert {one.status for one in seen} == {"IN_PROGRESS"}
    assert (station.installed, station.restarts) == ("9.0.0", 1)
    station.connect()
    done = cloud.execution("job")
    assert (done.status, done.details) == ("SUCCEEDED", {"percent": "100", "firmware": "9.0.0"})
    assert cloud.service.job("job").status == "COMPLETED"
    # The same version again is no work.
    cloud.create("again")
    station.listen()
    assert cloud.execution("again").status == "SUCCEEDED"
    assert station.restarts == 1


def test_a_roll_back_leads_to_the_version_before(cloud: Cloud, station: Station) -> None:
    cloud.create("job")
    station.listen()
    station.finish()
    back = {"operation": "roll-back", "version": "9.0.0"}
    cloud.create("back", document=back)
    station.listen()
    station.finish()
    assert station.installed == "2.4.1"
    assert cloud.execution("back").status == "SUCCEEDED"
    # Who has another version has nothing to go back from.
    cloud.create("back-again", document=back)
    station.listen()
    assert (cloud.execution("back-again").status, station.installed) == ("SUCCEEDED", "2.4.1")


def test_a_share_of_the_stations_fails_by_the_seed_and_goes_on_with_what_it_has(cloud: Cloud) -> None:
    names = [f"station-{number:02}" for number in range(40)]
    file = state()
    stations = [Station(cloud, file, name) for name in names]
    cloud.create("job", *names, simulated_failures=0.25)
    notified = cloud.told()
    for station in stations:
        for topic, payload in notified:
            if topic in station.jobs.filters and (answer := station.jobs.hear(topic, payload)):
                cloud.take(answer)
        station.listen()
        station.finish()
    failed = [name for name in names if cloud.execution("job", name).status == "FAILED"]
    assert 4 <= len(failed) <= 16
    assert all(
        (station.installed == "2.4.1") == (station.id in failed)
        and station.restarts == (station.id not in failed)
        for station in stations
    )
    assert cloud.execution("job", failed[0]).details["reason"]
    again = Jobs(failed[0], 1, "2.4.1", state(), lambda _: None, lambda: None)
    document = json.loads(cloud.service.job("job").document)
    message = {"execution": {"jobId": "job", "executionNumber": 1, "jobDocument": document}}
    again.hear(again.filters[1], json.dumps(message).encode())
    while again.working and (said := again.step()):
        last = said
    assert json.loads(last[1])["status"] == "FAILED"


def test_firmware_and_the_way_back_outlive_a_restart_of_the_program(cloud: Cloud, tmp_path: Path) -> None:
    path = tmp_path / "state"
    station = Station(cloud, state(path))
    cloud.create("job")
    station.listen()
    while station.jobs.working:
        station.step()
    # Killed before it could say that it succeeded.
    back = Station(cloud, state(path))
    assert (back.installed, cloud.execution("job").status) == ("9.0.0", "SUCCEEDED")
    cloud.create("back", document={"operation": "roll-back", "version": "9.0.0"})
    back.listen()
    back.finish()
    assert Station(cloud, state(path)).installed == "2.4.1"


def test_work_that_a_lost_connection_interrupts_goes_on_where_it_was(cloud: Cloud, station: Station) -> None:
    cloud.create("job")
    station.listen()
    station.step()
    station.jobs.step()  # said to nobody
    station.connect()
    station.step()
    assert cloud.execution("job").details["percent"] == "75"


@pytest.mark.parametrize("end", ["canceled", "timed out"])
def test_a_job_that_is_over_for_the_service_is_left(cloud: Cloud, station: Station, end: str) -> None:
    cloud.create("job")
    cloud.create("next", document={"operation": "firmware", "version": "9.1.0"})
    station.listen()
    station.step()
    with cloud.store.transaction():
        if end == "canceled":
            cloud.service.cancel(cloud.service.job("job"), forced=True, why={})
        else:
            cloud.service.report(cloud.execution("job"), "TIMED_OUT")
    station.listen()
    station.finish()
    assert (station.installed, cloud.execution("next").status) == ("9.1.0", "SUCCEEDED")


@pytest.mark.parametrize(
    "document",
    [
        {"operation": "explode", "version": "1"},
        {"operation": "firmware"},
        {"operation": "firmware", "version": "a b"},
        {"operation": "firmware", "version": "1", "simulated_failures": 2},
        ["firmware"],
    ],
)
def test_what_is_no_job_for_a_station_is_rejected_with_a_reason(
    cloud: Cloud, station: Station, document: Any
) -> None:
    cloud.create("job", document=document)
    station.listen()
    execution = cloud.execution("job")
    assert (execution.status, station.jobs.working) == ("REJECTED", False)
    assert execution.details["reason"]


@pytest.mark.parametrize("payload", [b"", b"[]", b"\xff", b'{"execution": {"jobId": 1}}'])
def test_what_is_no_message_of_jobs_is_left(station: Station, payload: bytes) -> None:
    assert station.jobs.hear(station.jobs.filters[0], payload) is None
