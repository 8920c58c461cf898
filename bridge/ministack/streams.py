"""Read Kinesis streams as AWS's event source mappings do.

ministack 1.5.33 hands over a shard's batch at once and on the thread that polls every queue. It takes any answer
without an error for "all is done", and tries a batch that failed for ever and whole. It counts its place in a list
that gets shorter at its front when records expire; and it makes that list anew each time it looks, so that a record
which another thread puts in the meantime is lost. On AWS ("How Lambda processes records from stream and queue-based
event sources" and "Using Lambda to process records from Amazon Kinesis Data Streams", AWS Lambda developer guide):

- a batch goes when it is full, when the window since its first record is over, or at 6 MB;
- ``ReportBatchItemFailures``: the lowest sequence number in the answer is where the next delivery begins; an identifier
  that is empty or none of the batch's is a failure of all of it;
- ``BisectBatchOnFunctionError`` halves a batch that failed as a whole, and that costs no attempt;
- ``MaximumRetryAttempts`` and ``MaximumRecordAgeInSeconds``, both without a limit at -1, end the attempts; what is
  given up goes to the on-failure destination as a range of sequence numbers, without its payload;
- ``ParallelizationFactor`` is how many batches of a shard are in work, each partition key in one of them.

Here the batches of a shard that are in work at once begin and end together; a place is kept when all are done. A
throttled call is repeated and is no attempt.
"""

import base64
import json
import threading
import time
import zlib
from collections import deque
from datetime import UTC, datetime
from typing import Any, NamedTuple

import asynchronous
import batches
from ministack.core.arn import ArnParseError, parse_arn
from ministack.core.concurrency import spawn_background
from ministack.core.responses import get_region, new_uuid
from ministack.services import kinesis, lambda_svc

Record = dict[str, Any]

_MOST_BYTES = 6 * 2**20
# What an event adds to a record's data: ids, times, ARNs.
_ENVELOPE_BYTES = 1024
# Between two attempts; AWS does not say how long it waits.
_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
# A place before the first record.
_BEGINNING = "0"

# What a call may come to, beside a number of records that are done.
_FAILED, _THROTTLED = None, -1

_of_queues = lambda_svc._sqs_esm_concurrency
# (mapping, shard) whose batches are in work, and how many such there are of a function: only the poller adds to them.
_busy: set[tuple[str, str]] = set()
_lanes: dict[str, int] = {}
_lock = threading.Lock()


class _Batch(NamedTuple):
    """Records that are delivered together; ``attempts`` failed before."""

    records: list[Record]
    attempts: int = 0


class _Shard(NamedTuple):
    """A mapping's place in a shard of its stream."""

    mapping: dict[str, Any]
    name: str
    places: dict[str, Any]

    def is_wanted(self) -> bool:
        """Return whether the mapping is still there and enabled."""
        found = lambda_svc._esms.get(self.mapping["UUID"])
        return found is not None and bool(found.get("Enabled", True))


def poll() -> bool:
    """Start work on each shard that has a batch; return whether one was started."""
    started = False
    for account, region, mapping in lambda_svc._iter_all_esms():
        account_token = lambda_svc._request_account_id.set(account)
        region_token = lambda_svc._request_region.set(region)
        try:
            if mapping.get("Enabled", True) and ":kinesis:" in mapping.get("EventSourceArn", ""):
                started = _poll_mapping(mapping) or started
        finally:
            lambda_svc._request_account_id.reset(account_token)
            lambda_svc._request_region.reset(region_token)
    return started


