"""MQTT 5 properties as paho has them."""

import pytest
from paho.mqtt import _packet
from paho.mqtt import client as mqtt
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bridge.runtime.properties import LeanProperties, from_paho, to_paho, use_lean_properties
from bridge.sql import MqttProperties

GIVEN = MqttProperties(
    content_type="application/json",
    payload_is_utf8=True,
    response_topic="answers/1",
    correlation_data=b"\x00\x01",
    user=(("a", "1"), ("a", "2")),
)


def test_lean_properties_read_what_pahos_own_wrote() -> None:
    written = to_paho(GIVEN).pack()
    read = LeanProperties(PacketTypes.PUBLISH)
    read.unpack(written + b"payload")
    assert from_paho(read) == GIVEN
    assert read.pack() == written
    assert str(read) == str(to_paho(GIVEN))
    read.clear()
    assert from_paho(read) is None
    assert read.isEmpty()
    # Tables are shared, properties are not.
    assert from_paho(LeanProperties(PacketTypes.PUBLISH)) is None


def test_what_paho_receives_has_lean_properties(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails where a later paho decodes elsewhere: then it is slow again."""
    for module in (mqtt, _packet):
        monkeypatch.setattr(module, "Properties", Properties)
    packet = b"\x00\x01t\x00\x07" + to_paho(GIVEN).pack() + b"payload"
    plain = _packet.decode_publish(0x32, packet, MQTTProtocolVersion.MQTTv5)
    use_lean_properties()
    lean = _packet.decode_publish(0x32, packet, MQTTProtocolVersion.MQTTv5)
    assert (type(plain.properties), type(lean.properties)) == (Properties, LeanProperties)
    assert (lean.mid, lean.topic, lean.payload) == (7, b"t", b"payload")
    assert from_paho(lean.properties) == GIVEN
