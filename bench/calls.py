"""Count the AWS calls and bytes that the deployed handler and the bridge cause, for `scripts/testbed cost` to price.

ministack's event source mapping hands over ten messages whatever it is told, so what it does says nothing of AWS. Here
the handler is invoked with batches of the size that AWS's batching window makes (see `batch_of`), and a proxy
between it and the emulator counts. The bridge gets messages over MQTT; AWS's rule, which it stands in for, sends each
message by itself, so the bridge's calls are shown and not priced. The baseline design is counted as this one: the same
handler, one message each time.
"""

import base64
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from testbed.cost import bill, designs
from testbed.cost.bill import Counted, Counts, Workload
from testbed.cost.designs import DEFAULT, Design
from testbed.deploy.deployment import Deployment
from testbed.drills.faults.parts import Parts
from testbed.drills.faults.proxy import FaultProxy, functions_through, proxy_of, telemetry_function
from testbed.errors import TestbedError
from testbed.pipeline.quiet import until_bridge_is_idle
from testbed.stations import device

# What belongs to this design alone: the baseline design keeps no history.
_NOT_THE_BASELINES = "dynamodb:PutItem"
_BASELINE_MESSAGES = 100
_BRIDGE_MESSAGES, _BRIDGE_SECONDS = 200, 60


def count(deployment: Deployment, workload: Workload, design: Design = DEFAULT) -> Counts:
    """Have the deployed handler do a minute of one poller's work, and then the baseline design's work.

    Args:
        deployment: a local one.
        workload: its stations, interval and window make the batches.
        design: what is deployed: with a stream, the batches are a lane's.

    Raises:
        TestbedError: the handler failed, or cannot reach a proxy on this machine.
    """
    function = telemetry_function(deployment)
    proxy = proxy_of(deployment, "counting-proxy")
    try:
        with functions_through(deployment, proxy.url, [function]):
            client = deployment.client("lambda")
            # Stations of its own for each count: what an earlier one left in the tables would change the calls.
            run = f"cost-{time.time_ns() // 10**6 % 10**8:08}"
            batches = list(_batches(workload, run, batch_of(design, workload)))
            _warm_up(client, function, run)
            # A station's very first message is a call of its own, once in its life: each has one before the count.
            _counted(proxy, client, function, [_event(deployment, _known(batches[0]))], len(batches[0]))
            ours = _counted(
                proxy, client, function, [_event(deployment, batch) for batch in batches], len(batches[0])
            )
            bare = [message for batch in batches for message in batch][:_BASELINE_MESSAGES]
            baseline = _counted(proxy, client, function, [_bare(message) for message in bare], 1)
            for found in (baseline.calls, baseline.bytes_sent, baseline.bytes_received):
                found.pop(_NOT_THE_BASELINES, None)
        return Counts(ours, baseline, _bridge(deployment, proxy, f"{run}-bridge"))
    finally:
        proxy.process.stop()


