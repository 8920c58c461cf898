"""Firmware for a fleet by AWS IoT Jobs: roll it out, look on, cancel, and go back.

"Job rollout and abort configurations" and "Jobs device MQTT API" (AWS IoT developer guide); a station's side, and what
a job's document is, is in `simulator.jobs`.
"""

import json
import re
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from testbed.deploy.deployment import Deployment
from testbed.errors import TestbedError
from testbed.operations.selection import NOBODY

# "The total number of targets associated with a job must not exceed 100" (AssociateTargetsWithJob, API reference).
MOST_TARGETS = 100
_PARALLEL = 8
_VERSION = re.compile(r"[0-9A-Za-z._+-]{1,32}", re.ASCII)
# A job's description says what it is; the API's handler reads it, too (functions/api_handler/jobs.py).
_DESCRIBED = re.compile(r"(Firmware|Back from) (\S+), (\d+) stations")
# In the order of a bar. REMOVED is of continuous jobs alone.
STATUSES = ("Succeeded", "Failed", "Rejected", "TimedOut", "InProgress", "Queued", "Canceled")
# Why a job was canceled; functions/api_handler/jobs.py knows it, too.
_BY_HAND = "OPERATOR"
FAILURES = ("Failed", "Rejected", "TimedOut")


@dataclass(frozen=True)
class Pace:
    """How fast a job goes to its things, and when it ends early."""

    per_minute: int
    # 1: no faster; else so many times as fast whenever as many have succeeded as go out in the first minute.
    growth: float = 1.0
    abort_percent: float = 20.0
    abort_after: int = 5
    timeout_minutes: int = 10

    def configurations(self, stations: int) -> dict[str, Any]:
        """Return the members of ``CreateJob`` that say so, for so many stations."""
        rollout: dict[str, Any] = {"maximumPerMinute": self.per_minute}
        if self.growth > 1:
            rollout = {
                "maximumPerMinute": 1000,
                "exponentialRate": {
                    "baseRatePerMinute": self.per_minute,
                    "incrementFactor": self.growth,
                    "rateIncreaseCriteria": {"numberOfSucceededThings": self.per_minute},
                },
            }
        criterion = {
            "failureType": "ALL",
            "action": "CANCEL",
            "thresholdPercentage": self.abort_percent,
            # Of few stations all: they are never more.
            "minNumberOfExecutedThings": min(self.abort_after, stations),
        }
        return {
            "jobExecutionsRolloutConfig": rollout,
            "abortConfig": {"criteriaList": [criterion]},
            "timeoutConfig": {"inProgressTimeoutInMinutes": self.timeout_minutes},
        }


@dataclass(frozen=True)
class Progress:
    """A job at one moment: how many of its things are in which status, by `STATUSES`."""

    job_id: str
    operation: str
    version: str
    stations: int
    status: str
    # Whether the job's own threshold ended it.
    aborted: bool
    counts: dict[str, int]

    @property
    def waiting(self) -> int:
        """Things that the rate has not let through yet."""
        return max(0, self.stations - sum(self.counts.values()))

    @property
    def done(self) -> int:
        """Things that have ended it, well or not."""
        return sum(self.counts[status] for status in ("Succeeded", *FAILURES))

    @property
    def failed(self) -> int:
        """Things that ended it, and not well."""
        return sum(self.counts[status] for status in FAILURES)

    @property
    def over(self) -> bool:
        """Whether nothing will happen any more."""
        return self.status not in ("IN_PROGRESS", "SCHEDULED") and not self.counts["InProgress"]


