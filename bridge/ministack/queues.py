"""Receive from and delete in long queues without reading all of them, and lose nothing between two threads.

ministack 1.5.33 goes through every message of a queue several times for a receive and once for each delete: with
500,000 messages a batch of ten takes half a second. And its poller replaces a queue's list of messages by a copy
without those that are done: a message that is sent meanwhile, by the thread that answers calls, is in the list that
is thrown away. Here messages are looked for from the front, where those in work are, the list stays the same one, and
whoever changes it holds the lock.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from itertools import islice
from typing import Any, TypeVar

from ministack.services import sqs

Queue = dict[str, Any]
Message = dict[str, Any]
Result = TypeVar("Result")

_LOOK_FOR_EXPIRED_SECONDS = 1.0
_looked: dict[str, float] = {}
_expire, _sweep, _collect, _send = (
    sqs._expire_retained,
    sqs._dlq_sweep,
    sqs._collect_msgs,
    sqs._act_send_message,
)


def collect(queue: Queue, most: int, visibility: int) -> list[Message]:
    """Take up to ``most`` visible messages, and hide them for ``visibility`` seconds."""
    if queue["is_fifo"]:
        return list(_collect(queue, most, visibility))
    now = time.time()

    def visible() -> Iterator[Message]:
        for message in queue["messages"]:
            sqs._ensure_msg_fields(message)
            if message["visible_at"] <= now:
                yield message

    taken = list(islice(visible(), most))
    for message in taken:
        message["receipt_handle"] = sqs.new_uuid()
        message["visible_at"] = now + visibility
        message["receive_count"] += 1
        if message.get("first_receive_at") is None:
            message["first_receive_at"] = now
    return taken


def remove(queue: Queue, handles: Iterable[str]) -> set[str]:
    """Delete the messages that were received under ``handles``; return the handles that were found."""
    wanted = {handle for handle in handles if handle}
    found: set[str] = set()
    kept: list[Message] = []
    messages, looked = queue["messages"], 0
    for looked, message in enumerate(messages, 1):  # noqa: B007  # counted for what follows
        if message["receipt_handle"] in wanted:
            found.add(message["receipt_handle"])
            if len(found) == len(wanted):
                break
        else:
            kept.append(message)
    # One move of what is behind, and not one for each message.
    messages[:looked] = kept
    return found


def expire(queue: Queue) -> None:
    """Drop what is older than the queue keeps it; look once a second."""
    now, name = time.monotonic(), queue["attributes"]["QueueArn"]
    if now - _looked.get(name, 0.0) >= _LOOK_FOR_EXPIRED_SECONDS:
        _looked[name] = now
        _expire(queue)


def _delete(data: dict[str, Any], address: str) -> dict[str, Any]:
    queue = sqs._get_q(data.get("QueueUrl", address), "sqs:DeleteMessage")
    handle = data.get("ReceiptHandle", "")
    if not handle:
        raise sqs._Err("MissingParameter", "The request must contain the parameter ReceiptHandle.")
    if not remove(queue, [handle]):
        raise sqs._Err("ReceiptHandleIsInvalid", "The input receipt handle is invalid.")
    return {}


def _delete_batch(data: dict[str, Any], address: str) -> dict[str, Any]:
    queue = sqs._get_q(data.get("QueueUrl", address), "sqs:DeleteMessage")
    entries = data.get("Entries", [])
    sqs._validate_batch_entries(entries, "DeleteMessageBatchRequestEntry")
    found = remove(queue, [entry.get("ReceiptHandle", "") for entry in entries])
    unknown = {
        "Code": "ReceiptHandleIsInvalid",
        "Message": "The input receipt handle is invalid.",
        "SenderFault": True,
    }
    return {
        "Successful": [{"Id": entry["Id"]} for entry in entries if entry.get("ReceiptHandle") in found],
        "Failed": [
            {"Id": entry["Id"]} | unknown for entry in entries if entry.get("ReceiptHandle") not in found
        ],
    }


def _delete_for_mapping(queue_url: str, handles: set[str]) -> None:
    if handles:
        remove(sqs._get_q(queue_url), handles)


def _locked(function: Callable[..., Result]) -> Callable[..., Result]:
    @wraps(function)
    def call(*arguments: Any) -> Result:
        with sqs._queues_lock:
            return function(*arguments)

    return call


def patch() -> None:
    """Have ministack's calls and its poller use these."""
    # The poller holds it around calls that take it again here.
    sqs._queues_lock = threading.RLock()
    sqs._collect_msgs = _locked(collect)
    sqs._expire_retained = _locked(expire)
    sqs._dlq_sweep = _locked(_sweep)
    sqs._act_send_message = _locked(_send)
    sqs._delete_messages_for_esm = _locked(_delete_for_mapping)
    sqs._HANDLERS |= {
        "SendMessage": sqs._act_send_message,
        "DeleteMessage": _locked(_delete),
        "DeleteMessageBatch": _locked(_delete_batch),
    }
