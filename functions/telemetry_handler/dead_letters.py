"""The dead-letter queue: every refused message with its reason and its bytes, to be sent again."""

import binascii
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from telemetry_handler.envelope import Message
from telemetry_handler.refusal import Refused

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

# A call may carry 1 MiB since 2025-08; other engines still hold the older limit, so that is ours:
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
MAX_ENTRIES = 10
MAX_BYTES = 256 * 1024
_ATTRIBUTE_BYTES = len("reason") + len("String") + 32  # the longest code is shorter


class DeadLetter(msgspec.Struct, frozen=True):
    """A refused message as the dead-letter queue takes it."""

    record_id: str
    code: str
    body: str


def letter(message: Message, refusal: Refused, refused_at: str) -> DeadLetter:
    """Write the dead letter of ``message``. It has an envelope's fields, so the handler can read it again."""
    body = {
        "reason": refusal.as_dict(),
        "payload_base64": binascii.b2a_base64(message.payload, newline=False).decode(),
        "topic": message.topic,
        "client_id": message.client_id,
        "received_at": message.received_at,
        "source_message_id": message.source_message_id,
        "refused_at": refused_at,
    }
    # In ASCII: SQS refuses a whole call for one character that XML has not, such as U+FFFF in a topic.
    return DeadLetter(message.source_message_id, refusal.code, json.dumps(body, separators=(",", ":")))


def chunks(letters: list[DeadLetter]) -> Iterator[list[DeadLetter]]:
    """Cut ``letters`` into what one call may carry. A letter that is too large for any call goes alone."""
    chunk: list[DeadLetter] = []
    size = 0
    for each in letters:
        weight = len(each.body.encode()) + _ATTRIBUTE_BYTES
        if chunk and (len(chunk) == MAX_ENTRIES or size + weight > MAX_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(each)
        size += weight
    if chunk:
        yield chunk


class DeadLetters:
    """The dead-letter queue."""

    def __init__(self, client: "SQSClient", queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    def send(self, chunk: list[DeadLetter]) -> list[DeadLetter]:
        """Send one chunk.

        Returns:
            The letters that the queue did not take.
        """
        entries: list[SendMessageBatchRequestEntryTypeDef] = [
            {
                "Id": str(position),
                "MessageBody": each.body,
                "MessageAttributes": {"reason": {"DataType": "String", "StringValue": each.code}},
            }
            for position, each in enumerate(chunk)
        ]
        answer = self._client.send_message_batch(QueueUrl=self._queue_url, Entries=entries)
        taken = {int(entry["Id"]) for entry in answer.get("Successful", [])}
        return [each for position, each in enumerate(chunk) if position not in taken]