def _poll_mapping(mapping: dict[str, Any]) -> bool:
    stream = _stream(mapping)
    function, config = lambda_svc._get_func_record_for_qualifier(
        mapping["FunctionName"], mapping.get("Qualifier")
    )
    if stream is None or function is None:
        return False
    kinesis._expire_records(stream)
    places = _places(mapping, stream)
    reserved = lambda_svc._reserved_concurrency(function, config)
    factor = int(mapping.get("ParallelizationFactor") or 1)
    # Never more than may run: they begin together.
    factor = factor if reserved is None else min(factor, max(1, reserved))
    started = False
    for name, shard in stream["shards"].items():
        key = (mapping["UUID"], name)
        if key in _busy or not (
            records := _ready(mapping, shard, places.setdefault(name, _BEGINNING), factor)
        ):
            continue
        lanes = _split(records, factor)
        function_name = mapping["FunctionName"]
        with _lock:
            in_work = _lanes.get(function_name, 0)
            if reserved is not None and in_work + len(lanes) + _queue_batches(function_name) > max(
                1, reserved
            ):
                continue
            _busy.add(key)
            _lanes[function_name] = in_work + len(lanes)
        spawn_background(_work, _Shard(mapping, name, places), lanes, thread_name="ministack-stream")
        started = True
    return started


def _stream(mapping: dict[str, Any]) -> dict[str, Any] | None:
    """Return the stream that the mapping reads; one of another account, or region, is not read here."""
    arn = mapping["EventSourceArn"]
    try:
        spec = parse_arn(arn)
    except ArnParseError:
        return None
    name = lambda_svc._kinesis_stream_name_from_arn_spec(spec)
    found = kinesis._streams.get(name) if name and spec.region == get_region() else None
    if not found or found["StreamARN"] != arn or found["StreamStatus"] != "ACTIVE":
        return None
    stream: dict[str, Any] = found
    return stream


def _places(mapping: dict[str, Any], stream: dict[str, Any]) -> dict[str, Any]:
    """Return the sequence number of each shard's last record that is done.

    A shard that comes later is read from its beginning, as on AWS.
    """
    known = lambda_svc._kinesis_positions.get(mapping["UUID"])
    if known is None:
        known = {}
        if mapping.get("StartingPosition") == "LATEST":
            known = {
                name: shard["records"][-1]["SequenceNumber"] if shard["records"] else _BEGINNING
                for name, shard in stream["shards"].items()
            }
        lambda_svc._kinesis_positions[mapping["UUID"]] = known
    places: dict[str, Any] = known
    return places


def expire(stream: dict[str, Any]) -> None:
    """Take what is older than the stream keeps from the front of each shard, in one step: others put at its end."""
    oldest = time.time() - stream["RetentionPeriodHours"] * 3600
    for shard in stream["shards"].values():
        records = shard["records"]
        old = 0
        while old < len(records) and records[old]["ApproximateArrivalTimestamp"] < oldest:
            old += 1
        del records[:old]


def _ready(mapping: dict[str, Any], shard: dict[str, Any], place: str, factor: int) -> list[Record]:
    """Return the records behind ``place`` that go now; none while a batch may still fill."""
    batch_size = int(mapping.get("BatchSize") or 100)
    after = _after(shard["records"], place)
    waiting = shard["records"][after : after + factor * batch_size]
    if not waiting:
        return []
    size = 0
    for count, record in enumerate(waiting):
        size += len(record["Data"]) + _ENVELOPE_BYTES
        if size > _MOST_BYTES:
            return list(waiting[: max(1, count)])
    left = (
        waiting[0]["ApproximateArrivalTimestamp"]
        + (mapping.get("MaximumBatchingWindowInSeconds") or 0)
        - time.time()
    )
    if len(waiting) < batch_size and left > 0:
        batches.wake_after(mapping["UUID"], left)
        return []
    return list(waiting)


def _after(records: list[Record], place: str) -> int:
    """Return the index of the first record behind ``place``; there are few behind it, and all are in order."""
    last = int(place)
    for index in range(len(records), 0, -1):
        if int(records[index - 1]["SequenceNumber"]) <= last:
            return index
    return 0


def _split(records: list[Record], factor: int) -> list[list[Record]]:
    """Give each partition key its lane."""
    lanes: list[list[Record]] = [[] for _ in range(factor)]
    for record in records:
        lanes[zlib.crc32(record["PartitionKey"].encode()) % factor].append(record)
    return [lane for lane in lanes if lane]


def _queue_batches(function_name: str) -> int:
    """Return how many batches of queues this function works on."""
    return sum(
        lambda_svc._esm_inflight.get(mapping["UUID"], 0)
        for _, _, mapping in lambda_svc._iter_all_esms()
        if mapping["FunctionName"] == function_name and ":sqs:" in mapping.get("EventSourceArn", "")
    )


