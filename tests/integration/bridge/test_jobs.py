"""Jobs with AWS's own clients: boto3 for the cloud, the Device SDK over MQTT and boto3 over HTTP for the device."""

import json
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from awsiot import ServiceStreamOptions, V2ServiceException, iotjobs

from testbed.identity.enrolment import Enrolment
from tests.integration.bridge import device_sdk
from tests.integration.bridge.conftest import PATIENCE_SECONDS, Stack, wait_for

ARN = "arn:aws:iot:eu-central-1:000000000000:thing/"


@pytest.fixture
def sdk(stack: Stack, enrolment: Enrolment, name: str) -> Iterator[iotjobs.IotJobsClientV2]:
    """Make the jobs client of `awsiotsdk`, as its sample "jobs" makes it."""
    enrolment.enrol([name])
    with device_sdk.connected(stack, name) as connection:
        yield iotjobs.IotJobsClientV2(connection, device_sdk.OPTIONS)
    enrolment.remove([name])


@pytest.fixture
def thing(stack: Stack, name: str) -> str:
    """Make a thing of the registry."""
    stack.emulator.client("iot").create_thing(thingName=name)
    return name


@pytest.fixture
def job_id() -> str:
    return f"job-{uuid.uuid4().hex[:8]}"


def test_a_job_reaches_the_device_within_a_second_and_its_end_the_cloud(
    stack: Stack, sdk: iotjobs.IotJobsClientV2, name: str, job_id: str
) -> None:
    """ "Device workflow" of Jobs: get the next job."""
    cloud = stack.emulator.client("iot")
    told: list[Any] = []
    times: list[float] = []
    subscribed = threading.Event()

    def hear(event: Any) -> None:
        times.append(time.monotonic())
        told.append(event)

    stream = sdk.create_next_job_execution_changed_stream(
        iotjobs.NextJobExecutionChangedSubscriptionRequest(thing_name=name),
        ServiceStreamOptions(
            incoming_event_listener=hear, subscription_status_listener=lambda _event: subscribed.set()
        ),
    )
    stream.open()
    assert subscribed.wait(PATIENCE_SECONDS)
    made = cloud.create_job(jobId=job_id, targets=[ARN + name], document='{"reboot": true}', description="d")
    assert made["jobArn"].endswith(f":job/{job_id}")
    assert wait_for(lambda: told)
    assert (told[0].execution.job_id, told[0].execution.job_document) == (job_id, {"reboot": True})

    request = iotjobs.StartNextPendingJobExecutionRequest(thing_name=name, status_details={"step": "1"})
    started = sdk.start_next_pending_job_execution(request).result(PATIENCE_SECONDS).execution
    assert (started.job_id, started.status, started.version_number) == (job_id, "IN_PROGRESS", 2)
    wrong = iotjobs.UpdateJobExecutionRequest(
        thing_name=name, job_id=job_id, status="SUCCEEDED", expected_version=1
    )
    with pytest.raises(V2ServiceException) as refused:
        sdk.update_job_execution(wrong).result(PATIENCE_SECONDS)
    assert refused.value.modeled_error.code == "VersionMismatch"
    right = iotjobs.UpdateJobExecutionRequest(
        thing_name=name, job_id=job_id, status="SUCCEEDED", expected_version=2
    )
    sdk.update_job_execution(right).result(PATIENCE_SECONDS)
    job = cloud.describe_job(jobId=job_id)["job"]
    assert (job["status"], job["jobProcessDetails"]["numberOfSucceededThings"]) == ("COMPLETED", 1)
    [listed] = cloud.list_job_executions_for_job(jobId=job_id)["executionSummaries"]
    assert listed["jobExecutionSummary"]["status"] == "SUCCEEDED"
    assert cloud.get_job_document(jobId=job_id)["document"] == '{"reboot": true}'
    cloud.delete_job(jobId=job_id)
    assert wait_for(lambda: len(told) == 2)
    assert told[1].execution is None


