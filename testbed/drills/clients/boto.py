"""The client `iot-data` of boto3: what a backend calls by HTTPS, and a device hears by MQTT."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue

import boto3
from paho.mqtt.client import MQTTMessage

from testbed.drills.clients.visit import PATIENCE_SECONDS, Visit
from testbed.stations.mqtt import connected


def version() -> str:
    """Return the installed version."""
    return str(boto3.__version__)


@contextmanager
def _subscriber(visit: Visit, topic: str) -> Iterator["SimpleQueue[MQTTMessage]"]:
    """Subscribe a device to a topic, by MQTT."""
    heard: SimpleQueue[MQTTMessage] = SimpleQueue()
    with connected(visit.deployment, visit.certificate(), heard.put) as device:
        granted: SimpleQueue[bool] = SimpleQueue()
        device.client.on_subscribe = lambda *_: granted.put(True)
        visit.doing = "subscribe"
        device.client.subscribe(topic, qos=1)
        granted.get(timeout=PATIENCE_SECONDS)
        yield heard


def publish(visit: Visit) -> None:
    """Publish to a device."""
    with _subscriber(visit, visit.topic) as heard:
        visit.doing = "Publish"
        visit.deployment.client("iot-data").publish(topic=visit.topic, qos=1, payload=b"hello")
        visit.doing = "receive"
        visit.expect("payload", heard.get(timeout=PATIENCE_SECONDS).payload, b"hello")


def shadow(visit: Visit) -> None:
    """Update a shadow, which a device hears of, read it and delete it."""
    cloud = visit.deployment.client("iot-data")
    with _subscriber(visit, f"$aws/things/{visit.name}/shadow/update/delta") as heard:
        visit.doing = "UpdateThingShadow"
        wanted = json.dumps({"state": {"desired": {"color": "red"}}})
        answer = json.load(cloud.update_thing_shadow(thingName=visit.name, payload=wanted)["payload"])
        visit.expect("version", answer["version"], 1)
        visit.doing = "receive the delta"
        delta = json.loads(heard.get(timeout=PATIENCE_SECONDS).payload)
        visit.expect("delta", delta["state"], {"color": "red"})
    visit.doing = "GetThingShadow"
    found = json.load(cloud.get_thing_shadow(thingName=visit.name)["payload"])
    visit.expect("state", found["state"]["desired"], {"color": "red"})
    visit.doing = "DeleteThingShadow"
    cloud.delete_thing_shadow(thingName=visit.name)


def retained(visit: Visit) -> None:
    """Retain a message, read it, have a device that comes later get it, and clear it."""
    cloud = visit.deployment.client("iot-data")
    visit.doing = "Publish"
    cloud.publish(topic=visit.topic, qos=1, retain=True, payload=b"kept")
    try:
        visit.doing = "GetRetainedMessage"
        visit.expect("payload", cloud.get_retained_message(topic=visit.topic)["payload"], b"kept")
        with _subscriber(visit, visit.topic) as heard:
            visit.doing = "receive"
            message = heard.get(timeout=PATIENCE_SECONDS)
            visit.expect("message", (message.payload, bool(message.retain)), (b"kept", True))
    finally:
        cloud.publish(topic=visit.topic, qos=1, retain=True, payload=b"")
