"""Jobs' control plane: the operations of ``iot`` on jobs and their executions."""

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from bridge.control_plane import ControlPlane
from bridge.data_plane import jobs_configurations
from bridge.data_plane.errors import ServiceError
from bridge.data_plane.jobs import STATUSES, Execution, Job, Jobs, check_details
from bridge.data_plane.jobs_configurations import CONFIGURATIONS
from bridge.data_plane.store import Store

log = structlog.get_logger()

T = TypeVar("T")

_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MOST_DOCUMENT = 32768
_PAGE = 250
# Timers, rollouts and events are looked at so often; the members of groups of continuous jobs as well.
_TICK_SECONDS = 1.0
# All else of `CreateJob` is refused by name.
_TAKEN = {"jobId", "targets", "document", "targetSelection", *CONFIGURATIONS}


class ControlJobs:
    """What users ask of Jobs."""

    def __init__(
        self, store: Store, jobs: Jobs, registry: ControlPlane, published: Callable[[], None]
    ) -> None:
        """Use the store's jobs.

        Args:
            store: of the jobs.
            jobs: in it.
            registry: knows things, groups and which events are switched on.
            published: called when something was left to publish.
        """
        self._store, self._jobs, self._registry, self._published = store, jobs, registry, published

    def operations(self) -> dict[str, Callable[[Mapping[str, Any]], Any]]:
        """Return the operations by name."""
        return {
            "CreateJob": self.create_job,
            "DescribeJob": self.describe_job,
            "ListJobs": self.list_jobs,
            "UpdateJob": self.update_job,
            "CancelJob": self.cancel_job,
            "DeleteJob": self.delete_job,
            "GetJobDocument": self.get_job_document,
            "DescribeJobExecution": self.describe_job_execution,
            "ListJobExecutionsForJob": self.list_job_executions_for_job,
            "ListJobExecutionsForThing": self.list_job_executions_for_thing,
            "CancelJobExecution": self.cancel_job_execution,
            "DeleteJobExecution": self.delete_job_execution,
        }

    # --- jobs --------------------------------------------------------------------

    async def create_job(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``CreateJob``: its things hear of it at once, as far as its rollout's rate allows."""
        _check_job(parameters)
        things = await asyncio.to_thread(self._things, parameters["targets"])
        await self._refresh_events()
        now = time.time()
        record = {
            "targets": parameters["targets"],
            "targetSelection": parameters.get("targetSelection", "SNAPSHOT"),
            "lastUpdatedAt": now,
            **{name: parameters[name] for name in CONFIGURATIONS if name in parameters},
        }
        job = Job(parameters["jobId"], "IN_PROGRESS", now, parameters["document"], record)
        with self._store.transaction():
            if self._jobs.jobs("WHERE id = ?", job.id):
                raise ServiceError("ResourceAlreadyExistsException", f"Job {job.id} already exists")
            self._jobs.create(job, things)
        return self._named(job)

    async def describe_job(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``DescribeJob``."""
        job = self._jobs.job(parameters["jobId"])
        counts = self._jobs.counts(job.id)
        names = {"TIMED_OUT": "TimedOut", "IN_PROGRESS": "InProgress"}
        details = {
            f"numberOf{names.get(status, status.capitalize())}Things": counts.get(status, 0)
            for status in STATUSES
        }
        shown = {name: value for name, value in job.record.items() if name not in ("minute", "inMinute")}
        found = {**shown, "jobArn": self._arn(job.id), "jobId": job.id, "status": job.status}
        return {"job": {**found, "createdAt": job.created, "jobProcessDetails": details}}

    async def list_jobs(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``ListJobs``."""
        _refuse(parameters, ("thingGroupName", "thingGroupId", "namespaceId"))
        found = [
            {
                "jobArn": self._arn(job.id),
                "jobId": job.id,
                "status": job.status,
                "createdAt": job.created,
                **{
                    name: job.record[name]
                    for name in ("targetSelection", "lastUpdatedAt", "completedAt")
                    if name in job.record
                },
            }
            for job in self._jobs.jobs()
            if parameters.get("status", job.status) == job.status
            and parameters.get("targetSelection", job.record["targetSelection"])
            == job.record["targetSelection"]
        ]
        return _page("jobs", found, parameters)

    async def update_job(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``UpdateJob``."""
        _refuse(parameters, ("presignedUrlConfig", "namespaceId"))
        jobs_configurations.check(parameters)
        with self._store.transaction():
            job = self._jobs.job(parameters["jobId"])
            self._jobs.change(
                job, **{name: parameters[name] for name in CONFIGURATIONS if name in parameters}
            )
        return {}

    async def cancel_job(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``CancelJob``."""
        await self._refresh_events()
        with self._store.transaction():
            job = self._jobs.job(parameters["jobId"])
            if job.status != "IN_PROGRESS":
                raise ServiceError(
                    "InvalidRequestException", f"Job {job.id} is {job.status}, not IN_PROGRESS"
                )
            forced = parameters.get("force", False)
            why = {name: parameters[name] for name in ("reasonCode", "comment") if name in parameters}
            self._jobs.cancel(job, forced=forced, why={**why, **({"forceCanceled": True} if forced else {})})
        return self._named(job)

    async def delete_job(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``DeleteJob``."""
        _refuse(parameters, ("namespaceId",))
        await self._refresh_events()
        with self._store.transaction():
            job = self._jobs.job(parameters["jobId"])
            if job.status == "IN_PROGRESS" and not parameters.get("force", False):
                said = f"Job {job.id} is IN_PROGRESS: it can only be deleted by force"
                raise ServiceError("InvalidStateTransitionException", said)
            self._jobs.delete(job)
        return {}

    async def get_job_document(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``GetJobDocument``."""
        return {"document": self._jobs.job(parameters["jobId"]).document}

    # --- executions --------------------------------------------------------------

    async def describe_job_execution(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``DescribeJobExecution`` of ``iot``."""
        number = parameters.get("executionNumber")
        execution = self._jobs.execution(parameters["jobId"], parameters["thingName"], number)
        left = execution.seconds_left(time.time())
        return {
            "execution": {
                **_summary(execution),
                "jobId": execution.job,
                "thingArn": self._thing_arn(execution.thing),
                "forceCanceled": execution.forced,
                "statusDetails": {"detailsMap": execution.details},
                "versionNumber": execution.version,
                **({} if left is None else {"approximateSecondsBeforeTimedOut": left}),
            }
        }

    async def list_job_executions_for_job(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``ListJobExecutionsForJob``."""
        self._jobs.job(parameters["jobId"])
        found = [
            {"thingArn": self._thing_arn(one.thing), "jobExecutionSummary": _summary(one)}
            for one in self._jobs.executions("job = ?", parameters["jobId"])
            if parameters.get("status", one.status) == one.status
        ]
        return _page("executionSummaries", found, parameters)

    async def list_job_executions_for_thing(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``ListJobExecutionsForThing``."""
        _refuse(parameters, ("namespaceId",))
        found = [
            {"jobId": one.job, "jobExecutionSummary": _summary(one)}
            for one in self._jobs.executions("thing = ?", parameters["thingName"])
            if parameters.get("status", one.status) == one.status
            and parameters.get("jobId", one.job) == one.job
        ]
        return _page("executionSummaries", found, parameters)

    async def cancel_job_execution(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``CancelJobExecution``."""
        forced = parameters.get("force", False)
        details = check_details(parameters.get("statusDetails"))
        with self._store.transaction():
            execution = self._jobs.execution(parameters["jobId"], parameters["thingName"])
            if parameters.get("expectedVersion") not in (None, execution.version):
                said = f"The expected version is not the current version {execution.version}"
                raise ServiceError("VersionConflictException", said)
            if execution.status == "IN_PROGRESS" and not forced:
                said = "An execution that is IN_PROGRESS can only be canceled by force"
                raise ServiceError("InvalidStateTransitionException", said)
            self._jobs.report(execution, "CANCELED", details=details, forced=forced)
        return {}

    async def delete_job_execution(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``DeleteJobExecution``."""
        _refuse(parameters, ("namespaceId",))
        with self._store.transaction():
            execution = self._jobs.execution(
                parameters["jobId"], parameters["thingName"], parameters["executionNumber"]
            )
            if execution.status in ("QUEUED", "IN_PROGRESS") and not parameters.get("force", False):
                said = f"An execution that is {execution.status} can only be deleted by force"
                raise ServiceError("InvalidStateTransitionException", said)
            self._jobs.delete_execution(execution)
        return {}

    # --- what time brings --------------------------------------------------------

    async def run(self, _session: object = None) -> None:
        """Roll out by rate, time out, and follow the groups of continuous jobs, for ever."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            active = self._jobs.jobs("WHERE status = 'IN_PROGRESS'")
            if not active:
                continue
            try:
                await self._refresh_events()
                members = {
                    job.id: await asyncio.to_thread(self._things, job.record["targets"])
                    for job in active
                    if job.record["targetSelection"] == "CONTINUOUS"
                }
            except (ServiceError, BotoCoreError, ClientError) as error:
                log.warning("registry_unreachable", error=str(error))
                members = {}
            self._tick(members)
            self._published()

    def _tick(self, members: Mapping[str, list[str]]) -> None:
        now = time.time()
        with self._store.transaction():
            self._jobs.time_out(now)
            for job in self._jobs.jobs("WHERE status = 'IN_PROGRESS'"):
                if job.id in members:
                    known = {one.thing: one for one in self._jobs.executions("job = ?", job.id)}
                    self._jobs.add_targets(job, [thing for thing in members[job.id] if thing not in known])
                    for thing, execution in known.items():
                        if execution.pending and thing not in members[job.id]:
                            self._jobs.report(execution, "REMOVED")
                else:
                    self._jobs.roll_out(job, now)

    async def _refresh_events(self) -> None:
        found = await asyncio.to_thread(self._ask, lambda: self._registry.call("DescribeEventConfigurations"))
        switches = found.get("eventConfigurations", {})
        self._jobs.events = frozenset(kind for kind, switch in switches.items() if switch.get("Enabled"))

    # --- the registry ------------------------------------------------------------

    def _things(self, targets: Iterable[str]) -> list[str]:
        """Return the things that targets, ARNs of things and groups, are or have; blocks."""
        found: dict[str, None] = {}
        for target in targets:
            kind, _, name = target.split(":", 5)[-1].partition("/")
            if kind == "thing":
                self._ask(lambda thing=name: self._registry.call("DescribeThing", thingName=thing))  # type: ignore[misc]
                found[name] = None
            elif kind == "thinggroup":
                found |= dict.fromkeys(self._members(name))
            else:
                raise ServiceError("InvalidRequestException", f"{target} is no thing and no thing group")
        return list(found)

    def _members(self, group: str) -> list[str]:
        found: list[str] = []
        marker: dict[str, str] = {}
        while True:
            page = self._ask(
                lambda more=marker: self._registry.call(  # type: ignore[misc]
                    "ListThingsInThingGroup", thingGroupName=group, recursive=True, **more
                )
            )
            found += page.get("things", [])
            if not page.get("nextToken"):
                return found
            marker = {"nextToken": page["nextToken"]}

    def _ask(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except ClientError as error:
            code = error.response["Error"]["Code"]
            known = code if code == "ResourceNotFoundException" else "InvalidRequestException"
            raise ServiceError(known, error.response["Error"]["Message"]) from error
        except BotoCoreError as error:
            raise ServiceError("ServiceUnavailableException", str(error)) from error

    def _named(self, job: Job) -> dict[str, Any]:
        named = {"jobArn": self._arn(job.id), "jobId": job.id}
        return {**named, "description": job.record["description"]} if "description" in job.record else named

    def _arn(self, job_id: str) -> str:
        return f"{self._jobs.arn}job/{job_id}"

    def _thing_arn(self, thing: str) -> str:
        return f"{self._jobs.arn}thing/{thing}"


def _check_job(parameters: Mapping[str, Any]) -> None:
    _refuse(parameters, sorted(parameters.keys() - _TAKEN))
    document = parameters.get("document")
    if not _ID.fullmatch(parameters["jobId"]):
        raise ServiceError("InvalidRequestException", f"jobId must match {_ID.pattern}")
    if document is None:
        raise ServiceError("InvalidRequestException", "document is needed")
    try:
        json.loads(document)
    except ValueError as error:
        raise ServiceError("InvalidRequestException", f"document is not JSON: {error}") from error
    if len(document) > _MOST_DOCUMENT:
        raise ServiceError("InvalidRequestException", f"document has more than {_MOST_DOCUMENT} characters")
    if parameters.get("targetSelection", "SNAPSHOT") not in ("SNAPSHOT", "CONTINUOUS"):
        raise ServiceError("InvalidRequestException", "targetSelection must be SNAPSHOT or CONTINUOUS")
    jobs_configurations.check(parameters)


def _refuse(parameters: Mapping[str, Any], names: Iterable[str]) -> None:
    for name in names:
        if name in parameters:
            raise ServiceError("NotImplementedException", f"{name} of jobs is not supported here")


def _summary(execution: Execution) -> dict[str, Any]:
    started = {} if execution.started is None else {"startedAt": execution.started}
    return {
        "status": execution.status,
        "queuedAt": execution.queued,
        "lastUpdatedAt": execution.updated,
        "executionNumber": execution.number,
        **started,
    }


def _page(name: str, found: list[dict[str, Any]], parameters: Mapping[str, Any]) -> dict[str, Any]:
    size = parameters.get("maxResults", _PAGE)
    token = parameters.get("nextToken", "0")
    if not token.isdigit() or not 1 <= size <= _PAGE:
        raise ServiceError("InvalidRequestException", f"nextToken is none, or maxResults is not 1 to {_PAGE}")
    begin = int(token)
    more = {"nextToken": str(begin + size)} if begin + size < len(found) else {}
    return {name: found[begin : begin + size], **more}
