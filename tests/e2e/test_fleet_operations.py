"""Firmware and settings for a fleet: by AWS IoT Jobs and by the API, to simulated stations."""

import json
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.deploy.deployment import Deployment
from testbed.identity.enrolment import Enrolment
from testbed.operations import firmware as operations
from testbed.operations.firmware import Firmware, Pace, Progress
from testbed.operations.fleet_settings import FleetSettings, Tally
from testbed.operations.selection import chosen
from testbed.paths import REPOSITORY
from testbed.pipeline import api
from testbed.proofs.audit import audit
from testbed.stations import simulation
from tests.e2e.conftest import PATIENCE_SECONDS, Connect, station_in_api, wait_for


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Name the fleet's ledger."""
    return tmp_path_factory.mktemp("fleet") / "fleet.ndjson"


@pytest.fixture(scope="module")
def fleet(deployment: Deployment, enrolment: Enrolment, ledger: Path) -> Iterator[list[str]]:
    """Run four stations that have told how they are."""
    folder = ledger.parent
    prefix = f"station-fleet-{uuid.uuid4().hex[:6]}-"
    names = [f"{prefix}{number:02}" for number in range(1, 5)]
    enrolment.enrol(names)
    files = ["--ledger", str(ledger), "--settings", str(folder / "state")]
    command = simulation.command(deployment, 4, 1, ["--prefix", prefix, *files])
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=log)
    assert wait_for(lambda: all(station_in_api(deployment, name) for name in names))
    yield names
    process.send_signal(signal.SIGINT)
    process.wait(PATIENCE_SECONDS)
    enrolment.remove(names)


def over(firmware: Firmware, job: str) -> Progress:
    found: Progress = wait_for(lambda: (now := firmware.progress(job)).over and now)
    assert found, firmware.progress(job)
    return found


def versions(deployment: Deployment, names: list[str]) -> set[Any]:
    return {(station_in_api(deployment, name) or {}).get("firmware") for name in names}


def test_firmware_reaches_a_fleet_and_an_aborted_one_is_led_back(
    deployment: Deployment, fleet: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    firmware = Firmware(deployment)
    # More than that many get a thing group, as on AWS more than a hundred do.
    monkeypatch.setattr(operations, "MOST_TARGETS", 2)
    job = firmware.roll_out("7.0.0", [*fleet, "station-gone"], Pace(1000))
    done = over(firmware, job)
    assert (done.stations, done.counts["Succeeded"]) == (4, 4)
    assert wait_for(lambda: versions(deployment, fleet) == {"7.0.0"})
    firmware.tidy()
    groups = deployment.client("iot").list_thing_groups(namePrefixFilter=job)["thingGroups"]
    assert groups == []

    # Three have it when the fourth ends the job by its failure: for it the threshold is the least.
    job = firmware.roll_out("7.1.0", fleet[:3], Pace(1000))
    assert over(firmware, job).status == "COMPLETED"
    bad = firmware.roll_out("7.2.0", fleet, Pace(1000, abort_percent=1, abort_after=1), failures=1)
    end = over(firmware, bad)
    assert (end.aborted, end.counts["Succeeded"]) == (True, 0)
    back = over(firmware, firmware.roll_back(firmware.progress(job), Pace(1000)))
    assert (back.operation, back.counts["Succeeded"]) == ("Back from", 3)
    assert wait_for(lambda: versions(deployment, fleet) == {"7.0.0"})
    shown = wait_for(
        lambda: (
            (jobs := api.get(deployment, "/jobs")[1]["jobs"]) and jobs[0]["job_id"] == back.job_id and jobs
        )
    )
    assert [(job["operation"], job["aborted"]) for job in shown[:2]] == [
        ("roll-back", False),
        ("firmware", True),
    ]


def test_a_fleet_reports_what_is_set_and_the_audit_of_the_running_fleet_has_it(
    deployment: Deployment, fleet: list[str], ledger: Path
) -> None:
    assert set(chosen(deployment, fleet[0][:-2] + "*", [])) == set(fleet)

    def change(stations: list[str], **settings: Any) -> Tally:
        made = FleetSettings(
            deployment, settings, per_second=20, abort_percent=100, patience=PATIENCE_SECONDS
        )
        return made.run(stations)

    tally = change([*fleet, "station-nobody"], charging_power_limit_kw=77)
    assert tally.outcomes == {"reported": 4, "unknown": 1}, tally
    assert (tally.pending, tally.bad) == (0, 1)
    settings = api.get(deployment, f"/stations/{fleet[0]}/settings")[1]
    assert settings["reported"]["charging_power_limit_kw"] == 77
    assert settings["changes"][0]["by"]
    # The stations go on speaking: the table is ahead of what was read of the archive.
    report = audit(deployment, [ledger])
    assert report.clean, report
    assert report.acknowledged > 0
    assert report.operations
    assert report.operations.changes >= 4


def test_a_station_cannot_touch_the_jobs_of_another(
    deployment: Deployment, connect: Connect, name: str
) -> None:
    """Whatever the broker does (AWS IoT closes the connection), the other's job is still to be begun."""
    victim, thief = connect(f"{name}-victim"), connect(f"{name}-thief")
    assert thief.connected()
    iot = deployment.client("iot")
    thing = iot.describe_thing(thingName=victim.name)["thingArn"]
    job = f"{operations.job_prefix(deployment)}theft-{uuid.uuid4().hex[:8]}"
    iot.create_job(jobId=job, targets=[thing], document="{}")
    said = json.dumps({"status": "REJECTED"}).encode()
    thief.send(said, f"$aws/things/{victim.name}/jobs/{job}/update")

    def status() -> str:
        execution = iot.describe_job_execution(jobId=job, thingName=victim.name)["execution"]
        return str(execution["status"])

    # The victim's own, sent after that, counts; the thief's would have ended it before.
    victim.send(json.dumps({"status": "SUCCEEDED"}).encode(), f"$aws/things/{victim.name}/jobs/{job}/update")
    assert wait_for(lambda: status() != "QUEUED" and status()) == "SUCCEEDED"
    iot.delete_job(jobId=job, force=True)
