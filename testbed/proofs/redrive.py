"""Send dead letters back through the pipeline: those for which a second try makes sense."""

import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from testbed.deploy.deployment import Deployment
from testbed.pipeline import stream
from testbed.pipeline.dead_letters import DeadLetter, Pass
from testbed.say import Say

# Nothing is wrong with these messages themselves: an outage kept them out, or a clock that was ahead.
REPAIRABLE = frozenset(
    {"max_receives_exceeded", "rule_action_failed", "stream_batch_failed", "timestamp_in_future"}
)

_WORKERS = 4
_PROGRESS_SECONDS = 5.0
# A batch may carry 1 MiB since 2025-08; emulators hold the older limit. (SQS developer guide, "Message quotas")
_BATCH_BYTES = 256 * 1024


@dataclass
class RedriveReport:
    """Dead letters by reason, and how many went back."""

    found: Counter[str] = field(default_factory=Counter)
    sent_back: int = 0


def redrive(
    deployment: Deployment,
    reasons: Collection[str] = REPAIRABLE,
    *,
    dry_run: bool = False,
    say: Say = lambda _: None,
) -> RedriveReport:
    """Send every dead letter with one of ``reasons`` to the telemetry queue, and delete it here.

    One that stands for records of the stream has them sent in its place, as long as the stream keeps them.

    ``StartMessageMoveTask`` moves all of a queue, the malformed with the rest, so it does not serve.

    Raises:
        TestbedError: as `testbed.pipeline.dead_letters.Pass.page`.
    """
    outputs = deployment.outputs
    return move(
        deployment.client("sqs", max_pool_connections=_WORKERS),
        outputs.dead_letter_queue_url,
        outputs.telemetry_queue_url,
        () if dry_run else reasons,
        say,
        deployment.client("kinesis") if outputs.telemetry_stream_name else None,
    )


def move(
    sqs: Any, source: str, target: str, reasons: Collection[str], say: Say, kinesis: Any = None
) -> RedriveReport:
    """Move letters with one of ``reasons`` page by page, in as little memory for a million as for ten.

    A page is sent before it is deleted, so a move that is cut off loses nothing; a message that is sent twice is
    archived under the same ``message_id`` and leaves the table as it is.
    """
    report, lock, failed = RedriveReport(), threading.Lock(), threading.Event()

    def work() -> None:
        while not failed.is_set() and (page := through.page()):
            wanted = [letter for letter in page if letter.reason in reasons]
            plain = [letter for letter in wanted if not letter.given_up]
            sent = [letter for batch in _batches(plain) for letter in _move(sqs, source, target, batch)]
            sent += [
                letter
                for letter in wanted
                if letter.given_up and kinesis and _resend(kinesis, sqs, source, target, letter, say)
            ]
            gone = {letter.receipt_handle for letter in sent}
            for letter in page:
                if letter.receipt_handle not in gone:
                    through.keep(letter)
            with lock:
                report.found.update(letter.reason for letter in page)
                report.sent_back += len(sent)

    with closing(Pass(sqs, source, moves=True)) as through, ThreadPoolExecutor(_WORKERS) as pool:
        working = [pool.submit(work) for _ in range(_WORKERS)]
        try:
            shown = time.monotonic()
            while not all(worker.done() for worker in working):
                time.sleep(0.05)
                if time.monotonic() - shown > _PROGRESS_SECONDS:
                    shown = time.monotonic()
                    say(
                        f"{report.found.total():,} of about {through.depth:,} read, {report.sent_back:,} sent back"
                    )
                if any(worker.done() and worker.exception() for worker in working):
                    break
        finally:
            failed.set()
        for worker in working:
            worker.result()
    return report


def _batches(letters: list[DeadLetter]) -> Iterator[list[DeadLetter]]:
    """Cut a page into what one call may carry."""
    batch: list[DeadLetter] = []
    size = 0
    for letter in letters:
        weight = len(letter.body.encode())
        if batch and size + weight > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(letter)
        size += weight
    if batch:
        yield batch


def _resend(kinesis: Any, sqs: Any, source: str, target: str, letter: DeadLetter, say: Say) -> bool:
    """Send the records that a letter stands for, then delete it; return False where not all of them are to be had."""
    assert letter.given_up is not None  # noqa: S101  # chosen by it
    bodies = stream.bodies(kinesis, letter.given_up)
    if len(bodies) < letter.given_up.records:
        say(
            f"{letter.given_up.records - len(bodies)} of {letter.given_up.records} records of a letter are no longer "
            f"in the stream: it stays ({letter.given_up.shard}, from {letter.given_up.first})"
        )
        return False
    for body in bodies:
        sqs.send_message(QueueUrl=target, MessageBody=body.decode("utf-8", "replace"))
    sqs.delete_message(QueueUrl=source, ReceiptHandle=letter.receipt_handle)
    return True


def _move(sqs: Any, source: str, target: str, letters: list[DeadLetter]) -> list[DeadLetter]:
    """Send, then delete; return the letters that the target took. The handler reads each as an envelope."""
    answer = sqs.send_message_batch(
        QueueUrl=target,
        Entries=[{"Id": str(index), "MessageBody": letter.body} for index, letter in enumerate(letters)],
    )
    taken = [letters[int(entry["Id"])] for entry in answer.get("Successful", [])]
    if taken:
        sqs.delete_message_batch(
            QueueUrl=source,
            Entries=[
                {"Id": str(index), "ReceiptHandle": letter.receipt_handle}
                for index, letter in enumerate(taken)
            ],
        )
    return taken
