"""The ``cloudwatchLogs`` action: events of one log stream of a log group.

With ``batchMode`` a message is an array of ``{"timestamp": <epoch milliseconds>, "message": <text>}``, an event each
(developer guide, "CloudWatch Logs"). AWS does not document the stream's name; here it is the same for all rules.
"""

import contextlib
import time
from collections.abc import Sequence
from typing import Any

from bridge.actions.base import Services, by_target, one_by_one
from bridge.actions.parameters import Parameters
from bridge.messages import Failure, Outgoing
from bridge.sql import RuleSqlError, to_bytes

_STREAM = "iot-rules"


class CloudwatchLogsAction:
    """Puts log events into one group."""

    name = "cloudwatchLogs"
    max_batch = 1

    def __init__(self, parameters: Parameters, services: Services) -> None:
        """Read logGroupName (a template), batchMode."""
        self._group = parameters.template("logGroupName")
        self._batch_mode = parameters.flag("batchMode")
        parameters.role()
        self._logs = services.client("logs")
        self._streams: set[str] = set()

    def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """See `bridge.actions.base.Action`."""
        return by_target(batch, self._group, self._put_all)

    def _put_all(self, group: str, batch: Sequence[Outgoing]) -> list[Failure | None]:
        return one_by_one(batch, group, lambda outgoing: self._put(group, outgoing))

    def _put(self, group: str, outgoing: Outgoing) -> None:
        events = self._events(outgoing)
        self._ensure_stream(group)
        answer = self._logs.put_log_events(logGroupName=group, logStreamName=_STREAM, logEvents=events)
        if refused := answer.get("rejectedLogEventsInfo"):
            raise RuleSqlError(f"CloudWatch Logs does not take events that are too old or too new: {refused}")

    def _events(self, outgoing: Outgoing) -> list[dict[str, Any]]:
        if not self._batch_mode:
            text = outgoing.payload.decode("utf-8", "replace")
            return [{"timestamp": outgoing.message.now_ms or int(time.time() * 1000), "message": text}]
        document = outgoing.document
        if not isinstance(document, list) or not document:
            raise RuleSqlError("a cloudwatchLogs action in batchMode needs an array of timestamp and message")
        return sorted(map(_event, document), key=lambda event: int(event["timestamp"]))

    def _ensure_stream(self, group: str) -> None:
        if group in self._streams:
            return
        with contextlib.suppress(self._logs.exceptions.ResourceAlreadyExistsException):
            self._logs.create_log_stream(logGroupName=group, logStreamName=_STREAM)
        self._streams.add(group)


def _event(record: Any) -> dict[str, Any]:
    at = record.get("timestamp") if isinstance(record, dict) else None
    if type(at) is not int or "message" not in record:
        raise RuleSqlError("a log record of batchMode is an object with timestamp (milliseconds) and message")
    said = record["message"]
    return {"timestamp": at, "message": said if isinstance(said, str) else to_bytes(said).decode()}