def _beside_streams(
    mapping: dict[str, Any], function: Any, config: Any, queue: dict[str, Any] | None = None
) -> int:
    """Return how many batches of a queue may be in work: the function's executions are for its streams, too."""
    limit: int = _of_queues(mapping, function, config, queue)
    reserved = lambda_svc._reserved_concurrency(function, config)
    return limit if reserved is None else min(limit, reserved - _lanes.get(mapping["FunctionName"], 0))


def _work(shard: _Shard, lanes: list[list[Record]]) -> None:
    """Deliver the lanes beside each other; when all are done, keep the place behind them."""
    done: list[bool] = []
    threads = [
        spawn_background(
            lambda lane=lane: done.append(_deliver(shard, lane)), thread_name="ministack-stream-lane"
        )
        for lane in lanes[1:]
    ]
    try:
        done.append(_deliver(shard, lanes[0], keep=len(lanes) == 1))
        for thread in threads:
            thread.join()
        if len(done) == len(lanes) and all(done):
            shard.places[shard.name] = max((lane[-1]["SequenceNumber"] for lane in lanes), key=int)
    finally:
        with _lock:
            _busy.discard((shard.mapping["UUID"], shard.name))
            _lanes[shard.mapping["FunctionName"]] -= len(lanes)
        lambda_svc._esm_wake.set()


def _deliver(shard: _Shard, records: list[Record], *, keep: bool = False) -> bool:
    """Deliver until all is done or given up; return False where the mapping is gone.

    With ``keep`` the place is kept as it goes on: one lane has all of its shard's records.
    """
    waiting = deque([_Batch(records)])
    failures = 0
    while waiting:
        if not shard.is_wanted():
            return False
        batch = waiting.popleft()
        kept = _young(shard, batch)
        if not kept:
            continue
        batch = _Batch(kept, batch.attempts)
        safe = _invoke(shard, batch.records)
        if keep and safe and safe > 0:
            shard.places[shard.name] = batch.records[safe - 1]["SequenceNumber"]
        rest = batch.records[max(0, safe or 0) :]
        if safe == _THROTTLED:
            waiting.appendleft(batch)
        elif rest:
            waiting.extendleft(reversed(_again(shard, batch, rest, whole=safe is _FAILED)))
        failures = failures + 1 if rest else 0
        if rest:
            time.sleep(min(_PAUSE * 2 ** min(failures - 1, 16), _LONGEST_PAUSE))
    return True


def _young(shard: _Shard, batch: _Batch) -> list[Record]:
    """Return the records that are not too old, and give up the others."""
    most = shard.mapping.get("MaximumRecordAgeInSeconds")
    if most is None or int(most) < 0:
        return batch.records
    since = time.time() - int(most)
    old = [each for each in batch.records if each["ApproximateArrivalTimestamp"] < since]
    if old:
        _give_up(shard, _Batch(old, batch.attempts), "RecordAgeExceeded")
    return batch.records[len(old) :]


def _again(shard: _Shard, batch: _Batch, rest: list[Record], *, whole: bool) -> list[_Batch]:
    """Return what is delivered next of a batch whose ``rest`` is not done; nothing where it is given up.

    ``whole``: it failed without saying where.
    """
    most = shard.mapping.get("MaximumRetryAttempts")
    attempts = batch.attempts + 1
    if shard.mapping.get("BisectBatchOnFunctionError") and len(rest) > 1 and whole:
        middle = len(rest) // 2
        return [_Batch(rest[:middle], batch.attempts), _Batch(rest[middle:], batch.attempts)]
    if most is not None and 0 <= int(most) < attempts:
        _give_up(shard, _Batch(rest, attempts), "RetryAttemptsExhausted")
        return []
    return [_Batch(rest, attempts)]


