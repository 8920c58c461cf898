"""Queue asynchronous invocations as AWS Lambda does: nothing that was answered 202 is lost.

ministack 1.5.33 starts a thread for each call and takes a throttled one for a failed one: of 1,000 messages to a
function with four reserved executions it ran 335 and dropped the rest without a line, and a kill loses whatever waits.
AWS keeps an event for up to six hours ("How Lambda handles errors and retries with asynchronous invocation", Lambda
developer guide): one that is throttled goes back to the queue and uses up no attempt; one whose function fails is
tried ``MaximumRetryAttempts`` times more; what fails for good, or gets too old, goes to the function's dead-letter
queue and to its on-failure destination.

Here an event is a row of a SQLite file in ministack's state folder before the call is answered, and stays there until
it is done. An event whose execution a kill cut off runs again, as it may on AWS. Every asynchronous call comes this
way: Invoke with ``InvocationType=Event``, those that S3 makes, and by `deliveries` those of SNS and EventBridge.
"""

import hashlib
import heapq
import json
import logging
import os
import sqlite3
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from ministack.core import lambda_runtime
from ministack.core.responses import new_uuid
from ministack.services import lambda_svc, sns, sqs

log = logging.getLogger("ministack.asynchronous")

# Executions of one function at once, where it reserves none: its processes share this machine's cores.
_MOST_AT_ONCE = 4
# AWS waits one minute, then two, after a failure; ministack's own settings say how much shorter that is here.
_PAUSE = lambda_svc._LAMBDA_ASYNC_RETRY_BASE_SECONDS
_LONGEST_PAUSE = lambda_svc._LAMBDA_ASYNC_RETRY_MAX_SECONDS
# After a throttled call AWS waits from a second up to five minutes.
_THROTTLED_PAUSE, _LONGEST_THROTTLED_PAUSE = 0.05, 5.0
# A function that is not there may be deployed again in a moment: its events came before a restart.
_ABSENT_PAUSE, _ABSENT_SECONDS = 1.0, 7200
_OLDEST_SECONDS = 21_600
# ministack waits so long for the first log line of a call that may log nothing; by default it is 50 ms of each call.
_FIRST_LOG_LINE_SECONDS = 0.005


class _Event(NamedTuple):
    """A waiting event: its row, and when it was taken (epoch seconds)."""

    row: int
    arn: str
    request_id: str
    taken: float
    # Executions that failed, and calls that were throttled in a row.
    failures: int = 0
    throttled: int = 0


class _Store:
    """The events on disk."""

    def __init__(self, path: Path | None) -> None:
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
        # A commit survives the death of the process, which is what an emulator has to survive, not a power cut.
        self._db.executescript(
            """
            PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
            CREATE TABLE IF NOT EXISTS events (
                row INTEGER PRIMARY KEY AUTOINCREMENT, arn TEXT,
                 request_id TEXT, taken REAL, failures INTEGER, payload TEXT
            );
            """
        )

    def add(self, arn: str, payload: str) -> _Event:
        request_id, taken = new_uuid(), time.time()
        with self._lock:
            row = self._db.execute(
                "INSERT INTO events (arn, request_id, taken, failures, payload) VALUES (?, ?, ?, 0, ?)",
                (arn, request_id, taken, payload),
            ).lastrowid
        return _Event(row or 0, arn, request_id, taken)

    def waiting(self) -> list[_Event]:
        with self._lock:
            rows = self._db.execute(
                "SELECT row, arn, request_id, taken, failures FROM events ORDER BY row"
            ).fetchall()
        return [_Event(*row) for row in rows]

    def payload(self, event: _Event) -> Any:
        with self._lock:
            [text] = self._db.execute("SELECT payload FROM events WHERE row = ?", (event.row,)).fetchone()
        return json.loads(text)

    def failed(self, event: _Event) -> None:
        with self._lock:
            self._db.execute("UPDATE events SET failures = ? WHERE row = ?", (event.failures, event.row))

    def done(self, event: _Event) -> None:
        with self._lock:
            self._db.execute("DELETE FROM events WHERE row = ?", (event.row,))


