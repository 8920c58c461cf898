"""Sends dead letters back through the pipeline: those for which a second try makes sense."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from testbed.deploy.deployment import Deployment
from testbed.pipeline import dead_letters
from testbed.pipeline.dead_letters import DeadLetter

# Nothing is wrong with these messages themselves: an outage kept them out, or a clock that was ahead.
REPAIRABLE = frozenset({"max_receives_exceeded", "rule_action_failed", "timestamp_in_future"})

_BATCH = 10


@dataclass(frozen=True)
class RedriveReport:
    """Dead letters by reason, and how many went back."""

    found: dict[str, int]
    sent_back: int


def redrive(
    deployment: Deployment, reasons: Collection[str] = REPAIRABLE, *, dry_run: bool = False
) -> RedriveReport:
    """Send every dead letter with one of ``reasons`` to the telemetry queue, and delete it here.

    It is sent before it is deleted, so a redrive that is cut off loses nothing; a message that is sent twice is
    archived under the same ``message_id`` and leaves the table as it is.
    """
    sqs, outputs = deployment.client("sqs"), deployment.outputs
    source, target = outputs.dead_letter_queue_url, outputs.telemetry_queue_url
    letters = dead_letters.read(sqs, source, keep_hidden=not dry_run)
    wanted = [letter for letter in letters if letter.reason in reasons]
    if not dry_run:
        dead_letters.release(sqs, source, [letter for letter in letters if letter.reason not in reasons])
        for start in range(0, len(wanted), _BATCH):
            _move(sqs, source, target, wanted[start : start + _BATCH])
    return RedriveReport(dict(Counter(letter.reason for letter in letters)), 0 if dry_run else len(wanted))


def _move(sqs: Any, source: str, target: str, letters: list[DeadLetter]) -> None:
    # One by one: ten dead letters may be over the size of a request. The handler reads each as an envelope.
    for letter in letters:
        sqs.send_message(QueueUrl=target, MessageBody=letter.body)
        sqs.delete_message(QueueUrl=source, ReceiptHandle=letter.receipt_handle)
