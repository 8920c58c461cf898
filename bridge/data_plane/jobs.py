"""AWS IoT Jobs: jobs, their executions, and what devices are told. "Jobs and job execution states" has the rules.

Control plane (jobs_control.py) and devices (jobs_device.py) call this inside a transaction of the store; what devices
are told waits there until it is committed.
"""

import json
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from bridge.data_plane.errors import ServiceError
from bridge.data_plane.store import Store

_TABLES = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, status TEXT NOT NULL, created REAL NOT NULL, document TEXT NOT NULL, record TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS executions (
    job TEXT NOT NULL, thing TEXT NOT NULL, number INTEGER NOT NULL, status TEXT NOT NULL, details TEXT NOT NULL,
    version INTEGER NOT NULL, queued REAL NOT NULL, started REAL, updated REAL NOT NULL,
    deadline REAL, step_deadline REAL, forced INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job, thing, number)
);
CREATE INDEX IF NOT EXISTS executions_of_a_thing ON executions (thing, status);
CREATE INDEX IF NOT EXISTS executions_of_a_job ON executions (job, status);
-- How many things' newest executions are in each status: to count 10,000 at the end of each of them takes a minute.
CREATE TABLE IF NOT EXISTS tallies (
    job TEXT NOT NULL, status TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (job, status)
);
CREATE TABLE IF NOT EXISTS rollouts (job TEXT NOT NULL, thing TEXT NOT NULL, PRIMARY KEY (job, thing));
"""

PENDING = ("IN_PROGRESS", "QUEUED")
FAILURES = ("FAILED", "REJECTED", "TIMED_OUT")
# What a device may set: "UpdateJobExecution".
REPORTABLE = ("IN_PROGRESS", "SUCCEEDED", "FAILED", "REJECTED")
_COUNT = (
    "INSERT INTO tallies SELECT job, status, COUNT(*) FROM executions AS e WHERE job IN ({jobs}) AND number = "
    "(SELECT MAX(number) FROM executions WHERE job = e.job AND thing = e.thing) GROUP BY job, status"
)
STATUSES = (*PENDING, *FAILURES, "SUCCEEDED", "REMOVED", "CANCELED")

# "Job limits": executions of a ListNotification; status details.
_MOST_NOTIFIED, _MOST_DETAILS = 10, 10
# JobExecutionsRolloutConfig's own default is 1,000 a minute; a job without one goes out at once.
_MOST_PER_MINUTE = 1000
_MINUTE = 60.0


@dataclass(frozen=True)
class Job:
    """A job; ``record`` has the members of the API's ``Job`` that were given with it, and times in seconds."""

    id: str
    status: str
    created: float
    document: str
    record: dict[str, Any]


@dataclass(frozen=True)
class Execution:
    """One thing's try at a job; times are seconds since the epoch."""

    job: str
    thing: str
    number: int
    status: str
    details: dict[str, str]
    version: int
    queued: float
    started: float | None
    updated: float
    deadline: float | None
    step_deadline: float | None
    forced: bool

    @property
    def pending(self) -> bool:
        """Whether it is not over."""
        return self.status in PENDING

    def state(self) -> dict[str, Any]:
        """Return the API's ``JobExecutionState``."""
        return {"status": self.status, "statusDetails": self.details, "versionNumber": self.version}

    def summary(self) -> dict[str, Any]:
        """Return the device API's ``JobExecutionSummary``."""
        found = {
            "jobId": self.job,
            "queuedAt": int(self.queued),
            "lastUpdatedAt": int(self.updated),
            "executionNumber": self.number,
            "versionNumber": self.version,
        }
        return found if self.started is None else {**found, "startedAt": int(self.started)}

    def seconds_left(self, now: float) -> int | None:
        """Return how long it may still take, if that is limited."""
        ends = [end for end in (self.deadline, self.step_deadline) if end is not None]
        return max(0, int(min(ends) - now)) if ends else None


