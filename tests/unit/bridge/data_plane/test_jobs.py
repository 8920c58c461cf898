"""Jobs by AWS's rules: the developer guide's pages on job states, notifications and configurations."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.data_plane import jobs_configurations
from bridge.data_plane.errors import ServiceError
from bridge.data_plane.jobs import Job, Jobs
from bridge.data_plane.jobs_device import DeviceJobs
from bridge.data_plane.store import Store


class Service:
    """Jobs in a store of their own; what was published is kept by topic."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "store.sqlite")
        self.jobs = Jobs(self.store, "arn:aws:iot:eu-central-1:000000000000:")
        self.device = DeviceJobs(self.store, self.jobs)
        self._seen = 0

    def published(self) -> list[tuple[str, Any]]:
        """Return what was published since the last time."""
        answers = self.store.answers(self._seen, 1000)
        self._seen = max([self._seen, *(answer.number for answer in answers)])
        return [(answer.topic, json.loads(answer.payload)) for answer in answers]

    def create(self, job_id: str, *things: str, **record: Any) -> None:
        """Create a job for these things."""
        with self.store.transaction():
            record = {"targetSelection": "SNAPSHOT", "targets": [], **record}
            self.jobs.create(Job(job_id, "IN_PROGRESS", time.time(), '{"do": "it"}', record), things)

    def ask(self, rest: str, thing: str = "lamp", **request: Any) -> dict[str, Any]:
        """Publish a device's request; returns its one answer, with the end of its topic as "stub"."""
        self.published()
        topic = f"$aws/things/{thing}/jobs/{rest}"
        assert self.device.handle(topic, json.dumps(request).encode())
        [(stub, answer)] = [
            (name.rsplit("/", 1)[1], document)
            for name, document in self.published()
            if name.startswith(f"{topic}/")
        ]
        return {**answer, "stub": stub}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    yield made
    made.store.close()


def test_a_new_job_is_told_to_its_things(service: Service) -> None:
    service.create("one", "lamp", "fan")
    told = dict(service.published())
    assert told.keys() == {
        f"$aws/things/{thing}/jobs/{stub}" for thing in ("lamp", "fan") for stub in ("notify", "notify-next")
    }
    [listed] = told["$aws/things/lamp/jobs/notify"]["jobs"]["QUEUED"]
    assert (listed["jobId"], listed["executionNumber"], listed["versionNumber"]) == ("one", 1, 1)
    execution = told["$aws/things/fan/jobs/notify-next"]["execution"]
    assert (execution["status"], execution["thingName"], execution["jobDocument"]) == (
        "QUEUED",
        "fan",
        {"do": "it"},
    )


def test_a_device_starts_the_oldest_job_and_ends_it(service: Service) -> None:
    service.create("one", "lamp")
    service.create("two", "lamp")
    started = service.ask("start-next", statusDetails={"step": "1"}, clientToken="t")
    execution = started["execution"]
    assert (execution["jobId"], execution["status"], execution["versionNumber"]) == ("one", "IN_PROGRESS", 2)
    assert (execution["statusDetails"], started["clientToken"]) == ({"step": "1"}, "t")
    # One in progress comes again, unchanged.
    again = service.ask("start-next", statusDetails={"step": "2"})["execution"]
    assert (again["jobId"], again["statusDetails"], again["versionNumber"]) == ("one", {"step": "1"}, 2)
    lists = service.ask("get")
    assert [one["jobId"] for one in lists["inProgressJobs"] + lists["queuedJobs"]] == ["one", "two"]
    done = service.ask(
        "one/update", status="SUCCEEDED", includeJobExecutionState=True, includeJobDocument=True
    )
    assert done["executionState"] == {
        "status": "SUCCEEDED",
        "statusDetails": {"step": "1"},
        "versionNumber": 3,
    }
    assert done["jobDocument"] == {"do": "it"}
    assert service.jobs.job("one").status == "COMPLETED"
    assert service.ask("$next/get")["execution"]["jobId"] == "two"
    assert service.ask("two/update", status="REJECTED")["stub"] == "accepted"
    assert "execution" not in service.ask("$next/get")
    assert "execution" not in service.ask("start-next")


