"""MQTT 5 properties as paho has them."""

import importlib
from contextlib import suppress
from typing import Any

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bridge.sql import MqttProperties

_PAHO: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho's


class LeanProperties(Properties):
    """Properties that share paho's tables; paho 2.2 builds them for each packet, and takes 12 µs for that."""

    names, types, properties = _PAHO.names, _PAHO.types, _PAHO.properties

    def __init__(self, packet_type: int) -> None:
        """Begin without properties."""
        object.__setattr__(self, "packetType", packet_type)

    def clear(self) -> None:
        """Forget all properties."""
        for name in vars(self).keys() - {"packetType"}:
            delattr(self, name)


def use_lean_properties() -> None:
    """Have paho make lean properties of the packets that it receives, in this process."""
    for name in ("client", "_packet"):  # the latter decodes since 2.2
        with suppress(ImportError):
            importlib.import_module(f"paho.mqtt.{name}").Properties = LeanProperties  # type: ignore[attr-defined]


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


_SAY_NOTHING = frozenset({"packetType", "types", "names", "properties", "MessageExpiryInterval"})


def from_paho(found: Properties | None) -> MqttProperties | None:
    """Return what rules can ask of a message's properties, or None if it has none."""
    given: dict[str, Any] = vars(found) if found else {}
    if not given.keys() - _SAY_NOTHING:
        return None
    return MqttProperties(
        content_type=given.get("ContentType"),
        payload_is_utf8=bool(given.get("PayloadFormatIndicator", 0)),
        response_topic=given.get("ResponseTopic"),
        correlation_data=given.get("CorrelationData"),
        user=tuple((name, value) for name, value in given.get("UserProperty", ())),
    )
