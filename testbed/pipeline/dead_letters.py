"""Read the dead-letter queue without taking anything from it."""

import base64
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from testbed.errors import TestbedError
from testbed.pipeline.quiet import queue_depth
from testbed.pipeline.stream import Range

# The most that SQS hands out, and changes, in one call.
_PAGE = 10
_EMPTY_ANSWERS = 3
# How long a letter stays hidden: two minutes, or as long as so many are read a second; at most what SQS allows.
_HIDDEN_SECONDS, _LETTERS_A_SECOND, _LONGEST_HIDDEN_SECONDS = 120, 20, 43_200


@dataclass(frozen=True)
class DeadLetter:
    """A message in the dead-letter queue.

    ``reason`` is the handler's code, ``rule_action_failed`` (the rule's error action),
    ``max_receives_exceeded`` (the queue's redrive policy: tried too often) or ``stream_batch_failed`` (the stream's
    on-failure destination: too old; ``given_up`` says which records, and the stream has them). ``message_id`` is the
    station's own, None where the payload has none.
    """

    reason: str
    message_id: str | None
    payload: bytes
    body: str
    receipt_handle: str
    sqs_message_id: str
    given_up: Range | None = None


def read(sqs: Any, queue_url: str) -> list[DeadLetter]:
    """Return all letters in the queue; they stay there. For queues that fit into memory: see `each`."""
    return list(each(sqs, queue_url))


def each(sqs: Any, queue_url: str) -> Iterator[DeadLetter]:
    """Yield every letter in the queue once, a page in memory at a time; they stay there."""
    with closing(Pass(sqs, queue_url)) as through:
        while page := through.page():
            for letter in page:
                through.keep(letter)
                yield letter


class Pass:
    """One pass through a queue: hides each letter that it gives, so that every letter is given once.

    Letters that are kept are visible to others again when it is closed. If the process dies before that, the queue
    itself shows them again after ``hidden_seconds``.

    Several threads may take pages.
    """

    def __init__(self, sqs: Any, queue_url: str, *, moves: bool = False) -> None:
        """Look at how many letters there are, as those that are kept must stay hidden until the last one was read.

        With ``moves`` most letters leave the queue at once, and only those that `keep` is told of are hidden for long:
        what a killed process had in its hands is back after two minutes.
        """
        self._sqs, self._queue_url = sqs, queue_url
        self.depth = queue_depth(sqs, queue_url)
        self.hidden_seconds = min(
            _LONGEST_HIDDEN_SECONDS, max(_HIDDEN_SECONDS, self.depth // _LETTERS_A_SECOND)
        )
        self._received_for = _HIDDEN_SECONDS if moves else self.hidden_seconds
        self._until = time.monotonic() + 0.9 * self.hidden_seconds
        self._empty = 0
        # Receipt handles of half a million letters do not belong into memory.
        self._kept = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed by `close`
        self._lock = threading.Lock()

    def page(self) -> list[DeadLetter]:
        """Receive up to ten letters; an empty list is the end.

        Raises:
            TestbedError: it takes so long that letters that were given would come again.
        """
        # A short poll may miss messages that are there, so one empty answer is not the end.
        while self._empty < _EMPTY_ANSWERS:
            if time.monotonic() > self._until:
                raise TestbedError(
                    f"The dead-letter queue is too long to be read in {self.hidden_seconds} s.",
                    "What was read so far is done; run it again for the rest.",
                )
            messages = self._sqs.receive_message(
                QueueUrl=self._queue_url,
                MaxNumberOfMessages=_PAGE,
                VisibilityTimeout=self._received_for,
                WaitTimeSeconds=0,
            ).get("Messages", [])
            if messages:
                self._empty = 0
                return [parse(message) for message in messages]
            self._empty += 1
        return []

    def keep(self, letter: DeadLetter) -> None:
        """Note that ``letter`` stays in the queue."""
        if self._received_for < self.hidden_seconds:
            self._sqs.change_message_visibility(
                QueueUrl=self._queue_url,
                ReceiptHandle=letter.receipt_handle,
                VisibilityTimeout=self.hidden_seconds,
            )
        with self._lock:
            self._kept.write(f"{letter.receipt_handle}\n")

    def close(self) -> None:
        """Show the kept letters to others again."""
        with self._kept as handles:
            handles.seek(0)
            while page := [line.rstrip("\n") for line in islice(handles, _PAGE)]:
                self._sqs.change_message_visibility_batch(
                    QueueUrl=self._queue_url,
                    Entries=[
                        {"Id": str(index), "ReceiptHandle": handle, "VisibilityTimeout": 0}
                        for index, handle in enumerate(page)
                    ],
                )


def parse(message: dict[str, Any]) -> DeadLetter:
    """Read one SQS message; whatever it holds, it is a letter."""
    body = message["Body"]
    try:
        document = json.loads(body)
    except ValueError:
        document = {}
    if not isinstance(document, dict):
        document = {}
    given_up = None
    if isinstance(document.get("KinesisBatchInfo"), dict):
        with suppress(KeyError, TypeError, ValueError):
            given_up = Range.of(document["KinesisBatchInfo"])
    if "ruleName" in document and "failures" in document:
        reason, encoded = "rule_action_failed", document.get("base64OriginalPayload", "")
    elif isinstance(document.get("reason"), dict):
        reason, encoded = str(document["reason"].get("code")), document.get("payload_base64", "")
    else:
        reason = "stream_batch_failed" if given_up else "max_receives_exceeded"
        encoded = document.get("payload_base64", "")
    payload = _payload(body, document, encoded)
    return DeadLetter(
        reason, _message_id(payload), payload, body, message["ReceiptHandle"], message["MessageId"], given_up
    )


def message_id_of(body: str) -> str | None:
    """Return the station's own id of a message in the rule's envelope, or bare; None where it has none."""
    return parse({"Body": body, "ReceiptHandle": "", "MessageId": ""}).message_id


def _payload(body: str, document: dict[str, Any], encoded: Any) -> bytes:
    if "payload_base64" in document or "base64OriginalPayload" in document:
        try:
            return base64.b64decode(encoded or "", validate=True)
        except (ValueError, TypeError):  # not base64, or no text at all
            return b""
    # The handler takes bare telemetry, too.
    return body.encode("utf-8", "replace")


def _message_id(payload: bytes) -> str | None:
    try:
        document = json.loads(payload)
    except ValueError:
        return None
    found = document.get("message_id") if isinstance(document, dict) else None
    return found if isinstance(found, str) else None