def test_notify_next_is_sent_when_another_job_is_next_and_only_then(service: Service) -> None:
    service.create("one", "lamp")
    service.published()
    service.create("two", "lamp")
    assert [topic.rsplit("/", 1)[1] for topic, _ in service.published()] == ["notify"]
    service.device.handle("$aws/things/lamp/jobs/two/update", b'{"status": "IN_PROGRESS"}')
    told = {topic.rsplit("/", 1)[1]: document for topic, document in service.published()}
    assert told["notify-next"]["execution"]["jobId"] == "two"
    assert told["notify"]["jobs"].keys() == {"IN_PROGRESS", "QUEUED"}
    for job_id in ("two", "one"):
        service.device.handle(f"$aws/things/lamp/jobs/{job_id}/update", b'{"status": "SUCCEEDED"}')
    *_, (_, last) = [(topic, told) for topic, told in service.published() if topic.endswith("notify-next")]
    assert "execution" not in last


@pytest.mark.parametrize(
    ("rest", "request_", "code"),
    [
        ("one/update", {"status": "QUEUED"}, "InvalidRequest"),
        ("one/update", {}, "InvalidRequest"),
        ("one/update", {"status": "FAILED", "statusDetails": {"a": 1}}, "InvalidRequest"),
        (
            "one/update",
            {"status": "FAILED", "statusDetails": {str(n): "" for n in range(11)}},
            "InvalidRequest",
        ),
        ("one/update", {"status": "IN_PROGRESS", "stepTimeoutInMinutes": 0}, "InvalidRequest"),
        ("one/update", {"status": "IN_PROGRESS", "expectedVersion": 7}, "VersionMismatch"),
        ("one/update", {"status": "IN_PROGRESS", "executionNumber": 7}, "ResourceNotFound"),
        ("none/get", {}, "ResourceNotFound"),
        ("done/get", {}, "TerminalStateReached"),
        ("done/update", {"status": "IN_PROGRESS"}, "InvalidStateTransition"),
    ],
)
def test_what_aws_refuses_is_rejected_by_its_code(
    service: Service, rest: str, request_: dict[str, Any], code: str
) -> None:
    """ "ErrorResponse" of the Jobs service API; the state comes with a version mismatch or an invalid transition."""
    service.create("one", "lamp")
    service.create("done", "lamp")
    service.ask("done/update", status="SUCCEEDED")
    answer = service.ask(rest, clientToken="t", **request_)
    assert (answer["stub"], answer["code"], answer["clientToken"]) == ("rejected", code, "t")
    assert ("executionState" in answer) == (code in ("VersionMismatch", "InvalidStateTransition"))
    assert service.jobs.execution("one", "lamp").version == 1


def test_what_is_no_json_is_rejected_as_that(service: Service) -> None:
    service.device.handle("$aws/things/lamp/jobs/get", b"\xff{")
    [(topic, answer)] = service.published()
    assert (topic, answer["code"]) == ("$aws/things/lamp/jobs/get/rejected", "InvalidJson")


def test_timers_end_an_execution_and_a_step_timer_can_be_set_anew_or_taken_away(service: Service) -> None:
    """ "Job execution timeout configuration": the in-progress timer begins once and cannot be changed."""
    service.create("one", "lamp", timeoutConfig={"inProgressTimeoutInMinutes": 10})
    now = time.time()
    service.ask("start-next", stepTimeoutInMinutes=2)
    assert 60 < (service.jobs.execution("one", "lamp").seconds_left(now) or 0) <= 121
    service.ask("one/update", status="IN_PROGRESS", stepTimeoutInMinutes=5)
    service.jobs.time_out(now + 3 * 60)
    assert service.jobs.execution("one", "lamp").status == "IN_PROGRESS"
    service.ask("one/update", status="IN_PROGRESS", stepTimeoutInMinutes=-1)
    service.jobs.time_out(now + 9 * 60)
    assert service.jobs.execution("one", "lamp").status == "IN_PROGRESS"
    service.jobs.time_out(now + 11 * 60)
    assert service.jobs.execution("one", "lamp").status == "TIMED_OUT"
    assert service.jobs.job("one").status == "COMPLETED"


