"""What Lambda hands over, and what it gets back: a batch of SQS or Kinesis, or one message by a direct invocation."""

import binascii
import json
from collections.abc import Callable
from typing import Any

from telemetry_handler.batch import Outcome, Stores, process
from telemetry_handler.envelope import Record

# Kept back for the answer, the summary and the metrics.
_RESERVE_SECONDS = 1.0
_WITHOUT_CONTEXT_SECONDS = 30.0


class UnknownEventError(ValueError):
    """The event is none that this function is for: something is wired to it that should not be."""


class NotStoredError(RuntimeError):
    """A message invoked directly could not be made safe. Invoke again: nothing is stored twice."""


def answer(event: Any, context: Any, stores: Stores, report: Callable[[Outcome], None]) -> dict[str, Any]:
    """Process ``event``, report on it, and say what became of it.

    Returns:
        ``{"batchItemFailures": [{"itemIdentifier"}]}`` for a batch: of a queue all that failed, of a stream the first,
        from which on Lambda delivers again ("Configuring partial batch response with Kinesis Data Streams and
        Lambda", AWS Lambda developer guide). For a direct invocation ``{"stored": true, ...}`` or
        ``{"stored": false, "reason": {...}}``.

    Raises:
        UnknownEventError: the event is neither.
        NotStoredError: a direct invocation failed; Lambda repeats it when it was asynchronous.
    """
    if not isinstance(event, dict) or not event:
        kind = "an empty object" if event == {} else f"a {type(event).__name__}"
        raise UnknownEventError(f"expected an SQS batch, a Kinesis batch or a telemetry object, got {kind}")
    if "Records" in event:
        return _batch_answer(event["Records"], context, stores, report)
    record_id = getattr(context, "aws_request_id", "direct")
    sent_at = int(stores.now().timestamp() * 1000)
    # Lambda has parsed it, NaN and all; validation wants the bytes.
    record = Record(record_id, json.dumps(event).encode(), sent_at)
    outcome = process([record], stores, _clock(context))
    report(outcome)
    return _direct_answer(outcome)


def _batch_answer(
    given: Any, context: Any, stores: Stores, report: Callable[[Outcome], None]
) -> dict[str, Any]:
    if not isinstance(given, list) or not given:
        raise UnknownEventError(
            "the event's Records must be a list with at least one SQS message or Kinesis record"
        )
    of_stream = isinstance(given[0], dict) and "kinesis" in given[0]
    if not of_stream:
        outcome = process(_records(given, _message, "an SQS message"), stores, _clock(context))
        failed = sorted(outcome.failed)
    else:
        records = _records(given, _stream_record, "a Kinesis record")
        outcome = process(records, stores, _clock(context), in_order=True)
        outcome.shard = str(given[0].get("eventID", "")).partition(":")[0]
        failed = [each.record_id for each in records if each.record_id in outcome.failed][:1]
    report(outcome)
    return {"batchItemFailures": [{"itemIdentifier": each} for each in failed]}


def _direct_answer(outcome: Outcome) -> dict[str, Any]:
    if outcome.failed:
        what = "; ".join(f"{problem.doing}: {problem.error}" for problem in outcome.problems)
        raise NotStoredError(f"not stored, invoke again ({what})")
    if outcome.refusals:
        return {"stored": False, "reason": outcome.refusals[0].reason.as_dict(), "dead_lettered": True}
    if outcome.stored:
        return {"stored": True, "latest": bool(outcome.moved), "archive_key": outcome.archive_keys[0]}
    return {"stored": True, "latest": bool(outcome.presence)}


def _records(given: list[Any], read: Callable[[Any], Record], what: str) -> list[Record]:
    records = []
    for position, record in enumerate(given):
        try:
            records.append(read(record))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise UnknownEventError(f"Records[{position}] is not {what} ({error!r})") from error
    return records


def _message(record: Any) -> Record:
    body, record_id = record["body"], record["messageId"]
    # surrogatepass: what is not Unicode is for validation to refuse, not for us to die of
    encoded = body.encode("utf-8", "surrogatepass")
    return Record(record_id, encoded, int(record.get("attributes", {}).get("SentTimestamp", 0)))


def _stream_record(record: Any) -> Record:
    found = record["kinesis"]
    arrived = found.get("approximateArrivalTimestamp", 0)
    data = binascii.a2b_base64(found["data"], strict_mode=True)
    return Record(found["sequenceNumber"], data, int(arrived * 1000))


def _clock(context: Any) -> Callable[[], float]:
    remaining = getattr(context, "get_remaining_time_in_millis", None)
    if remaining is None:
        return lambda: _WITHOUT_CONTEXT_SECONDS
    return lambda: remaining() / 1000 - _RESERVE_SECONDS