def _invoke(shard: _Shard, records: list[Record]) -> int | None:
    """Call the function; return how many records, from the first on, are done, or `_FAILED` or `_THROTTLED`."""
    mapping = shard.mapping
    # Anew for each call: it may have been mended in the meantime.
    function, _ = lambda_svc._get_func_record_for_qualifier(mapping["FunctionName"], mapping.get("Qualifier"))
    if function is None:
        return _THROTTLED
    events = [_event(mapping, shard.name, record, function) for record in records]
    wanted = lambda_svc._apply_filter_criteria(events, mapping)
    if not wanted:
        return len(records)
    result = lambda_svc._execute_function(function, {"Records": wanted})
    if result.get("throttle"):
        return _THROTTLED
    safe = _FAILED if result.get("error") else _safe(mapping, records, result.get("body"))
    mapping["LastProcessingResult"] = "OK" if safe == len(records) else "PROBLEM: Function call failed"
    if safe != len(records):
        lambda_svc.logger.warning(
            "%s: %s of %d records of %s are done: %s",
            mapping["FunctionName"],
            safe or 0,
            len(records),
            shard.name,
            str(result.get("body"))[:500],
        )
    return safe


def _safe(mapping: dict[str, Any], records: list[Record], body: Any) -> int | None:
    """Return how many records are done by what the function answered, or `_FAILED` where it is no answer."""
    if "ReportBatchItemFailures" not in (mapping.get("FunctionResponseTypes") or []):
        return len(records)
    try:
        answer = json.loads(body) if isinstance(body, (str, bytes)) else body
        named = {str(each["itemIdentifier"]) for each in (answer or {}).get("batchItemFailures") or []}
    except (ValueError, KeyError, TypeError, AttributeError):
        return _FAILED
    places = {record["SequenceNumber"]: index for index, record in enumerate(records)}
    if named - places.keys():
        return _FAILED
    return min((places[each] for each in named), default=len(records))


def _event(mapping: dict[str, Any], shard: str, record: Record, function: dict[str, Any]) -> dict[str, Any]:
    sequence, config = record["SequenceNumber"], function.get("config") or function
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": record["PartitionKey"],
            "sequenceNumber": sequence,
            "data": _data(record["Data"]),
            "approximateArrivalTimestamp": record["ApproximateArrivalTimestamp"],
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{shard}:{sequence}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": config.get("Role", ""),
        "awsRegion": get_region(),
        "eventSourceARN": mapping["EventSourceArn"],
    }


def _data(data: Any) -> str:
    return base64.b64encode(data).decode() if isinstance(data, bytes) else str(data)


def _give_up(shard: _Shard, batch: _Batch, condition: str) -> None:
    """Tell the on-failure destination which records are given up.

    "Retain discarded batch records ... in Lambda" (AWS Lambda developer guide) has the document; without a destination
    the records are gone.
    """
    first, last = batch.records[0], batch.records[-1]
    document = {
        "requestContext": {
            "requestId": new_uuid(),
            "functionArn": shard.mapping["FunctionArn"],
            "condition": condition,
            "approximateInvokeCount": batch.attempts,
        },
        "responseContext": {
            "statusCode": 200,
            "executedVersion": "$LATEST",
            "functionError": "Unhandled",
        },
        "version": "1.0",
        "timestamp": _text(time.time()),
        "KinesisBatchInfo": {
            "shardId": shard.name,
            "startSequenceNumber": first["SequenceNumber"],
            "endSequenceNumber": last["SequenceNumber"],
            "approximateArrivalOfFirstRecord": _text(first["ApproximateArrivalTimestamp"]),
            "approximateArrivalOfLastRecord": _text(last["ApproximateArrivalTimestamp"]),
            "batchSize": len(batch.records),
            "streamArn": shard.mapping["EventSourceArn"],
        },
    }
    target = ((shard.mapping.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination")
    if not (target and asynchronous.send(target, json.dumps(document), {})):
        lambda_svc.logger.error(
            "%s lost %d records of %s (%s): it has no on-failure destination",
            shard.mapping["FunctionName"],
            len(batch.records),
            shard.name,
            condition,
        )


def _text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def patch() -> None:
    """Have ministack's poller take its streams' batches from here."""
    kinesis._expire_records = expire
    lambda_svc._poll_kinesis = poll
    lambda_svc._sqs_esm_concurrency = _beside_streams
