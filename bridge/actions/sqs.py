"""The ``sqs`` action: ten messages a request."""

import base64
from collections.abc import Sequence
from typing import Any

from bridge.actions.base import Services, by_target, failed_entries, failure, request_failed
from bridge.actions.parameters import Parameters
from bridge.messages import Failure, Outgoing

# SQS takes ten messages and 1 MiB a request (256 KiB before 2025-08, and still in emulators).
_MAX_ENTRIES = 10
_MAX_BYTES = 256 * 1024


class SqsAction:
    """Sends to one queue."""

    name = "sqs"
    # Several requests' worth: `send` cuts them to size.
    max_batch = _MAX_ENTRIES

    def __init__(self, parameters: Parameters, services: Services) -> None:
        """Read queueUrl (a template) and useBase64."""
        self._queue_url = parameters.template("queueUrl")
        self._base64 = parameters.flag("useBase64")
        parameters.role()
        self._sqs = services.client("sqs")

    def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """See `bridge.actions.base.Action`."""
        return by_target(batch, self._queue_url, self._send_to)

    def _send_to(self, queue_url: str, batch: Sequence[Outgoing]) -> list[Failure | None]:
        bodies = [self._body(outgoing.payload) for outgoing in batch]
        if len(bodies) > 1 and sum(len(body.encode()) for body in bodies) > _MAX_BYTES:
            middle = len(batch) // 2
            return self._send_to(queue_url, batch[:middle]) + self._send_to(queue_url, batch[middle:])
        entries: Any = [{"Id": str(index), "MessageBody": body} for index, body in enumerate(bodies)]
        try:
            answer = self._sqs.send_message_batch(QueueUrl=queue_url, Entries=entries)
        except Exception as error:  # every failure of the call is sorted by `failure`
            why = failure(queue_url, error)
            return request_failed(batch, why, lambda part: self._send_to(queue_url, part))
        return failed_entries(batch, queue_url, answer)

    def _body(self, payload: bytes) -> str:
        # SQS carries text: what is not text must be base64, as on AWS.
        return base64.b64encode(payload).decode() if self._base64 else payload.decode("utf-8", "replace")