def test_a_rollout_goes_by_its_rate_a_minute(service: Service) -> None:
    """ "Job rollout rates": here two a minute."""
    things = [f"thing{number}" for number in range(5)]
    service.create("slow", *things, jobExecutionsRolloutConfig={"maximumPerMinute": 2})
    counted = [sum(service.jobs.counts("slow").values())]
    for minutes in (0.5, 1.1, 2.2):
        service.jobs.roll_out(service.jobs.job("slow"), time.time() + minutes * 60)
        counted.append(sum(service.jobs.counts("slow").values()))
    assert counted == [2, 2, 4, 5]


def test_an_exponential_rollout_speeds_up_as_things_are_told(service: Service) -> None:
    rate = {
        "baseRatePerMinute": 1,
        "incrementFactor": 3,
        "rateIncreaseCriteria": {"numberOfNotifiedThings": 1},
    }
    things = [f"thing{number}" for number in range(20)]
    service.create("faster", *things, jobExecutionsRolloutConfig={"exponentialRate": rate})
    counted = [sum(service.jobs.counts("faster").values())]
    for minutes in (1.1, 2.2):
        service.jobs.roll_out(service.jobs.job("faster"), time.time() + minutes * 60)
        counted.append(sum(service.jobs.counts("faster").values()))
    assert counted[:2] == [1, 4]
    assert counted[2] == 20


def test_a_rollout_speeds_up_by_whichever_criterion_is_met_first(service: Service) -> None:
    """ "Until either 1000 things have received ... notifications or 1000 successful job executions have occurred"."""
    criteria = {"numberOfNotifiedThings": 100, "numberOfSucceededThings": 1}
    rate = {"baseRatePerMinute": 2, "incrementFactor": 4, "rateIncreaseCriteria": criteria}
    things = [f"thing{number}" for number in range(20)]
    service.create("faster", *things, jobExecutionsRolloutConfig={"exponentialRate": rate})
    service.ask("faster/update", "thing0", status="SUCCEEDED")
    service.jobs.roll_out(service.jobs.job("faster"), time.time() + 66)
    assert sum(service.jobs.counts("faster").values()) == 2 + 8


def test_a_job_is_aborted_when_too_many_fail(service: Service) -> None:
    """ "Job abort configuration": only what is QUEUED is canceled."""
    criterion = {
        "failureType": "FAILED",
        "action": "CANCEL",
        "thresholdPercentage": 50,
        "minNumberOfExecutedThings": 2,
    }
    service.create("risky", "a", "b", "c", "d", abortConfig={"criteriaList": [criterion]})
    service.ask("risky/update", "d", status="IN_PROGRESS")
    service.ask("risky/update", "a", status="FAILED")
    assert service.jobs.job("risky").status == "IN_PROGRESS"
    service.ask("risky/update", "b", status="SUCCEEDED")
    assert service.jobs.job("risky").status == "CANCELED"
    assert service.jobs.counts("risky") == {"FAILED": 1, "SUCCEEDED": 1, "CANCELED": 1, "IN_PROGRESS": 1}


def test_a_failed_execution_is_tried_again_as_often_as_configured(service: Service) -> None:
    """ "Job execution retry configuration"."""
    retries = {"criteriaList": [{"failureType": "FAILED", "numberOfRetries": 1}]}
    service.create("again", "lamp", jobExecutionsRetryConfig=retries)
    service.ask("again/update", status="FAILED")
    assert service.ask("$next/get")["execution"]["executionNumber"] == 2
    assert service.jobs.job("again").status == "IN_PROGRESS"
    # A thing counts once, by its newest try.
    assert service.jobs.counts("again") == {"QUEUED": 1}
    service.ask("again/update", status="FAILED")
    assert "execution" not in service.ask("$next/get")
    assert service.jobs.job("again").status == "COMPLETED"
    assert service.jobs.counts("again") == {"FAILED": 1}
    service.jobs.delete_execution(service.jobs.execution("again", "lamp"))
    assert service.jobs.counts("again") == {"FAILED": 1}
    service.jobs.delete_execution(service.jobs.execution("again", "lamp"))
    assert service.jobs.counts("again") == {}


