"""Reads the dead-letter queue without taking anything from it."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# How long a message read here stays hidden from others; it is given back as soon as all are read.
_HIDDEN_SECONDS = 120


@dataclass(frozen=True)
class DeadLetter:
    """A message in the dead-letter queue.

    ``reason`` is the handler's code, ``rule_action_failed`` (the rule's error action) or
    ``max_receives_exceeded`` (the queue's redrive policy: tried too often). ``message_id`` is the
    station's own, None where the payload has none.
    """

    reason: str
    message_id: str | None
    payload: bytes
    body: str
    receipt_handle: str
    sqs_message_id: str


def read(sqs: Any, queue_url: str, *, keep_hidden: bool = False) -> list[DeadLetter]:
    """All messages in the queue; they stay there. With ``keep_hidden``, hidden from others for two minutes."""
    letters = {letter.sqs_message_id: letter for letter in _receive(sqs, queue_url)}
    if not keep_hidden:
        release(sqs, queue_url, list(letters.values()))
    return list(letters.values())


def release(sqs: Any, queue_url: str, letters: list[DeadLetter]) -> None:
    """Make letters that were received visible again."""
    for start in range(0, len(letters), 10):
        sqs.change_message_visibility_batch(
            QueueUrl=queue_url,
            Entries=[
                {"Id": str(index), "ReceiptHandle": letter.receipt_handle, "VisibilityTimeout": 0}
                for index, letter in enumerate(letters[start : start + 10])
            ],
        )


def _receive(sqs: Any, queue_url: str) -> Iterator[DeadLetter]:
    empty = 0
    # A short poll may miss messages that are there, so one empty answer is not the end.
    while empty < 3:
        messages = sqs.receive_message(
            QueueUrl=queue_url, MaxNumberOfMessages=10, VisibilityTimeout=_HIDDEN_SECONDS, WaitTimeSeconds=0
        ).get("Messages", [])
        empty = 0 if messages else empty + 1
        for message in messages:
            yield parse(message)


def parse(message: dict[str, Any]) -> DeadLetter:
    """Read one SQS message; whatever it holds, it is a letter."""
    body = message["Body"]
    try:
        document = json.loads(body)
    except ValueError:
        document = {}
    if not isinstance(document, dict):
        document = {}
    if "ruleName" in document and "failures" in document:
        reason, encoded = "rule_action_failed", document.get("base64OriginalPayload", "")
    elif isinstance(document.get("reason"), dict):
        reason, encoded = str(document["reason"].get("code")), document.get("payload_base64", "")
    else:
        reason, encoded = "max_receives_exceeded", document.get("payload_base64", "")
    if "payload_base64" in document or "base64OriginalPayload" in document:
        try:
            payload = base64.b64decode(encoded or "", validate=True)
        except (ValueError, TypeError):  # not base64, or no text at all
            payload = b""
    else:
        # The handler takes bare telemetry, too.
        payload = body.encode("utf-8", "replace")
    return DeadLetter(
        reason, _message_id(payload), payload, body, message["ReceiptHandle"], message["MessageId"]
    )


def _message_id(payload: bytes) -> str | None:
    try:
        document = json.loads(payload)
    except ValueError:
        return None
    found = document.get("message_id") if isinstance(document, dict) else None
    return found if isinstance(found, str) else None
