"""GET /jobs: roll-outs of firmware, as pages show them."""

import re
from typing import Any

from api_handler.jobs import FRESH_SECONDS, Jobs
from tests.integration.functions.conftest import Cloud
from tests.integration.functions.test_api import call

PREFIX = "ev-swap-dev-firmware-"
ABORT = {"failureType": "ALL", "action": "CANCEL", "thresholdPercentage": 50, "minNumberOfExecutedThings": 2}


def test_the_newest_roll_outs_are_shown_with_their_counts(cloud: Cloud) -> None:
    cloud.iot.create_job("somebody-elses", ["a"], description="Firmware 1, 1 stations")
    cloud.iot.create_job(f"{PREFIX}by-hand", ["a"], description="by hand")
    for number in range(6):
        cloud.iot.create_job(f"{PREFIX}{number}", ["a"], description=f"Firmware 3.{number}.0, 1 stations")
    slow: dict[str, Any] = {"jobExecutionsRolloutConfig": {"maximumPerMinute": 2}}
    cloud.iot.create_job(f"{PREFIX}slow", ["a", "b", "c"], description="Back from 3.5.0, 3 stations", **slow)
    cloud.iot.report_execution(f"{PREFIX}slow", "a", "SUCCEEDED")
    status, document, _ = call(cloud, "/jobs")
    assert status == 200
    newest, *others = document["jobs"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", newest.pop("created_at"))
    # The third station has not been told yet: two a minute are.
    counts = dict.fromkeys(newest["counts"], 0) | {"succeeded": 1, "queued": 1}
    assert newest == {
        "job_id": f"{PREFIX}slow",
        "operation": "roll-back",
        "version": "3.5.0",
        "stations": 3,
        "status": "IN_PROGRESS",
        "aborted": False,
        "counts": counts,
    }
    assert [job["version"] for job in others] == ["3.5.0", "3.4.0", "3.3.0", "3.2.0"]


def test_a_roll_out_that_its_threshold_ended_is_told_from_a_canceled_one(cloud: Cloud) -> None:
    cloud.iot.create_job(
        f"{PREFIX}1",
        ["a", "b", "c"],
        description="Firmware 4.0.0, 3 stations",
        abortConfig={"criteriaList": [ABORT]},
    )
    jobs = Jobs(lambda: cloud.iot, PREFIX)
    assert [job["aborted"] for job in jobs.newest()["jobs"]] == [False]
    cloud.iot.report_execution(f"{PREFIX}1", "c", "IN_PROGRESS")
    cloud.iot.report_execution(f"{PREFIX}1", "a", "FAILED")
    cloud.iot.report_execution(f"{PREFIX}1", "b", "SUCCEEDED")
    [job] = Jobs(lambda: cloud.iot, PREFIX).newest()["jobs"]
    assert (job["status"], job["aborted"]) == ("CANCELED", True)
    # Stations that had begun go on, and the share is another one in the end.
    cloud.iot.report_execution(f"{PREFIX}1", "c", "SUCCEEDED")
    [job] = Jobs(lambda: cloud.iot, PREFIX).newest()["jobs"]
    assert job["aborted"]

    cloud.iot.create_job(f"{PREFIX}2", ["a", "b"], description="Firmware 4.1.0, 2 stations")
    cloud.iot.report_execution(f"{PREFIX}2", "a", "FAILED")
    cloud.iot.cancel_job(f"{PREFIX}2", reasonCode="OPERATOR")
    by_hand = Jobs(lambda: cloud.iot, PREFIX).newest()["jobs"][0]
    assert (by_hand["status"], by_hand["aborted"]) == ("CANCELED", False)


def test_many_pages_cost_a_question_in_a_while(cloud: Cloud) -> None:
    cloud.iot.create_job(f"{PREFIX}1", ["a"], description="Firmware 4.0.0, 1 stations")
    now = [0.0]
    jobs = Jobs(lambda: cloud.iot, PREFIX, lambda: now[0])
    first = jobs.newest()
    cloud.iot.report_execution(f"{PREFIX}1", "a", "SUCCEEDED")
    assert jobs.newest() == first
    now[0] = FRESH_SECONDS
    [job] = jobs.newest()["jobs"]
    assert job["counts"]["succeeded"] == 1
