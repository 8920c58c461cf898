"""Eclipse paho for Python."""

import ssl
from importlib import metadata
from queue import SimpleQueue
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from testbed.drills.clients.visit import PATIENCE_SECONDS, USER_PROPERTY, Visit


def version() -> str:
    """Return the installed version."""
    return metadata.version("paho-mqtt")


def user_property() -> Properties:
    """Make a publish's properties."""
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho has no type for it
    properties.UserProperty = [USER_PROPERTY]
    return properties


def echo(visit: Visit) -> None:
    """Publish to itself."""
    five = visit.is_five
    context = ssl.create_default_context(cafile=visit.ca)
    context.load_cert_chain(visit.certificate(), visit.key())
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=visit.name,
        protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
    )
    client.tls_set_context(context)
    events: SimpleQueue[tuple[str, Any]] = SimpleQueue()
    client.on_connect = lambda _client, _data, _flags, reason, _properties: events.put(("connect", reason))
    client.on_subscribe = lambda _client, _data, _id, reasons, _properties: events.put(("subscribe", reasons))
    client.on_message = lambda _client, _data, message: events.put(("receive", message))
    client.on_disconnect = lambda _client, _data, _flags, reason, _properties: events.put(
        ("disconnect", reason)
    )

    def wait(what: str) -> Any:
        visit.doing = what
        found, value = events.get(timeout=PATIENCE_SECONDS)
        visit.expect("event", found, what)
        return value

    visit.doing = "connect"
    client.connect(visit.host, visit.port, keepalive=30)
    client.loop_start()
    try:
        visit.expect("reason", wait("connect").is_failure, False)
        client.subscribe(visit.topic, qos=1)
        visit.expect("granted QoS", [reason.value for reason in wait("subscribe")], [1])
        visit.doing = "publish"
        sent = client.publish(visit.topic, b"hello", qos=1, properties=user_property() if five else None)
        message = wait("receive")
        visit.expect("payload", message.payload, b"hello")
        if five:
            visit.expect("user properties", message.properties.UserProperty, [USER_PROPERTY])
        visit.doing = "acknowledgement"
        sent.wait_for_publish(PATIENCE_SECONDS)
        visit.expect("acknowledged", sent.is_published(), True)
        client.disconnect()
        visit.expect("reason", wait("disconnect").is_failure, False)
    finally:
        client.disconnect()
        client.loop_stop()
