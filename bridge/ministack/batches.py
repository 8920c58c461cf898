"""Make batches of a queue's messages as AWS's event source mappings do.

ministack 1.5.33 hands a mapping at most ten messages, at once, whatever its ``BatchSize`` and window say. On AWS
a batch goes when it is full, when the window since its first message is over, or at 6 MB ("Process Amazon SQS
messages with Lambda", AWS Lambda developer guide). With ten a batch a run here would count, and cost, up to a
hundred times the calls that the same messages cause on AWS.
"""

import threading
import time
from itertools import islice
from typing import Any

from ministack.services import lambda_svc, sqs

_MOST_BYTES = 6 * 2**20
# What an event adds to a message's body: ids, times, ARNs.
_ENVELOPE_BYTES = 1024

_ten_at_once = sqs._receive_messages_for_esm
_alarms: set[str] = set()


def receive(queue_url: str, batch_size: int) -> list[dict[str, Any]]:
    """Take a batch from a queue, or nothing while it may still fill."""
    queue = sqs._get_q(queue_url)
    if queue["is_fifo"]:  # ten at most, and no window, on AWS too
        return list(_ten_at_once(queue_url, batch_size))
    window = _window(queue["attributes"]["QueueArn"])
    with sqs._queues_lock:
        sqs._expire_retained(queue)
        sqs._dlq_sweep(queue)
        now = time.time()
        # No more of a long queue than a batch may hold.
        visible = (message for message in queue["messages"] if message["visible_at"] <= now)
        waiting = list(islice(visible, batch_size))
        if not waiting:
            return []
        count = _fitting(waiting, batch_size)
        left = min(message["visible_at"] for message in waiting) + window - now
        if count == len(waiting) < batch_size and left > 0:
            wake_after(queue_url, left)
            return []
        visibility = int(queue["attributes"].get("VisibilityTimeout", "30"))
        return list(sqs._collect_msgs(queue, count, visibility))


def _window(queue_arn: str) -> float:
    """Return the shortest batching window of the queue's mappings, in seconds."""
    windows = [
        mapping.get("MaximumBatchingWindowInSeconds") or 0
        for _, _, mapping in lambda_svc._iter_all_esms()
        if mapping.get("EventSourceArn") == queue_arn and mapping.get("Enabled", True)
    ]
    return float(min(windows, default=0))


def _fitting(waiting: list[dict[str, Any]], batch_size: int) -> int:
    """How many of the messages make one event; at least one."""
    size = 0
    for count, message in enumerate(waiting[:batch_size]):
        size += len(message["body"]) + _ENVELOPE_BYTES
        if size > _MOST_BYTES:
            return max(1, count)
    return min(batch_size, len(waiting))


def wake_after(name: str, seconds: float) -> None:
    """Have the poller look again when the window of this queue or mapping is over: by itself it looks once a second."""
    if name in _alarms:
        return

    def wake() -> None:
        _alarms.discard(name)
        lambda_svc._esm_wake.set()

    _alarms.add(name)
    timer = threading.Timer(seconds, wake)
    timer.daemon = True
    timer.start()


def patch() -> None:
    """Have ministack's poller take its batches from here."""
    sqs._receive_messages_for_esm = receive
