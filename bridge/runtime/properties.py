"""MQTT 5 properties as paho has them."""

from typing import Any

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bridge.sql import MqttProperties


def to_paho(properties: MqttProperties) -> Properties:
    """Make paho's form of a PUBLISH packet's properties."""
    made = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    found = {
        "ContentType": properties.content_type,
        "PayloadFormatIndicator": 1 if properties.payload_is_utf8 else None,
        "ResponseTopic": properties.response_topic,
        "CorrelationData": properties.correlation_data,
        "MessageExpiryInterval": properties.message_expiry,
        "UserProperty": list(properties.user) or None,
    }
    for name, value in found.items():
        if value is not None:
            setattr(made, name, value)
    return made


def from_paho(found: Properties | None) -> MqttProperties | None:
    """Return what rules can ask of a message's properties, or None if it has none."""
    given: dict[str, Any] = vars(found) if found else {}
    if not given.keys() - {"packetType", "types", "names", "properties", "MessageExpiryInterval"}:
        return None
    return MqttProperties(
        content_type=given.get("ContentType"),
        payload_is_utf8=bool(given.get("PayloadFormatIndicator", 0)),
        response_topic=given.get("ResponseTopic"),
        correlation_data=given.get("CorrelationData"),
        user=tuple((name, value) for name, value in given.get("UserProperty", ())),
    )