def test_a_device_works_by_http_too(stack: Stack, thing: str, job_id: str) -> None:
    """ "Jobs device HTTP API"; and ListJobExecutionsForThing of the cloud, which has the same path."""
    cloud, device = stack.emulator.client("iot"), stack.emulator.client("iot-jobs-data")
    group = f"group-{job_id}"
    cloud.create_thing_group(thingGroupName=group)
    cloud.add_thing_to_thing_group(thingGroupName=group, thingName=thing)
    target = cloud.describe_thing_group(thingGroupName=group)["thingGroupArn"]
    cloud.create_job(jobId=job_id, targets=[target], document='{"a": 1}')
    assert [one["jobId"] for one in device.get_pending_job_executions(thingName=thing)["queuedJobs"]] == [
        job_id
    ]
    found = device.describe_job_execution(thingName=thing, jobId="$next")["execution"]
    assert (found["jobId"], json.loads(found["jobDocument"])) == (job_id, {"a": 1})
    started = device.start_next_pending_job_execution(thingName=thing, stepTimeoutInMinutes=5)["execution"]
    assert (started["status"], 0 < started["approximateSecondsBeforeTimedOut"] <= 300) == (
        "IN_PROGRESS",
        True,
    )
    with pytest.raises(cloud.exceptions.InvalidStateTransitionException):
        cloud.cancel_job_execution(jobId=job_id, thingName=thing)
    device.update_job_execution(thingName=thing, jobId=job_id, status="FAILED", statusDetails={"why": "x"})
    with pytest.raises(device.exceptions.TerminalStateException):
        device.describe_job_execution(thingName=thing, jobId=job_id)
    [listed] = cloud.list_job_executions_for_thing(thingName=thing)["executionSummaries"]
    assert (listed["jobId"], listed["jobExecutionSummary"]["status"]) == (job_id, "FAILED")
    details = cloud.describe_job_execution(jobId=job_id, thingName=thing)["execution"]["statusDetails"]
    assert details == {"detailsMap": {"why": "x"}}


def test_a_continuous_job_follows_its_group_and_ends_when_it_is_canceled(
    stack: Stack, thing: str, job_id: str
) -> None:
    cloud, device = stack.emulator.client("iot"), stack.emulator.client("iot-jobs-data")
    group = f"group-{job_id}"
    target = cloud.create_thing_group(thingGroupName=group)["thingGroupArn"]
    cloud.create_job(jobId=job_id, targets=[target], document="{}", targetSelection="CONTINUOUS")
    assert device.get_pending_job_executions(thingName=thing)["queuedJobs"] == []
    cloud.add_thing_to_thing_group(thingGroupName=group, thingName=thing)
    assert wait_for(lambda: device.get_pending_job_executions(thingName=thing)["queuedJobs"])
    cloud.cancel_job(jobId=job_id, comment="enough")
    assert device.get_pending_job_executions(thingName=thing)["queuedJobs"] == []
    job = cloud.describe_job(jobId=job_id)["job"]
    assert (job["status"], job["comment"]) == ("CANCELED", "enough")
    assert job_id in {one["jobId"] for one in cloud.list_jobs(status="CANCELED")["jobs"]}


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"targets": [f"{ARN}nobody"]}, "ResourceNotFoundException"),
        ({"document": "no JSON"}, "InvalidRequestException"),
        ({"schedulingConfig": {"startTime": "2030-01-01T00:00:00Z"}}, "NotImplementedException"),
        ({"presignedUrlConfig": {"expiresInSec": 60}}, "NotImplementedException"),
    ],
)
def test_what_is_not_there_or_not_supported_is_refused(
    stack: Stack, thing: str, job_id: str, parameters: dict[str, Any], code: str
) -> None:
    cloud = stack.emulator.client("iot")
    with pytest.raises(cloud.exceptions.ClientError) as refused:
        cloud.create_job(**{"jobId": job_id, "targets": [ARN + thing], "document": "{}", **parameters})
    assert refused.value.response["Error"]["Code"] == code
    with pytest.raises(cloud.exceptions.ResourceNotFoundException):
        cloud.describe_job(jobId=job_id)