class _Function:
    """The waiting events of one function, and the threads that execute them."""

    def __init__(self, arn: str, store: _Store) -> None:
        self._arn, self._store = arn, store
        self._due: list[tuple[float, int, _Event]] = []
        self._changed = threading.Condition()
        self._workers = 0

    def put(self, event: _Event, pause: float = 0.0) -> None:
        """Execute the event after ``pause`` seconds."""
        with self._changed:
            heapq.heappush(self._due, (time.monotonic() + pause, event.row, event))
            if self._workers < _at_once(self._arn) and self._workers < len(self._due):
                self._workers += 1
                threading.Thread(target=self._work, name="asynchronous-invocations", daemon=True).start()
            self._changed.notify()

    def _work(self) -> None:
        # Where ministack looks up its stores: the account and region of the function, not of the caller.
        parts = self._arn.split(":")
        lambda_svc._request_account_id.set(parts[4])
        lambda_svc._request_region.set(parts[3])
        while (event := self._take()) is not None:
            try:
                self._execute(event)
            except Exception:  # of this event alone: the others must go on
                log.exception("the event %s of %s failed here", event.request_id, self._arn)
                self.put(event, _LONGEST_PAUSE)

    def _take(self) -> _Event | None:
        """Wait for an event that is due; None, and one worker fewer, where there is none or the limit has fallen."""
        with self._changed:
            while True:
                if not self._due or self._workers > max(1, _at_once(self._arn)):
                    self._workers -= 1
                    return None
                left = self._due[0][0] - time.monotonic()
                if left <= 0:
                    return heapq.heappop(self._due)[2]
                self._changed.wait(left)

    def _execute(self, event: _Event) -> None:
        function, config, _ = lambda_svc._get_func_record_for_ref(self._arn)
        settings = _settings(function) if function else {}
        age = time.time() - event.taken
        if (function is None or config is None) and age < _OLDEST_SECONDS + _ABSENT_SECONDS:
            self.put(event, _ABSENT_PAUSE)
            return
        if (
            function is None
            or config is None
            or age > int(settings.get("MaximumEventAgeInSeconds") or _OLDEST_SECONDS)
        ):
            self._give_up(event, config, settings, "EventAgeExceeded", {})
            return
        record = lambda_svc._execution_record_for_config(function, config)
        result = lambda_svc._execute_function(record, self._store.payload(event))
        if result.get("throttle"):
            pause = min(_THROTTLED_PAUSE * 2 ** min(event.throttled, 16), _LONGEST_THROTTLED_PAUSE)
            self.put(event._replace(throttled=event.throttled + 1), pause)
        elif not result.get("error"):
            _to_destination(
                event, config, settings, "OnSuccess", "Success", self._store.payload(event), result
            )
            self._store.done(event)
        else:
            again = event._replace(failures=event.failures + 1, throttled=0)
            retries = settings.get("MaximumRetryAttempts")
            if again.failures > (2 if retries is None else int(retries)):
                self._give_up(again, config, settings, "RetriesExhausted", result)
                return
            self._store.failed(again)
            self.put(again, min(_PAUSE * 2**event.failures, _LONGEST_PAUSE))

    def _give_up(
        self,
        event: _Event,
        config: Any,
        settings: dict[str, Any],
        condition: str,
        result: dict[str, Any],
    ) -> None:
        payload = self._store.payload(event)
        letters = ((config or {}).get("DeadLetterConfig") or {}).get("TargetArn")
        if letters:
            _dead_letter(letters, event, payload, result)
        sent = _to_destination(event, config or {}, settings, "OnFailure", condition, payload, result)
        if not letters and not sent:
            log.error(
                "%s lost an event (%s, request %s): it has no dead-letter queue and no on-failure destination",
                self._arn,
                condition,
                event.request_id,
            )
        self._store.done(event)


class Invocations:
    """All functions' asynchronous invocations."""

    def __init__(self, path: Path | None) -> None:
        """Take up what waits in the file at ``path``; without one, keep events in memory."""
        self._store = _Store(path)
        self._functions: dict[str, _Function] = {}
        self._lock = threading.Lock()
        for event in self._store.waiting():
            self._function(event.arn).put(event)

    def invoke(self, func: dict[str, Any], event: Any) -> None:
        """Take an event for a function; when this returns, it is on disk."""
        config = func.get("config") or func
        arn = config["FunctionArn"]
        version = config.get("Version")
        if version not in (None, "$LATEST") and not arn.endswith(f":{version}"):
            arn = f"{arn}:{version}"
        self._function(arn).put(self._store.add(arn, json.dumps(event)))

    def _function(self, arn: str) -> _Function:
        with self._lock:
            if arn not in self._functions:
                self._functions[arn] = _Function(arn, self._store)
            return self._functions[arn]


