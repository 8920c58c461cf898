"""Telemetry, envelopes and SQS records as the handler meets them."""

import base64
import itertools
import json
from typing import Any

NOW_MS = 1_763_900_000_000  # 2025-11-23T12:13:20Z
_ids = itertools.count(1)


def telemetry(station: str = "station-01", **fields: Any) -> dict[str, Any]:
    """Make a good telemetry object with every field of the contract; a field given as ``...`` is left out."""
    document = {
        "station_id": station,
        "battery_available": 12,
        "timestamp": "2025-11-23T12:13:19.500Z",
        "message_id": f"{station}-run-7",
        "sequence": 7,
        "slots": 21,
        "charging": 4,
        "swaps_total": 321,
        "queue_length": 2,
        "power_kw": 187.5,
        "grid_kw": 1000.0,
        "latitude": 52.52,
        "longitude": 13.4,
        "temperature_c": 25.3,
        "status": "OPERATIONAL",
        "firmware": "1.4.2",
        **fields,
    }
    return {name: value for name, value in document.items() if value is not ...}


def payload(station: str = "station-01", **fields: Any) -> bytes:
    """Write ``telemetry`` as a station would publish it."""
    return json.dumps(telemetry(station, **fields)).encode()


def envelope(content: bytes, station: str = "station-01", received_at: int = NOW_MS) -> str:
    """Put the rule's envelope around ``content``."""
    return json.dumps(
        {
            "payload_base64": base64.b64encode(content).decode(),
            "topic": f"ev-swap/stations/{station}/telemetry",
            "client_id": station,
            "received_at": received_at,
        }
    )


def presence(station: str, event: str, *, at: int = NOW_MS, version: int = 0, reason: str = "") -> str:
    """Make AWS IoT's lifecycle event; ``reason``: of a disconnect."""
    return json.dumps(
        {
            "clientId": station,
            "timestamp": at,
            "eventType": event,
            "sessionIdentifier": "00000000-0000-0000-0000-000000000000",
            "principalIdentifier": "0" * 64,
            "versionNumber": version,
        }
        | ({"disconnectReason": reason} if reason else {})
    )


def sqs_record(body: str, message_id: str | None = None) -> dict[str, Any]:
    """Wrap ``body`` as Lambda's event source mapping hands it over."""
    return {
        "messageId": message_id or f"message-{next(_ids):06}",
        "receiptHandle": "handle",
        "body": body,
        "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": str(NOW_MS)},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "awsRegion": "eu-central-1",
    }


def stream_event(*bodies: str) -> dict[str, Any]:
    """Make a Kinesis batch of ``bodies``, with sequence numbers 1, 2, ... as text.

    The form of "Using Lambda to process records from Amazon Kinesis Data Streams" (AWS Lambda developer guide).
    """
    return {"Records": [_stream_record(body, str(number)) for number, body in enumerate(bodies, 1)]}


def _stream_record(body: str, sequence: str) -> dict[str, Any]:
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": "station-01",
            "sequenceNumber": sequence,
            "data": base64.b64encode(body.encode()).decode(),
            "approximateArrivalTimestamp": 1545084650.987,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"shardId-000000000006:{sequence}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": "arn:aws:iam::123456789012:role/lambda-role",
        "awsRegion": "us-east-2",
        "eventSourceARN": "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream",
    }


def sqs_event(*bodies: str) -> dict[str, Any]:
    """Make a batch of ``bodies``."""
    return {"Records": [sqs_record(body) for body in bodies]}