class Jobs:
    """The state of jobs and executions in the store."""

    def __init__(self, store: Store, arn: str) -> None:
        """Use a store; ``arn`` is what stands before "job/..." and "thing/..."."""
        self.store, self.arn = store, arn
        # Kinds of events that the account has switched on ("Event messages").
        self.events: frozenset[str] = frozenset()
        store.db.executescript(_TABLES)
        # Of a file of before there were any.
        self._count_again("SELECT id FROM jobs WHERE id NOT IN (SELECT job FROM tallies)")

    # --- looking -----------------------------------------------------------------

    def job(self, job_id: str) -> Job:
        """Return a job.

        Raises:
            ServiceError: there is none.
        """
        found = self.jobs("WHERE id = ?", job_id)
        if not found:
            raise ServiceError("ResourceNotFoundException", f"Job {job_id} not found")
        return found[0]

    def jobs(self, condition: str = "", *values: Any) -> list[Job]:
        """Return jobs by a condition on their table, newest first."""
        rows = self.store.db.execute(
            f"SELECT id, status, created, document, record FROM jobs {condition} ORDER BY created DESC, id",  # noqa: S608
            values,
        )
        return [Job(row[0], row[1], row[2], row[3], json.loads(row[4])) for row in rows]

    def executions(self, condition: str, *values: Any) -> list[Execution]:
        """Return executions by a condition on their table, IN_PROGRESS first and then by age."""
        rows = self.store.db.execute(
            "SELECT job, thing, number, status, details, version, queued, started, updated, deadline, step_deadline, "  # noqa: S608
            f"forced FROM executions WHERE {condition} ORDER BY status != 'IN_PROGRESS', queued, job, thing, number",
            values,
        )
        return [_execution(row) for row in rows]

    def pending(self, thing: str) -> list[Execution]:
        """Return a thing's executions that are not over, in the order in which they are due."""
        return self.executions("thing = ? AND status IN ('IN_PROGRESS', 'QUEUED')", thing)

    def execution(self, job_id: str, thing: str, number: int | None = None) -> Execution:
        """Return an execution; the newest one of that job and thing where no number is given.

        Raises:
            ServiceError: there is none.
        """
        found = self.executions("job = ? AND thing = ?", job_id, thing)
        chosen = [one for one in found if number in (None, one.number)]
        if not chosen:
            raise ServiceError(
                "ResourceNotFoundException", f"Job execution for thing {thing} and job {job_id} not found"
            )
        return max(chosen, key=lambda one: one.number)

    def full(self, execution: Execution, *, document: bool) -> dict[str, Any]:
        """Return the device API's ``JobExecution``, with the document as an object."""
        left = execution.seconds_left(time.time())
        found = {
            **execution.summary(),
            "thingName": execution.thing,
            "status": execution.status,
            "statusDetails": execution.details,
            **({} if left is None else {"approximateSecondsBeforeTimedOut": left}),
        }
        if document:
            found["jobDocument"] = json.loads(self.job(execution.job).document)
        return found

    # --- changing ----------------------------------------------------------------

    def create(self, job: Job, things: Iterable[str]) -> None:
        """Keep a job, and roll out what may go at once."""
        self._save(job)
        self.add_targets(job, things)

    def add_targets(self, job: Job, things: Iterable[str]) -> None:
        """Have these things execute the job, too."""
        rows = [(job.id, thing) for thing in things]
        self.store.db.executemany("INSERT OR IGNORE INTO rollouts VALUES (?, ?)", rows)
        self.roll_out(job, time.time())

    def roll_out(self, job: Job, now: float) -> None:
        """Queue as many executions as the job's rate allows in this minute."""
        since = job.record.get("minute", 0.0)
        record = job.record if now - since < _MINUTE else {**job.record, "minute": now, "inMinute": 0}
        room = self._rate(job) - record.get("inMinute", 0)
        rows = self.store.db.execute(
            "SELECT thing FROM rollouts WHERE job = ? ORDER BY rowid LIMIT ?", (job.id, max(room, 0))
        ).fetchall()
        for (thing,) in rows:
            self.store.db.execute("DELETE FROM rollouts WHERE job = ? AND thing = ?", (job.id, thing))
            known = self.executions("job = ? AND thing = ?", job.id, thing)
            if not any(one.pending for one in known):
                self._queue(job.id, thing, max((one.number for one in known), default=0) + 1, now)
        self._save(replace(job, record={**record, "inMinute": record.get("inMinute", 0) + len(rows)}))

    def report(
        self,
        execution: Execution,
        status: str,
        *,
        details: Mapping[str, str] | None = None,
        step_minutes: int | None = None,
        forced: bool = False,
    ) -> Execution:
        """Change an execution's status, and do what follows for its job.

        Raises:
            ServiceError: it is over already; with its state.
        """
        if not execution.pending:
            said = f"Invalid state transition from {execution.status} to {status}"
            raise ServiceError("InvalidStateTransitionException", said, executionState=execution.state())
        now = time.time()
        job = self.job(execution.job)
        changed = replace(
            execution,
            status=status,
            details=dict(details) if details is not None else execution.details,
            version=execution.version + 1,
            updated=now,
            started=execution.started or (now if status != "CANCELED" else None),
            deadline=execution.deadline or _deadline(job, now) if status == "IN_PROGRESS" else None,
            step_deadline=_step_deadline(execution, step_minutes, now) if status == "IN_PROGRESS" else None,
            forced=forced,
        )
        with self._telling(execution.thing, always=status != execution.status):
            self._save_execution(changed)
            if not changed.pending:
                self._over(job, changed, now)
        return changed

    def time_out(self, now: float) -> None:
        """Time out the executions whose time is over."""
        for late in self.executions(
            "status = 'IN_PROGRESS' AND (deadline <= ? OR step_deadline <= ?)", now, now
        ):
            self.report(late, "TIMED_OUT")

    def cancel(self, job: Job, *, forced: bool, why: Mapping[str, Any]) -> Job:
        """Cancel a job with its queued executions; ``forced``, also with those in progress."""
        canceled = replace(job, status="CANCELED", record={**job.record, **why, **_now_as("completedAt")})
        self._save(canceled)
        self.store.db.execute("DELETE FROM rollouts WHERE job = ?", (job.id,))
        for execution in self.executions("job = ? AND status IN ('IN_PROGRESS', 'QUEUED')", job.id):
            if execution.status == "QUEUED" or forced:
                self.report(execution, "CANCELED", forced=forced)
        self._tell_job(canceled, "canceled")
        return canceled

    def delete(self, job: Job) -> None:
        """Delete a job and its executions."""
        things = {
            one.thing for one in self.executions("job = ? AND status IN ('IN_PROGRESS', 'QUEUED')", job.id)
        }
        with self._telling(*things, always=True):
            for table, column in (
                ("executions", "job"),
                ("tallies", "job"),
                ("rollouts", "job"),
                ("jobs", "id"),
            ):
                self.store.db.execute(f"DELETE FROM {table} WHERE {column} = ?", (job.id,))  # noqa: S608
        self._tell_job(replace(job, status="DELETED"), "deleted")

    def delete_execution(self, execution: Execution) -> None:
        """Delete an execution."""
        with self._telling(execution.thing, always=execution.pending):
            self.store.db.execute(
                "DELETE FROM executions WHERE job = ? AND thing = ? AND number = ?",
                (execution.job, execution.thing, execution.number),
            )
            self.store.db.execute("DELETE FROM tallies WHERE job = ?", (execution.job,))
            self._count_again("SELECT ?", execution.job)

    def change(self, job: Job, **members: Any) -> None:
        """Replace members of a job's record."""
        self._save(replace(job, record={**job.record, **members, **_now_as("lastUpdatedAt")}))

    def counts(self, job_id: str) -> dict[str, int]:
        """Return how many things' newest executions are in each status."""
        rows = self.store.db.execute(
            "SELECT status, count FROM tallies WHERE job = ? AND count > 0", (job_id,)
        )
        return dict(rows.fetchall())

    # --- inside ------------------------------------------------------------------

    def _queue(self, job_id: str, thing: str, number: int, now: float) -> None:
        with self._telling(thing, always=True):
            self._save_execution(
                Execution(job_id, thing, number, "QUEUED", {}, 1, now, None, now, None, None, False)
            )

    def _over(self, job: Job, execution: Execution, now: float) -> None:
        """Do what follows from the end of an execution: an event, a retry, the job's abort or completion."""
        self._tell_execution(execution)
        if job.status == "IN_PROGRESS":
            if execution.number <= _retries(job, execution.status):
                self._queue(job.id, execution.thing, execution.number + 1, now)
            if self._must_abort(job):
                self.cancel(job, forced=False, why={"reasonCode": "ABORT_CONFIG"})
                return
        if (
            job.status == "IN_PROGRESS"
            and job.record["targetSelection"] == "SNAPSHOT"
            and not self._goes_on(job.id)
        ):
            done = replace(job, status="COMPLETED", record={**job.record, **_now_as("completedAt")})
            self._save(done)
            self._tell_job(done, "completed")

    def _goes_on(self, job_id: str) -> bool:
        """Whether a thing has still to be told of the job, or to end it."""
        found = self.store.db.execute(
            "SELECT 1 FROM rollouts WHERE job = ? UNION ALL "
            "SELECT 1 FROM executions WHERE job = ? AND status IN ('IN_PROGRESS', 'QUEUED') LIMIT 1",
            (job_id, job_id),
        )
        return found.fetchone() is not None

    def _must_abort(self, job: Job) -> bool:
        """Whether a criterion is met: "Job abort configuration"."""
        counts = self.counts(job.id)
        executed = sum(counts.get(status, 0) for status in (*FAILURES, "SUCCEEDED"))
        for criterion in job.record.get("abortConfig", {}).get("criteriaList", []):
            kinds = FAILURES if criterion["failureType"] == "ALL" else (criterion["failureType"],)
            failed = sum(counts.get(kind, 0) for kind in kinds)
            enough = executed >= criterion["minNumberOfExecutedThings"]
            if enough and executed and 100 * failed / executed >= criterion["thresholdPercentage"]:
                return True
        return False

    def _rate(self, job: Job) -> int:
        """Return how many executions may be queued a minute: "Job rollout rates"."""
        rollout = job.record.get("jobExecutionsRolloutConfig")
        if not rollout:
            return 10**9
        most = int(rollout.get("maximumPerMinute", _MOST_PER_MINUTE))
        growing = rollout.get("exponentialRate")
        if not growing:
            return most
        counts = self.counts(job.id)
        criteria = growing["rateIncreaseCriteria"]
        reached = {
            "numberOfNotifiedThings": sum(counts.values()),
            "numberOfSucceededThings": counts.get("SUCCEEDED", 0),
        }
        # "Until either ... have received job execution notifications or ... successful job executions".
        steps = max((reached[name] // wanted for name, wanted in criteria.items()), default=0)
        return min(most, int(growing["baseRatePerMinute"] * growing["incrementFactor"] ** steps))

    def _save(self, job: Job) -> None:
        self.store.db.execute(
            "INSERT OR REPLACE INTO jobs VALUES (?, ?, ?, ?, ?)",
            (job.id, job.status, job.created, job.document, json.dumps(job.record)),
        )

    def _count_again(self, jobs: str, *values: str) -> None:
        self.store.db.execute(_COUNT.format(jobs=jobs), values)

    def _count(self, one: Execution) -> None:
        """Count a thing's newest execution with its new status, and with the one before no more."""
        before = self.store.db.execute(
            "SELECT status FROM executions WHERE job = ? AND thing = ? AND number <= ? ORDER BY number DESC",
            (one.job, one.thing, one.number),
        ).fetchone()
        for status, change in ((one.status, 1), *([(before[0], -1)] if before else [])):
            self.store.db.execute(
                "INSERT INTO tallies VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
                (one.job, status, change),
            )

    def _save_execution(self, one: Execution) -> None:
        self._count(one)
        self.store.db.execute(
            "INSERT OR REPLACE INTO executions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                one.job,
                one.thing,
                one.number,
                one.status,
                json.dumps(one.details),
                one.version,
                one.queued,
                one.started,
                one.updated,
                one.deadline,
                one.step_deadline,
                one.forced,
            ),
        )

    # --- telling: "Jobs notifications", "Jobs events" ----------------------------

    @contextmanager
    def _telling(self, *things: str, always: bool) -> Iterator[None]:
        """Tell things of what changes inside: their lists, if ``always``, and what is next, if that is another one."""
        before = {thing: self._next(thing) for thing in things}
        yield
        now = int(time.time())
        for thing in things:
            pending = self.pending(thing)
            prefix = f"$aws/things/{thing}/jobs"
            if always:
                lists: dict[str, list[dict[str, Any]]] = {}
                for execution in pending[:_MOST_NOTIFIED]:
                    lists.setdefault(execution.status, []).append(execution.summary())
                self._answer(f"{prefix}/notify", {"timestamp": now, "jobs": lists})
            if self._next(thing) != before[thing]:
                first = {"execution": self.full(pending[0], document=True)} if pending else {}
                self._answer(f"{prefix}/notify-next", {"timestamp": now, **first})

    def _next(self, thing: str) -> tuple[str, int] | None:
        pending = self.pending(thing)
        return (pending[0].job, pending[0].number) if pending else None

    def _tell_job(self, job: Job, operation: str) -> None:
        if "JOB" not in self.events:
            return
        named = ("Canceled", "Rejected", "Failed", "Removed", "Succeeded")
        counts = self.counts(job.id)
        given = ("targetSelection", "targets", "description")
        event: dict[str, Any] = {
            **_event("JOB", operation),
            "jobId": job.id,
            "status": job.status,
            **{name: job.record[name] for name in given if name in job.record},
            "createdAt": int(job.created * 1000),
            "lastUpdatedAt": int(time.time() * 1000),
            "jobProcessDetails": {f"numberOf{name}Things": counts.get(name.upper(), 0) for name in named},
        }
        self._answer(f"$aws/events/job/{job.id}/{operation}", event)

    def _tell_execution(self, execution: Execution) -> None:
        if "JOB_EXECUTION" not in self.events:
            return
        operation = execution.status.lower()
        event = {
            **_event("JOB_EXECUTION", operation),
            "jobId": execution.job,
            "thingArn": f"{self.arn}thing/{execution.thing}",
            "status": execution.status,
            "statusDetails": execution.details,
        }
        self._answer(f"$aws/events/jobExecution/{execution.job}/{operation}", event)

    def _answer(self, topic: str, document: Mapping[str, Any]) -> None:
        self.store.answer(topic, json.dumps(document).encode())


def _execution(row: tuple[Any, ...]) -> Execution:
    job, thing, number, status, details, *rest, forced = row
    version, queued, started, updated, deadline, step_deadline = rest
    return Execution(
        job,
        thing,
        number,
        status,
        json.loads(details),
        version,
        queued,
        started,
        updated,
        deadline,
        step_deadline,
        bool(forced),
    )


def check_details(details: Any) -> dict[str, str] | None:
    """Return status details as they were given.

    Raises:
        ServiceError: they are no map of at most ten strings.
    """
    if details is None:
        return None
    strings = isinstance(details, dict) and all(isinstance(value, str) for value in details.values())
    if not strings or len(details) > _MOST_DETAILS:
        raise ServiceError("InvalidRequestException", "statusDetails must be a map of at most 10 strings")
    return dict(details)


def _deadline(job: Job, now: float) -> float | None:
    minutes = job.record.get("timeoutConfig", {}).get("inProgressTimeoutInMinutes")
    return now + minutes * _MINUTE if minutes else None


def _step_deadline(execution: Execution, minutes: int | None, now: float) -> float | None:
    """Return the step timer's end: unchanged where nothing is said, none for -1 ("UpdateJobExecution")."""
    if minutes is None:
        return execution.step_deadline
    return None if minutes == -1 else now + minutes * _MINUTE


def _retries(job: Job, status: str) -> int:
    """Return how often a thing may try again after such an end: "Job execution retry configuration"."""
    criteria = job.record.get("jobExecutionsRetryConfig", {}).get("criteriaList", [])
    fitting = [
        one["numberOfRetries"]
        for one in criteria
        if status in ("FAILED", "TIMED_OUT") and one["failureType"] in (status, "ALL")
    ]
    return max(fitting, default=0)


def _event(kind: str, operation: str) -> dict[str, Any]:
    return {
        "eventType": kind,
        "eventId": str(uuid.uuid4()),
        "timestamp": int(time.time()),
        "operation": operation,
    }


def _now_as(name: str) -> dict[str, float]:
    now = time.time()
    return {name: now, "lastUpdatedAt": now}
