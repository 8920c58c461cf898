"""List every fault that `make drills WHAT=faults` injects: what it does, and what must survive it."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from testbed.drills.faults.parts import Parts
from testbed.drills.faults.proxy import FaultProxy, Order
from testbed.drills.faults.stations import Misbehaving

_ARCHIVE = ("s3:PutObject",)
# The stations table, several stations or one, and the history.
_TABLE = ("dynamodb:BatchExecuteStatement", "dynamodb:UpdateItem", "dynamodb:PutItem")
# Where the caller is killed or frozen: the function's write alone, as the bridge puts answers to commands (PutItem),
# and a bridge that stands still does so until the drill ends.
_LATEST_STATE = ("dynamodb:BatchExecuteStatement", "dynamodb:UpdateItem")
_QUEUE = ("sqs:SendMessageBatch",)
_STREAM = ("kinesis:PutRecords",)


@dataclass(frozen=True)
class Fault:
    """A fault; ``inject`` does it once, or orders it for the next calls. ``by_proxy``: the proxy counts its hits.

    ``at_the_end``: once more when all is quiet, so that every run has it, and nothing that comes later hides it.
    """

    name: str
    inject: Callable[[], object]
    by_proxy: bool = False
    at_the_end: bool = False


def catalogue(
    parts: Parts,
    proxy: FaultProxy,
    stations: Misbehaving,
    rng: random.Random,
    *,
    restarts_cloud: bool,
    has_stream: bool,
    signals_callers: bool,
) -> list[Fault]:
    """Return the faults of a run; ``rng`` chooses how many calls each one hits.

    ``signals_callers``: functions are processes of this machine, which the proxy can kill at an exact call.
    """

    def calls(name: str, action: str, operations: tuple[str, ...], most: int, **details: object) -> Fault:
        def inject() -> None:
            proxy.order(Order(name, action, operations, rng.randint(1, most), **details))  # type: ignore[arg-type]

        return Fault(name, inject, by_proxy=True)

    throttled, unavailable = "ProvisionedThroughputExceededException", "InternalServerError"
    faults = [
        Fault("bridge killed", parts.kill_bridge),
        Fault("broker killed", parts.kill_broker),
        Fault("data plane killed", parts.kill_data_plane),
        Fault(f"broker frozen {parts.frozen_seconds:g} s", parts.freeze_broker),
        Fault(f"AWS APIs frozen {parts.frozen_seconds:g} s", parts.freeze_cloud),
        Fault("Lambda workers killed", parts.kill_lambda_workers),
        Fault("poison records", stations.send_poison),
        Fault("station clock skewed", stations.send_with_wrong_clock),
        Fault("station reconnects and replays", stations.replay),
        Fault("station sends its past last", stations.send_past_last, at_the_end=True),
        # Up to 40: more than the SDK's three attempts, so that whole batches fail.
        calls("DynamoDB throttles", "error", _TABLE, 40, code=throttled, status=400),
        calls("DynamoDB answers 500", "error", _TABLE, 40, code=unavailable, status=500),
        calls("DynamoDB answer lost", "lost", _TABLE, 10, after=True),
        calls("S3 answers 503", "error", _ARCHIVE, 12, code="SlowDown", status=503),
        calls("S3 answers 500", "error", _ARCHIVE, 12, code="InternalError", status=500),
        calls("S3 slow (6 s)", "slow", _ARCHIVE, 3, seconds=6.0),
        calls("S3 answer lost", "lost", _ARCHIVE, 5, after=True),
        calls("SQS answers 503", "error", _QUEUE, 12, code="ServiceUnavailable", status=503),
        calls("SQS duplicates", "duplicate", _QUEUE, 10),
        calls("SQS reorders (held 3 s)", "slow", _QUEUE, 4, seconds=3.0),
    ]
    if signals_callers:
        faults += _at_a_call(calls)
    if has_stream:
        faults += [
            calls("Kinesis throttles", "error", _STREAM, 12, code=throttled, status=400),
            calls("Kinesis answers 500", "error", _STREAM, 12, code="InternalFailure", status=500),
            calls("Kinesis answer lost", "lost", _STREAM, 5, after=True),
            calls("Kinesis duplicates", "duplicate", _STREAM, 10),
        ]
    if restarts_cloud:
        faults.append(Fault("AWS APIs restarted", parts.restart_cloud))
    return faults


def _at_a_call(calls: Callable[..., Fault]) -> list[Fault]:
    return [
        calls("Lambda dies before the S3 write", "kill", _ARCHIVE, 1),
        calls("Lambda dies between S3 and DynamoDB write", "kill", _LATEST_STATE, 1),
        calls("Lambda dies after the DynamoDB write", "kill", _LATEST_STATE, 1, after=True),
        calls("Lambda hangs in mid-batch until its time-out", "freeze", _LATEST_STATE, 1, after=True),
    ]
