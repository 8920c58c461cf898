"""Settings and commands on their way down: from the API to a simulated station, and its answer back."""

import json
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from testbed.deploy.deployment import Deployment
from testbed.identity.enrolment import Enrolment
from testbed.paths import REPOSITORY
from testbed.pipeline import api
from testbed.proofs import trace
from testbed.stations import simulation
from tests.e2e.conftest import PATIENCE_SECONDS, Connect, station_in_api, wait_for


class Simulated:
    """One simulated station, which can go away and come back."""

    def __init__(self, deployment: Deployment, folder: Path) -> None:
        self._deployment, self._folder = deployment, folder
        self._prefix = f"station-settings-{uuid.uuid4().hex[:6]}-"
        self.id = f"{self._prefix}01"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        files = ["--ledger", str(self._folder / "ledger"), "--settings", str(self._folder / "settings")]
        command = simulation.command(self._deployment, 1, 5, ["--prefix", self._prefix, *files])
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=log)

    def stop(self) -> None:
        if self._process:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(PATIENCE_SECONDS)
        self._process = None

    def carried_out(self, command_id: str) -> int:
        """Count how often it carried a command out, by its log."""
        log = (self._folder / "log").read_text()
        return sum("carries out" in line and f"({command_id})" in line for line in log.splitlines())

    @property
    def settings(self) -> dict[str, Any] | None:
        status, document = api.get(self._deployment, f"/stations/{self.id}/settings")
        return document if status == 200 else None

    def change(self, version: int | None = None, **settings: Any) -> tuple[int, Any]:
        body = {"settings": settings, "version": version}
        return api.send(self._deployment, "PATCH", f"/stations/{self.id}/settings", body)

    def settled(self) -> dict[str, Any]:
        """Wait until the station has reported all that is desired of it."""
        found: dict[str, Any] = wait_for(
            lambda: (known := self.settings) and known["reported"] and not known["pending"] and known
        )
        assert found, (self._folder / "log").read_text()
        return found


@pytest.fixture
def station(deployment: Deployment, enrolment: Enrolment, tmp_path: Path) -> Iterator[Simulated]:
    made = Simulated(deployment, tmp_path)
    enrolment.enrol([made.id])
    made.start()
    yield made
    made.stop()
    enrolment.remove([made.id])


def test_a_change_is_reported_by_the_station_and_outlives_its_absence(station: Simulated) -> None:
    before = station.settled()
    begun = time.monotonic()
    status, accepted = station.change(before["version"], charging_power_limit_kw=150)
    assert status == 202
    assert accepted["pending"] == ["charging_power_limit_kw"]
    assert station.settled()["reported"]["charging_power_limit_kw"] == 150
    print(f"from the request to the station's report, as the API shows it: {time.monotonic() - begun:.2f} s")

    station.stop()
    assert station.change(maintenance_mode=True, maintenance_reason="door")[0] == 202
    assert station.settings
    assert station.settings["pending"] == ["maintenance_mode", "maintenance_reason"]
    station.start()
    reported = station.settled()["reported"]
    assert (reported["maintenance_mode"], reported["charging_power_limit_kw"]) == (True, 150)
    made = station.settings["changes"]
    assert [change["outcome"] for change in made] == ["accepted", "accepted"]
    assert all(change["by"] for change in made)


def test_of_two_operators_at_once_one_is_told_of_a_conflict(station: Simulated) -> None:
    version = station.settled()["version"]

    def change(kw: int) -> tuple[int, Any]:
        return station.change(version, charging_power_limit_kw=kw)

    with ThreadPoolExecutor(2) as pool:
        answers = dict(zip((100, 200), pool.map(change, (100, 200)), strict=True))
    assert sorted(status for status, _ in answers.values()) == [202, 409]
    [won] = [kw for kw, (status, _) in answers.items() if status == 202]
    assert station.settled()["reported"]["charging_power_limit_kw"] == won


