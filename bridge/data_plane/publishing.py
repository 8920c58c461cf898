"""`Publish` of ``iot-data``: a message by HTTP reaches subscribers and rules as one by MQTT does."""

import base64
import binascii
import json
import re
import uuid
from collections.abc import Mapping
from typing import Any

from bridge.data_plane.errors import ServiceError
from bridge.data_plane.session import DataPlaneSession, Outgoing
from bridge.topics import BASIC_INGEST

# "AWS IoT Core endpoints and quotas": message broker limits.
_MOST_PAYLOAD_BYTES = 128 * 1024
_MOST_TOPIC_BYTES = 256
_MOST_SLASHES = 7

# "Reserved topics": requests to services that HTTP clients have operations for are MQTT's alone.
_RESERVED = re.compile(r"\$aws/things/[^/]+/shadow/(?:name/[^/]+/)?(?:get|update|delete)")


async def publish(session: DataPlaneSession, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Publish a message; when this returns, the broker has it.

    Raises:
        ServiceError: the topic, the payload or a property is none that AWS takes.
        UnavailableError: the broker does not answer.
    """
    topic, payload = parameters["topic"], parameters.get("payload", b"")
    check_topic(topic)
    if parameters.get("qos", 0) not in (0, 1):
        raise ServiceError("InvalidRequestException", "Invalid QoS: use 0 or 1")
    if len(payload) > _MOST_PAYLOAD_BYTES:
        raise ServiceError("RequestEntityTooLargeException", "The payload is larger than 128 KiB")
    # At QoS 1 whatever was asked for: the answer 200 means that the message is on disk.
    await session.publish(Outgoing(topic, payload, parameters.get("retain", False), _properties(parameters)))
    # The service's model has no answer, and AWS sends this one.
    return {"message": "OK", "traceId": str(uuid.uuid4())}


def check_topic(topic: str) -> None:
    """Refuse a topic that nobody can publish to.

    Raises:
        ServiceError: it has wildcards, is too long, or is reserved.
    """
    fault = None
    slashes = topic.count("/")
    if topic.startswith(BASIC_INGEST):
        slashes -= 3  # "Basic Ingest": "$aws/rules/<rule>/" does not count
    if "+" in topic or "#" in topic or "\0" in topic:
        fault = "a topic cannot have wildcards or NUL in it"
    elif len(topic.encode()) > _MOST_TOPIC_BYTES and not topic.startswith(BASIC_INGEST):
        fault = "a topic has at most 256 bytes"
    elif slashes > _MOST_SLASHES:
        fault = "a topic has at most 7 slashes"
    elif topic.startswith("$") and not topic.startswith(BASIC_INGEST) and not _RESERVED.fullmatch(topic):
        fault = "the topic is reserved"
    if fault:
        raise ServiceError("InvalidRequestException", f"Invalid topic '{topic}': {fault}")


def _properties(parameters: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "contentType" in parameters:
        found["ContentType"] = parameters["contentType"]
    if "responseTopic" in parameters:
        found["ResponseTopic"] = parameters["responseTopic"]
    if "messageExpiry" in parameters:
        found["MessageExpiryInterval"] = parameters["messageExpiry"]
    if "correlationData" in parameters:
        try:
            found["CorrelationData"] = base64.b64decode(parameters["correlationData"], validate=True)
        except binascii.Error as error:
            raise ServiceError("InvalidRequestException", "correlationData is not base64") from error
    if "payloadFormatIndicator" in parameters:
        known = {"UNSPECIFIED_BYTES": 0, "UTF8_DATA": 1}
        if parameters["payloadFormatIndicator"] not in known:
            raise ServiceError(
                "InvalidRequestException", f"payloadFormatIndicator is none of {', '.join(known)}"
            )
        found["PayloadFormatIndicator"] = known[parameters["payloadFormatIndicator"]]
    if "userProperties" in parameters:
        found["UserProperty"] = _user_properties(parameters["userProperties"])
    return found


def _user_properties(text: str) -> list[tuple[str, str]]:
    """Read a JSON array of objects with one member each."""
    try:
        listed = json.loads(text)
        if isinstance(listed, str):  # boto3 takes text, and makes JSON of it once more
            listed = json.loads(listed)
        return [(str(name), str(value)) for one in listed for name, value in one.items()]
    except (ValueError, TypeError, AttributeError) as error:
        fault = "userProperties is not a JSON array of objects of strings"
        raise ServiceError("InvalidRequestException", fault) from error
