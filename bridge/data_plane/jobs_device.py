"""Jobs for devices: "Jobs device MQTT API", and ``iot-jobs-data`` over HTTP."""

import json
import re
import time
from collections.abc import Mapping
from typing import Any

from bridge.data_plane.errors import ServiceError
from bridge.data_plane.jobs import REPORTABLE, Execution, Jobs, check_details
from bridge.data_plane.store import Store

_TOPIC_FILTERS = tuple(f"$aws/things/+/jobs/{rest}" for rest in ("get", "start-next", "+/get", "+/update"))
_TOPIC = re.compile(r"\$aws/things/([^/]+)/jobs/(?:(get|start-next)|([^/]+)/(get|update))")

# "ErrorResponse": the names of errors over MQTT.
_NAMES = {
    "InvalidRequestException": "InvalidRequest",
    "InvalidStateTransitionException": "InvalidStateTransition",
    "ResourceNotFoundException": "ResourceNotFound",
    "TerminalStateException": "TerminalStateReached",
    "VersionConflictException": "VersionMismatch",
}
_MOST_STEP_MINUTES = 7 * 24 * 60


class DeviceJobs:
    """What devices ask of Jobs."""

    topic_filters = _TOPIC_FILTERS

    def __init__(self, store: Store, jobs: Jobs) -> None:
        """Use the store's jobs."""
        self._store, self._jobs = store, jobs

    # --- by MQTT -----------------------------------------------------------------

    def handle(self, topic: str, payload: bytes, _client: str | None = None) -> bool:
        """Carry out a request that was published; its answers go to "accepted" and "rejected".

        Returns:
            Whether the topic is one of ours.
        """
        found = _TOPIC.fullmatch(topic)
        if found is None:
            return False
        thing, own, job_id, verb = found.groups()
        request: dict[str, Any] = {}
        try:
            request = _parse(payload)
            with self._store.transaction():
                answer = self._carry_out(thing, own or f"job/{verb}", job_id, request)
            stub = "accepted"
        except ServiceError as error:
            code = "InvalidJson" if isinstance(error, _NotJsonError) else _NAMES[error.code]
            answer, stub = {"code": code, "message": error.message, **error.members}, "rejected"
        answer["timestamp"] = int(time.time())
        if isinstance(request.get("clientToken"), str):
            answer["clientToken"] = request["clientToken"]
        self._store.answer(f"{topic}/{stub}", json.dumps(answer).encode())
        return True

    def _carry_out(self, thing: str, verb: str, job_id: str, request: dict[str, Any]) -> dict[str, Any]:
        match verb:
            case "get":
                return self._pending(thing)
            case "start-next":
                started = self._start_next(thing, request)
                return {"execution": self._jobs.full(started, document=True)} if started else {}
            case "job/get":
                return self._describe(thing, job_id, request)
            case _:
                return self._update(thing, job_id, request, as_text=False)

    # --- by HTTP -----------------------------------------------------------------

    async def get_pending_job_executions(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``GetPendingJobExecutions``."""
        return self._pending(parameters["thingName"])

    async def start_next_pending_job_execution(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``StartNextPendingJobExecution``."""
        with self._store.transaction():
            started = self._start_next(parameters["thingName"], parameters)
        return {"execution": _as_text(self._jobs.full(started, document=True))} if started else {}

    async def describe_job_execution(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``DescribeJobExecution`` of ``iot-jobs-data``."""
        found = self._describe(parameters["thingName"], parameters["jobId"], parameters)
        return {name: _as_text(value) for name, value in found.items()}

    async def update_job_execution(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``UpdateJobExecution``."""
        with self._store.transaction():
            return self._update(parameters["thingName"], parameters["jobId"], parameters, as_text=True)

    # --- what both do ------------------------------------------------------------

    def _pending(self, thing: str) -> dict[str, Any]:
        pending = self._jobs.pending(thing)
        return {
            name: [one.summary() for one in pending if one.status == status]
            for name, status in (("inProgressJobs", "IN_PROGRESS"), ("queuedJobs", "QUEUED"))
        }

    def _start_next(self, thing: str, request: Mapping[str, Any]) -> Execution | None:
        pending = self._jobs.pending(thing)
        details, minutes = check_details(request.get("statusDetails")), _step_minutes(request)
        if not pending:
            return None
        if pending[0].status == "IN_PROGRESS":
            return pending[0]
        return self._jobs.report(pending[0], "IN_PROGRESS", details=details, step_minutes=minutes)

    def _describe(self, thing: str, job_id: str, request: Mapping[str, Any]) -> dict[str, Any]:
        if job_id == "$next":
            pending = self._jobs.pending(thing)
            if not pending:
                return {}
            execution = pending[0]
        else:
            execution = self._jobs.execution(job_id, thing, _number(request, "executionNumber"))
            if not execution.pending:
                said = f"Job execution for thing {thing} and job {job_id} is {execution.status}"
                raise ServiceError("TerminalStateException", said)
        with_document = _flag(request, "includeJobDocument", default=True)
        return {"execution": self._jobs.full(execution, document=with_document)}

    def _update(
        self, thing: str, job_id: str, request: Mapping[str, Any], *, as_text: bool
    ) -> dict[str, Any]:
        status = request.get("status")
        if status not in REPORTABLE:
            raise ServiceError("InvalidRequestException", f"status must be one of {', '.join(REPORTABLE)}")
        details, minutes = check_details(request.get("statusDetails")), _step_minutes(request)
        wants_state = _flag(request, "includeJobExecutionState", default=False)
        wants_document = _flag(request, "includeJobDocument", default=False)
        execution = self._jobs.execution(job_id, thing, _number(request, "executionNumber"))
        expected = _number(request, "expectedVersion")
        if expected not in (None, 0, execution.version):
            said = f"The expected version {expected} is not the current version {execution.version}"
            raise ServiceError("VersionConflictException", said, executionState=execution.state())
        changed = self._jobs.report(execution, status, details=details, step_minutes=minutes)
        answer: dict[str, Any] = {}
        if wants_state:
            answer["executionState"] = changed.state()
        if wants_document:
            document = self._jobs.job(job_id).document
            answer["jobDocument"] = document if as_text else json.loads(document)
        return answer


class _NotJsonError(ServiceError):
    """A payload that is no JSON object."""


def _parse(payload: bytes) -> dict[str, Any]:
    try:
        document = json.loads(payload.decode() or "{}")
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise _NotJsonError("InvalidRequestException", f"The payload is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise _NotJsonError("InvalidRequestException", "The payload is not a JSON object")
    return document


def _number(request: Mapping[str, Any], name: str) -> int | None:
    value = request.get(name)
    # The Device SDK sends a number; AWS's own page shows text.
    if isinstance(value, str) and value.isdigit():
        return int(value)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise ServiceError("InvalidRequestException", f"{name} must be a number")
    return value


def _flag(request: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = request.get(name, default)
    if not isinstance(value, bool):
        raise ServiceError("InvalidRequestException", f"{name} must be true or false")
    return value


def _step_minutes(request: Mapping[str, Any]) -> int | None:
    minutes = _number(request, "stepTimeoutInMinutes")
    if minutes is not None and minutes != -1 and not 1 <= minutes <= _MOST_STEP_MINUTES:
        said = f"stepTimeoutInMinutes must be -1, or from 1 to {_MOST_STEP_MINUTES}"
        raise ServiceError("InvalidRequestException", said)
    return minutes


def _as_text(execution: Mapping[str, Any]) -> dict[str, Any]:
    """Return an execution with its document as text, which it is over HTTP."""
    if "jobDocument" not in execution:
        return dict(execution)
    return {**execution, "jobDocument": json.dumps(execution["jobDocument"])}