def _at_once(arn: str) -> int:
    function, config, _ = lambda_svc._get_func_record_for_ref(arn)
    reserved = lambda_svc._reserved_concurrency(function, config) if function and config else None
    return _MOST_AT_ONCE if reserved is None else max(1, min(reserved, _MOST_AT_ONCE))


def _settings(function: dict[str, Any]) -> dict[str, Any]:
    """Return what PutFunctionEventInvokeConfig said."""
    return (
        function.get("event_invoke_config")
        or (function.get("event_invoke_configs") or {}).get("$LATEST")
        or {}
    )


def _error_message(result: dict[str, Any]) -> str:
    body = result.get("body")
    return str(body.get("errorMessage", "")) if isinstance(body, dict) else ""


def _dead_letter(target: str, event: _Event, payload: Any, result: dict[str, Any]) -> None:
    """Send the event itself, with AWS's three attributes ("Adding a dead-letter queue", Lambda developer guide)."""
    attributes = {
        "RequestID": {"DataType": "String", "StringValue": event.request_id},
        "ErrorCode": {"DataType": "Number", "StringValue": "200"},
        "ErrorMessage": {"DataType": "String", "StringValue": _error_message(result)[:1024] or "-"},
    }
    send(target, json.dumps(payload), attributes)


def _to_destination(
    event: _Event,
    config: dict[str, Any],
    settings: dict[str, Any],
    which: str,
    condition: str,
    payload: Any,
    result: dict[str, Any],
) -> bool:
    """Send an invocation record ("Capturing records of Lambda asynchronous invocations", Lambda developer guide)."""
    target = ((settings.get("DestinationConfig") or {}).get(which) or {}).get("Destination")
    if not target:
        return False
    failed = condition != "Success"
    record = {
        "version": "1.0",
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "requestContext": {
            "requestId": event.request_id,
            "functionArn": f"{config.get('FunctionArn', event.arn)}:$LATEST",
            "condition": condition,
            "approximateInvokeCount": event.failures + (0 if failed else 1),
        },
        "requestPayload": payload,
        "responseContext": {"statusCode": 200, "executedVersion": config.get("Version", "$LATEST")}
        | ({"functionError": result.get("function_error") or "Unhandled"} if failed else {}),
        "responsePayload": result.get("body"),
    }
    return send(target, json.dumps(record), {})


def send(target: str, body: str, attributes: dict[str, Any]) -> bool:
    """Send to a queue, topic or function; return False, and log it, where there is none of that ARN."""
    service = target.split(":")[2]
    if service == "sqs" and (queue := sqs._queue_by_arn(target)) is not None:
        now = time.time()
        queue["messages"].append(
            {
                "id": new_uuid(),
                "body": body,
                "md5_body": hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
                "md5_attrs": "",
                "receipt_handle": None,
                "sent_at": now,
                "visible_at": now + sqs.queue_delay(queue),
                "receive_count": 0,
                "first_receive_at": None,
                "message_attributes": attributes,
                "sys": {"SenderId": target.split(":")[4], "SentTimestamp": str(int(now * 1000))},
                "group_id": None,
                "dedup_id": None,
                "dedup_cache_key": None,
                "seq": None,
            }
        )
        lambda_svc.esm_wake.set()
        return True
    if service == "sns" and target in sns._topics:
        sns._fanout(target, new_uuid(), body, "", "", attributes)
        return True
    if service == "lambda" and (function := lambda_svc._get_func_record_for_ref(target)[0]):
        lambda_svc.invoke_async_with_retry(function, json.loads(body))
        return True
    log.error(
        "an event could not be sent to %s: there is no such thing, or its service is not supported", target
    )
    return False


def patch() -> None:
    """Have ministack hand every asynchronous invocation over to here, and take up what a kill has left."""
    folder = os.environ.get("STATE_DIR")
    path = Path(folder) / "asynchronous-invocations.db" if folder else None
    lambda_svc.invoke_async_with_retry = Invocations(path).invoke
    drain = lambda_runtime.Worker._drain_stderr_bounded
    drain.__defaults__ = (_FIRST_LOG_LINE_SECONDS, *drain.__defaults__[1:])