def test_a_command_is_carried_out_once_and_answered(deployment: Deployment, station: Simulated) -> None:
    assert wait_for(lambda: station_in_api(deployment, station.id))
    station.settled()
    path = f"/stations/{station.id}/commands"
    wanted = {"command": "unlock_slot", "slot": 2, "command_id": "unlock-2", "timeout_seconds": 600}

    def answer(command_id: str) -> Any:
        command = api.get(deployment, f"{path}/{command_id}")[1]
        return command if command["state"] != "sent" else None

    begun = time.monotonic()
    assert api.send(deployment, "POST", path, wanted)[0] == 202
    answered = wait_for(lambda: answer("unlock-2"))
    print(f"from the request to the answer, as the API shows it: {time.monotonic() - begun:.2f} s")
    assert (answered["state"], answered["detail"]) == ("succeeded", "slot 2 is unlocked")
    # The same id is the same command, and no other.
    assert api.send(deployment, "POST", path, wanted) == (202, answered)
    assert api.send(deployment, "POST", path, wanted | {"slot": 3})[0] == 409

    assert api.send(deployment, "POST", path, wanted | {"slot": 99, "command_id": "unlock-99"})[0] == 202
    assert wait_for(lambda: answer("unlock-99"))["state"] == "failed"
    again = {"command": "restart", "command_id": "again", "timeout_seconds": 600}
    assert api.send(deployment, "POST", path, again)[0] == 202
    assert wait_for(lambda: answer("again"))["state"] == "succeeded"
    listed = api.get(deployment, path)[1]["commands"]
    assert [command["command_id"] for command in listed] == ["again", "unlock-99", "unlock-2"]
    assert station.carried_out("unlock-2") == 1
    places = [sighting.where for sighting in trace.trace(deployment, "unlock-2")]
    assert places == ["commanded", "answered"]


def test_a_command_to_a_station_that_is_away_times_out(deployment: Deployment, station: Simulated) -> None:
    assert wait_for(lambda: station_in_api(deployment, station.id))
    station.stop()
    path = f"/stations/{station.id}/commands"
    sent = {"command": "identify", "command_id": "late", "timeout_seconds": 1}
    assert api.send(deployment, "POST", path, sent)[0] == 202
    assert wait_for(lambda: api.get(deployment, f"{path}/late")[1]["state"] == "timed_out")
    station.start()
    station.settled()
    assert station.carried_out("late") == 0


def test_a_station_cannot_change_the_shadow_of_another(
    deployment: Deployment, connect: Connect, name: str
) -> None:
    """Whatever the broker does (AWS IoT closes the connection), nothing of it is in the shadow."""
    victim, thief = connect(f"{name}-victim"), connect(f"{name}-thief")
    assert thief.connected()
    topic = f"$aws/things/{victim.name}/shadow/update"
    said = {"state": {"reported": {"settings": {"maintenance_reason": "theirs"}}}}
    thief.send(json.dumps(said).encode(), topic)
    said["state"]["reported"]["settings"]["maintenance_reason"] = "mine"
    victim.publish(json.dumps(said).encode(), topic)

    def shadow() -> Any:
        cloud = deployment.client("iot-data")
        try:
            return json.load(cloud.get_thing_shadow(thingName=victim.name)["payload"])
        except cloud.exceptions.ResourceNotFoundException:
            return None

    found = wait_for(shadow)
    assert (found["version"], found["state"]) == (1, said["state"])


def test_a_reader_cannot_set(deployment: Deployment, station: Simulated) -> None:
    """Ask as the authorizer tells the function of a reader, whom it would have refused before."""
    version = station.settled()["version"]
    event = {
        "httpMethod": "PATCH",
        "path": f"/stations/{station.id}/settings",
        "body": json.dumps({"settings": {"charging_power_limit_kw": 1}}),
        "requestContext": {"authorizer": {"principalId": "reader", "scopes": "read"}},
    }
    answer = deployment.client("lambda").invoke(
        FunctionName=deployment.outputs.api_function_name, Payload=json.dumps(event)
    )
    assert json.load(answer["Payload"])["statusCode"] == 403
    assert station.settled()["version"] == version
