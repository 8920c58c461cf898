"""The ``sqs`` action: ten messages a request."""

import base64
from collections.abc import Sequence
from typing import Any

from bridge.actions.base import Services, failed_entries, failure, request_failed
from bridge.messages import Failure, Outgoing
from bridge.sql import CompiledRule

# SQS takes ten messages and 1 MiB a request (256 KiB before 2025-08, and still in emulators).
_MAX_ENTRIES = 10
_MAX_BYTES = 256 * 1024


class SqsAction:
    """Sends to one queue."""

    name = "sqs"
    # Several requests' worth: `send` cuts them to size.
    max_batch = _MAX_ENTRIES

    def __init__(self, parameters: dict[str, Any], services: Services, _rule: CompiledRule) -> None:
        """``parameters``: queueUrl, useBase64 (and roleArn, which a local engine has no use for)."""
        self._queue_url: str = parameters["queueUrl"]
        self._base64 = bool(parameters.get("useBase64"))
        self._sqs = services.client("sqs")

    def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """See `bridge.actions.base.Action`."""
        bodies = [self._body(outgoing.payload) for outgoing in batch]
        if len(bodies) > 1 and sum(len(body.encode()) for body in bodies) > _MAX_BYTES:
            middle = len(batch) // 2
            return self.send(batch[:middle]) + self.send(batch[middle:])
        entries: Any = [{"Id": str(index), "MessageBody": body} for index, body in enumerate(bodies)]
        try:
            answer = self._sqs.send_message_batch(QueueUrl=self._queue_url, Entries=entries)
        except Exception as error:  # every failure of the call is sorted by `failure`
            return request_failed(batch, failure(self._queue_url, error), self.send)
        return failed_entries(batch, self._queue_url, answer)

    def _body(self, payload: bytes) -> str:
        # SQS carries text: what is not text must be base64, as on AWS.
        return base64.b64encode(payload).decode() if self._base64 else payload.decode("utf-8", "replace")