def test_what_is_kept_of_a_job_is_counted_again_where_no_counts_were_kept(
    service: Service, tmp_path: Path
) -> None:
    """The file of an earlier version of the bridge."""
    service.create("old", "a", "b")
    service.ask("old/update", "a", status="IN_PROGRESS")
    service.store.db.execute("DELETE FROM tallies")
    again = Store(tmp_path / "store.sqlite")
    assert Jobs(again, "").counts("old") == {"IN_PROGRESS": 1, "QUEUED": 1}
    again.close()


_CRITERION = {
    "failureType": "ALL",
    "action": "CANCEL",
    "thresholdPercentage": 20,
    "minNumberOfExecutedThings": 1,
}
_GROWTH = {
    "baseRatePerMinute": 50,
    "incrementFactor": 2,
    "rateIncreaseCriteria": {"numberOfNotifiedThings": 1000, "numberOfSucceededThings": 1000},
}


@pytest.mark.parametrize(
    ("configuration", "value", "fault"),
    [
        ("jobExecutionsRolloutConfig", {"maximumPerMinute": 1000, "exponentialRate": _GROWTH}, None),
        ("jobExecutionsRolloutConfig", {"maximumPerMinute": 1001}, "maximumPerMinute"),
        ("jobExecutionsRolloutConfig", {"maximumPerMinute": 0}, "maximumPerMinute"),
        ("jobExecutionsRolloutConfig", {"exponentialRate": _GROWTH | {"incrementFactor": 6}}, "incrementF"),
        ("abortConfig", {"criteriaList": [_CRITERION]}, None),
        ("abortConfig", {"criteriaList": [_CRITERION | {"thresholdPercentage": 101}]}, "thresholdPercentage"),
        ("abortConfig", {"criteriaList": [_CRITERION | {"action": "WARN"}]}, "action must be one of CANCEL"),
        ("abortConfig", {"criteriaList": [_CRITERION | {"failureType": "LATE"}]}, "failureType"),
        ("timeoutConfig", {"inProgressTimeoutInMinutes": 10_080}, None),
        ("timeoutConfig", {"inProgressTimeoutInMinutes": 10_081}, "inProgressTimeoutInMinutes"),
        (
            "jobExecutionsRetryConfig",
            {"criteriaList": [{"failureType": "ALL", "numberOfRetries": 11}]},
            "numberOfRetries",
        ),
        ("description", "x" * 2029, "description"),
    ],
)
def test_a_configuration_beyond_its_limits_is_refused(
    configuration: str, value: Any, fault: str | None
) -> None:
    """ "Specify job configurations by using the AWS IoT Jobs API", and the limits of botocore's model of AWS IoT."""
    if fault is None:
        jobs_configurations.check({configuration: value})
        return
    with pytest.raises(ServiceError, match=fault):
        jobs_configurations.check({configuration: value})


def test_events_are_published_when_they_are_switched_on(service: Service) -> None:
    """ "Jobs events": off by default."""
    service.create("quiet", "lamp")
    service.ask("quiet/update", status="SUCCEEDED")
    service.jobs.events = frozenset({"JOB", "JOB_EXECUTION"})
    service.create("loud", "lamp", description="d")
    service.published()
    service.device.handle("$aws/things/lamp/jobs/loud/update", b'{"status": "FAILED"}')
    told = {topic: document for topic, document in service.published() if topic.startswith("$aws/events/")}
    assert told.keys() == {"$aws/events/jobExecution/loud/failed", "$aws/events/job/loud/completed"}
    completed = told["$aws/events/job/loud/completed"]
    assert (completed["status"], completed["description"]) == ("COMPLETED", "d")
    assert completed["jobProcessDetails"]["numberOfFailedThings"] == 1