def _known(batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a batch of the same stations, an hour older."""
    return [
        message
        | {
            "timestamp": (datetime.fromisoformat(message["timestamp"]) - timedelta(hours=1)).isoformat(
                timespec="milliseconds"
            ),
            "message_id": f"{message['message_id']}-known",
        }
        for message in batch
    ]


def _bridge(deployment: Deployment, proxy: FaultProxy, station: str) -> Counted:
    """Count what the bridge calls for some messages of a station, from the first to the one that SQS has last."""
    now = datetime.now(UTC)
    messages = [
        _telemetry(station, 0, turn, now) | {"station_id": station} for turn in range(_BRIDGE_MESSAGES)
    ]
    with Parts(deployment, proxy).bridge_through_proxy():
        until_bridge_is_idle(deployment, _BRIDGE_SECONDS)
        proxy.forget()
        device.publish(
            deployment, station, *(json.dumps(message).encode() for message in messages), enrol=True
        )
        until_bridge_is_idle(deployment, _BRIDGE_SECONDS)
        # Its look at the rules every few seconds is a matter of time, not of messages.
        calls = {name: each for name, each in proxy.counts()["calls"].items() if not name.startswith("iot:")}
        return Counted.from_proxy(len(messages), 0, calls)


def _warm_up(client: Any, function: str, run: str) -> None:
    """Have the function start; a cold start may use up the time of its first call."""
    for _ in range(5):
        message = _telemetry(f"{run}-warm", 0, 0, datetime.now(UTC))
        if "FunctionError" not in client.invoke(FunctionName=function, Payload=json.dumps(message)):
            return


def _counted(proxy: FaultProxy, client: Any, function: str, events: list[Any], each: int) -> Counted:
    proxy.forget()
    for event in events:
        answer = client.invoke(FunctionName=function, Payload=json.dumps(event))
        said = json.load(answer["Payload"])
        if "FunctionError" in answer or said.get("batchItemFailures"):
            raise TestbedError(
                f"The handler failed while its calls were counted: {str(said)[:200]}", "See `make logs`."
            )
    return Counted.from_proxy(len(events) * each, len(events), proxy.counts()["calls"])


def batch_of(design: Design, workload: Workload) -> int:
    """Return how many messages AWS hands to one invocation by the design."""
    if design.ingest == "sqs":
        return round(bill.batch_of(workload))
    found = designs.calls(design, workload)
    return round(found.messages / found.invocations)


def _batches(workload: Workload, run: str, share: int) -> Iterator[list[dict[str, Any]]]:
    """Yield a whole minute of messages; in each window every station of one poller's, or lane's, share speaks once."""
    # A minute that is over: all its messages are of one interval of the history.
    start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=5)
    for turn in range(round(60 / workload.interval)):
        moment = start + timedelta(seconds=turn * workload.interval)
        yield [_telemetry(run, station, turn, moment) for station in range(share)]


def _telemetry(run: str, station: int, turn: int, moment: datetime) -> dict[str, Any]:
    """Return a message as large as the simulator's."""
    return {
        "station_id": f"{run}-{station:04}",
        "message_id": f"{run}-{station:04}-{moment:%H%M%S%f}-{turn}",
        "timestamp": (moment + timedelta(milliseconds=station)).isoformat(timespec="milliseconds"),
        "sequence": turn + 1,
        "battery_available": (station + turn) % 22,
        "slots": 21,
        "charging": (station * 7) % 9,
        "swaps_total": 1000 + station * 3 + turn,
        "queue_length": (station + turn) % 3,
        "power_kw": round(40 + station * 1.37 % 400, 1),
        "temperature_c": round(18 + station * 0.61 % 15, 1),
        "status": "OK",
        "firmware": "2.4.1",
    }


def _event(deployment: Deployment, batch: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the batch as an event source mapping hands it over, in the rule's envelope."""
    received = int(datetime.now(UTC).timestamp() * 1000)
    bodies = [_body(deployment, message, received) for message in batch]
    if deployment.outputs.telemetry_stream_name:
        return {"Records": [_stream_record(body, received, number) for number, body in enumerate(bodies)]}
    return {
        "Records": [_record(message, body, received) for message, body in zip(batch, bodies, strict=True)]
    }


def _body(deployment: Deployment, message: dict[str, Any], received: int) -> str:
    body = {
        "payload_base64": base64.b64encode(json.dumps(message).encode()).decode(),
        "client_id": message["station_id"],
        "received_at": received,
        "topic": deployment.telemetry_topic(message["station_id"]),
    }
    return json.dumps(body)


def _stream_record(body: str, received: int, number: int) -> dict[str, Any]:
    """Return a record as Lambda has it of a stream ("Using Lambda to process records from Kinesis Data Streams")."""
    sequence = f"{received}{number:06}"
    return {
        "kinesis": {
            "sequenceNumber": sequence,
            "data": base64.b64encode(body.encode()).decode(),
            "approximateArrivalTimestamp": received / 1000,
        },
        "eventSource": "aws:kinesis",
        "eventID": f"shardId-000000000000:{sequence}",
    }


def _record(message: dict[str, Any], body: str, received: int) -> dict[str, Any]:
    return {
        "messageId": message["message_id"],
        "receiptHandle": "counted",
        "body": body,
        "attributes": {"SentTimestamp": str(received)},
        "eventSource": "aws:sqs",
    }


def _bare(message: dict[str, Any]) -> dict[str, Any]:
    """Return what the baseline design's rule hands over: the message itself, newer, so that it is written."""
    later = datetime.fromisoformat(message["timestamp"]) + timedelta(minutes=3)
    return message | {
        "timestamp": later.isoformat(timespec="milliseconds"),
        "message_id": f"{message['message_id']}-bare",
    }