class Firmware:
    """The firmware jobs of one deployment."""

    def __init__(self, deployment: Deployment) -> None:
        """Use the account's AWS IoT."""
        self._iot = deployment.client("iot", max_pool_connections=_PARALLEL)
        self._account = deployment.client("sts").get_caller_identity()["Account"]
        self._region = deployment.region
        self._prefix = f"{job_prefix(deployment)}firmware-"

    def roll_out(
        self,
        version: str,
        stations: Sequence[str],
        pace: Pace,
        *,
        failures: float = 0.0,
        told: Callable[[int], None] = lambda _: None,
    ) -> str:
        """Make the job.

        Args:
            version: firmware.
            stations: things; over 100 of them get a thing group, with a call for each, and those that are no things any
                more are left out.
            pace: how fast, and when to end.
            failures: the part of simulated stations that is to fail.
            told: called with the number of things in the group so far.

        Returns:
            Its id.

        Raises:
            TestbedError: no version, no stations, or one of few that is no thing any more.
        """
        check_version(version)
        document = {"operation": "firmware", "version": version}
        if failures:
            document |= {"simulated_failures": failures}  # type: ignore[dict-item]
        return self._create(f"Firmware {version}", document, stations, pace, told)

    def roll_back(self, of: Progress, pace: Pace, told: Callable[[int], None] = lambda _: None) -> str:
        """Make a job by which those that have the version of another go back to what they had; see `roll_out`."""
        stations = list(self._succeeded(of.job_id))
        document = {"operation": "roll-back", "version": of.version}
        return self._create(f"Back from {of.version}", document, stations, pace, told)

    def newest(self) -> str:
        """Return the id of the newest job.

        Raises:
            TestbedError: there is none.
        """
        pages = self._iot.get_paginator("list_jobs").paginate()
        jobs = [job for page in pages for job in page["jobs"] if job["jobId"].startswith(self._prefix)]
        if not jobs:
            raise TestbedError("There was no roll-out here.", "Begin one: scripts/testbed firmware 3.1.0")
        return str(max(jobs, key=lambda job: job["createdAt"])["jobId"])

    def progress(self, job_id: str) -> Progress:
        """Return how far a job is.

        Raises:
            TestbedError: it is no job of firmware.
        """
        try:
            job = self._iot.describe_job(jobId=job_id)["job"]
        except self._iot.exceptions.ResourceNotFoundException as error:
            raise TestbedError(
                f"There is no job {job_id}.", "The newest is meant where none is named."
            ) from error
        described = _DESCRIBED.fullmatch(job.get("description", ""))
        if described is None:
            raise TestbedError(f"{job_id} is no job that this command made.")
        details = job["jobProcessDetails"]
        counts = {status: details.get(f"numberOf{status}Things", 0) for status in STATUSES}
        operation, version, stations = described.groups()
        return Progress(
            job_id, operation, version, int(stations), job["status"], _aborted(job, counts), counts
        )

    def cancel(self, job_id: str) -> None:
        """Cancel a job: stations that have begun go on to their end."""
        self._iot.cancel_job(jobId=job_id, reasonCode=_BY_HAND, comment="scripts/testbed firmware --cancel")

    def tidy(self) -> None:
        """Delete the thing groups of jobs that are over: a thing may be in ten groups alone."""
        pages = self._iot.get_paginator("list_thing_groups").paginate(namePrefixFilter=self._prefix)
        for group in [group["groupName"] for page in pages for group in page["thingGroups"]]:
            try:
                over = self.progress(group).over
            except TestbedError:
                over = True
            if over:
                self._iot.delete_thing_group(thingGroupName=group)

    def _create(
        self,
        what: str,
        document: dict[str, Any],
        stations: Sequence[str],
        pace: Pace,
        told: Callable[[int], None],
    ) -> str:
        if not stations:
            raise TestbedError(*NOBODY)
        self.tidy()
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        job_id = f"{self._prefix}{stamp}-{secrets.token_hex(2)}"
        count = len(stations)
        if count > MOST_TARGETS:
            group, count = self._group(job_id, stations, told)
            targets = [group]
        else:
            targets = [f"arn:aws:iot:{self._region}:{self._account}:thing/{name}" for name in stations]
        try:
            self._iot.create_job(
                jobId=job_id,
                targets=targets,
                document=json.dumps(document),
                description=f"{what}, {count} stations",
                targetSelection="SNAPSHOT",
                **pace.configurations(count),
            )
        except self._iot.exceptions.ResourceNotFoundException as error:
            raise TestbedError(
                f"A station is no thing any more: {error.response['Error']['Message']}",
                "Choose others: --stations, --where.",
            ) from error
        return job_id

    def _group(self, name: str, things: Sequence[str], told: Callable[[int], None]) -> tuple[str, int]:
        """Make a thing group; return its ARN, and how many are in it."""
        arn = str(self._iot.create_thing_group(thingGroupName=name)["thingGroupArn"])

        def add(thing: str) -> bool:
            try:
                self._iot.add_thing_to_thing_group(thingGroupName=name, thingName=thing)
            except self._iot.exceptions.ResourceNotFoundException:
                return False
            return True

        count = 0
        with ThreadPoolExecutor(_PARALLEL) as pool:
            for first in range(0, len(things), MOST_TARGETS):
                count += sum(pool.map(add, things[first : first + MOST_TARGETS]))
                told(count)
        if not count:
            self._iot.delete_thing_group(thingGroupName=name)
            raise TestbedError(*NOBODY)
        return arn, count

    def _succeeded(self, job_id: str) -> Iterator[str]:
        pages = self._iot.get_paginator("list_job_executions_for_job").paginate(
            jobId=job_id, status="SUCCEEDED"
        )
        for page in pages:
            for execution in page["executionSummaries"]:
                yield execution["thingArn"].rpartition("/")[2]


def _aborted(job: dict[str, Any], counts: dict[str, int]) -> bool:
    """Tell whether too many failed: the service's own reason is in no document, and `Firmware.cancel` gives another."""
    failed = any(counts[status] for status in FAILURES)
    return job["status"] == "CANCELED" and failed and job.get("reasonCode") != _BY_HAND


def job_prefix(deployment: Deployment) -> str:
    """Return how the names of the deployment's jobs begin: as those of its tables do."""
    return deployment.outputs.stations_table_name.removesuffix("stations")


def check_version(version: str) -> None:
    """Check that a version is one.

    Raises:
        TestbedError: it is not.
    """
    if not _VERSION.fullmatch(version):
        raise TestbedError(
            f"{version!r} is no version.", "Up to 32 letters, digits, dots, hyphens, plus signs: 3.1.0"
        )
