"""What AWS IoT Core refuses or bounds, refused and bounded here.

The figures are those of "AWS IoT Core message broker and protocol limits and quotas" (AWS General Reference), the
reason codes those of "MQTT reason codes" (mqtt.html of the developer guide).
"""

import contextlib
import socket
import ssl
import threading
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.subscribeoptions import SubscribeOptions

from testbed.identity.enrolment import Enrolment
from tests.integration.bridge.conftest import PATIENCE_SECONDS, MakeDevice, Stack, wait_for
from tests.integration.bridge.five import MakeFive, properties

TOPIC_NAME_INVALID, TOPIC_FILTER_INVALID, QUOTA_EXCEEDED, NOT_AUTHORIZED = 0x90, 0x8F, 0x97, 0x87
CLIENT_ID_INVALID, QOS_NOT_SUPPORTED, TOO_LARGE, NO_SUBSCRIPTION_IDS = 0x85, 0x9B, 0x95, 0xA1


pytestmark = pytest.mark.own_broker("Mosquitto has limits of its own")


@pytest.mark.parametrize(
    ("rest", "payload", "qos", "reason"),
    [
        ("a/b/c/d/e/f/g", b"", 1, TOPIC_NAME_INVALID),
        ("x" * 250, b"", 1, TOPIC_NAME_INVALID),
        ("a", b"x" * (128 * 1024 + 1), 1, TOO_LARGE),
        ("a", b"", 2, QOS_NOT_SUPPORTED),
    ],
    ids=["eight slashes", "over 256 bytes", "over 128 KiB", "QoS 2"],
)
def test_a_message_over_a_limit_ends_the_connection(
    five: MakeFive, name: str, rest: str, payload: bytes, qos: int, reason: int
) -> None:
    client = five(name)
    client.client.publish(f"t/{name}/{rest}", payload, qos=qos)
    assert client.gone.wait(PATIENCE_SECONDS)
    assert client.ended_with[0].value == reason


def test_a_message_at_the_limits_is_taken(five: MakeFive, name: str) -> None:
    """Seven slashes, 256 bytes, 128 KiB; and $aws/rules/<rule>/ is not counted."""
    client = five(name)
    assert client.publish(f"t/{name}/a/b/c/d/e/f", b"x" * 128 * 1024) == 0
    topic = f"t/{name}/a/b/c/d/e"
    assert client.publish(topic + "x" * (256 - len(topic)), b"") == 0
    assert client.publish(f"$aws/rules/some_rule/{topic}", b"") == 0


def test_filters_over_a_limit_are_refused(five: MakeFive, name: str) -> None:
    client = five(name)
    assert client.subscribe(f"t/{name}/a/b/c/d/e/f/g") == TOPIC_FILTER_INVALID
    assert client.subscribe(f"t/{name}/" + "x" * 250) == TOPIC_FILTER_INVALID
    assert client.subscribe("t/another/a") == NOT_AUTHORIZED
    for number in range(50):
        assert client.subscribe(f"t/{name}/{number}") == 1
    assert client.subscribe(f"t/{name}/50") == QUOTA_EXCEEDED
    assert client.subscribe(f"t/{name}/49") == 1, "one that is there already is no new one"


@pytest.mark.parametrize(
    ("count", "qos", "subscription_id", "reason"),
    [(9, 1, None, QUOTA_EXCEEDED), (1, 2, None, QOS_NOT_SUPPORTED), (1, 1, 7, NO_SUBSCRIPTION_IDS)],
    ids=["nine filters", "QoS 2", "a subscription identifier"],
)
def test_a_subscribe_that_aws_does_not_take_ends_the_connection(
    five: MakeFive, name: str, count: int, qos: int, subscription_id: int | None, reason: int
) -> None:
    client = five(name)
    more = {"SubscriptionIdentifier": subscription_id} if subscription_id else {}
    filters = [(f"t/{name}/{number}", SubscribeOptions(qos=qos)) for number in range(count)]
    client.client.subscribe(filters, properties=properties(PacketTypes.SUBSCRIBE, **more))
    assert client.gone.wait(PATIENCE_SECONDS)
    assert client.ended_with[0].value == reason


def test_hash_does_not_cover_its_parent(five: MakeFive, name: str) -> None:
    """ "the parent topic is not matched": `sensor/#` does not receive what is published to `sensor`."""
    client = five(name)
    client.subscribe(f"t/{name}/sensor/#")
    for topic in ("sensor", "sensor/", "sensor/a"):
        client.publish(f"t/{name}/{topic}", b"")
    assert wait_for(lambda: len(client.received) == 2)
    assert {message.topic for message in client.received} == {f"t/{name}/sensor/", f"t/{name}/sensor/a"}


@pytest.mark.parametrize("client_id", ["x" * 129, "$mine"])
def test_a_client_id_that_aws_does_not_take_is_refused(
    stack: Stack, enrolment: Enrolment, name: str, client_id: str
) -> None:
    enrolment.enrol([name])
    said: list[Any] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5)
    folder = stack.place.certificates / "devices"
    client.tls_set(str(stack.authority.path), str(folder / f"{name}.crt"), str(folder / f"{name}.key"))
    client.on_connect = lambda _c, _d, _f, reason, _p: said.append(reason.value)
    client.connect("localhost", stack.place.ports.mqtt)
    client.loop_start()
    assert wait_for(lambda: said)
    client.disconnect()
    client.loop_stop()
    client._reset_sockets()
    enrolment.remove([name])
    assert said[0] == CLIENT_ID_INVALID


def test_what_is_over_the_rate_is_discarded(five: MakeFive, name: str) -> None:
    """ "Publish requests that exceed that quota are discarded": MQTT 5 says so in the acknowledgement."""
    client = five(name)
    mids = [client.client.publish(f"t/{name}/a", b"", qos=1).mid for _ in range(1500)]
    assert wait_for(lambda: len(client.acknowledged) == len(mids))
    over = sum(reason == QUOTA_EXCEEDED for reason in client.acknowledged.values())
    assert 0 < over < 1000


@pytest.mark.parametrize("kind", ["retained without a policy", "retained on a reserved topic"])
def test_retain_is_a_right_of_its_own(five: MakeFive, name: str, kind: str) -> None:
    client = five(name)
    topic = f"$aws/things/{name}/shadow/get" if "reserved" in kind else "t/another/a"
    assert client.publish(topic, b"", retain=True) == NOT_AUTHORIZED
    assert client.client.is_connected(), "MQTT 5 tells it in the acknowledgement"


def test_mqtt_3_is_closed_where_mqtt_5_is_told(device: MakeDevice, name: str) -> None:
    client, gone = device(name), threading.Event()
    client.client.on_disconnect = lambda *_: gone.set()
    client.publish("t/another/a", b"")
    assert gone.wait(PATIENCE_SECONDS)


def test_no_certificate_no_connection(stack: Stack) -> None:
    context = ssl.create_default_context(cafile=str(stack.authority.path))
    with (
        socket.create_connection(("localhost", stack.place.ports.mqtt)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
        contextlib.suppress(OSError),
    ):
        # In TLS 1.3 the client learns it when it reads.
        assert connection.recv(1) == b""
    hint = "it showed no certificate: give the client its device certificate"
    assert wait_for(lambda: hint in stack.place.log("broker").read_text())
