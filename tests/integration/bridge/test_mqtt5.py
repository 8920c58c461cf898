"""MQTT 5 as AWS documents it, by AWS's own device client and by paho.

The page is "MQTT" of the AWS IoT Core developer guide (mqtt.html): "MQTT 5 supported features", "MQTT 5 properties",
"MQTT reason codes", "MQTT retained messages", "AWS IoT differences from MQTT specifications".
"""

import threading
import time
from typing import Any

import pytest
from awscrt import mqtt5
from awsiot import mqtt5_client_builder
from paho.mqtt.packettypes import PacketTypes

from testbed.identity.enrolment import Enrolment
from tests.integration.bridge.conftest import PATIENCE_SECONDS, Rules, Stack, drain, sqs, wait_for
from tests.integration.bridge.five import MakeFive, properties

pytestmark = pytest.mark.own_broker("Mosquitto's MQTT 5 is Mosquitto's")


def test_a_connack_says_what_aws_iot_has(five: MakeFive, name: str) -> None:
    """The values of "MQTT 5 properties" and of the quotas; a session of an hour at most; keep-alive from 30."""
    said = five(name, keepalive=10, properties={"SessionExpiryInterval": 86_400}).said
    assert (said.ReceiveMaximum, said.MaximumQoS, said.TopicAliasMaximum) == (100, 1, 8)
    assert (said.RetainAvailable, said.WildcardSubscriptionAvailable) == (1, 1)
    assert (said.SubscriptionIdentifierAvailable, said.SharedSubscriptionAvailable) == (0, 1)
    assert (said.SessionExpiryInterval, said.ServerKeepAlive) == (3600, 30)


def test_aws_device_client_publishes_and_receivesproperties(
    stack: Stack, enrolment: Enrolment, name: str
) -> None:
    enrolment.enrol([name])
    folder = stack.place.certificates / "devices"
    received: list[mqtt5.PublishPacket] = []
    connected, stopped = threading.Event(), threading.Event()
    client = mqtt5_client_builder.mtls_from_path(
        endpoint="localhost",
        port=stack.place.ports.mqtt,
        cert_filepath=str(folder / f"{name}.crt"),
        pri_key_filepath=str(folder / f"{name}.key"),
        ca_filepath=str(stack.authority.path),
        client_id=name,
        on_publish_received=lambda data: received.append(data.publish_packet),
        on_lifecycle_connection_success=lambda _: connected.set(),
        on_lifecycle_stopped=lambda _: stopped.set(),
    )
    client.start()
    assert connected.wait(PATIENCE_SECONDS)
    subscription = mqtt5.Subscription(f"t/{name}/a", mqtt5.QoS.AT_LEAST_ONCE)
    suback = client.subscribe(mqtt5.SubscribePacket([subscription])).result(PATIENCE_SECONDS)
    assert suback.reason_codes == [mqtt5.SubackReasonCode.GRANTED_QOS_1]
    client.publish(
        mqtt5.PublishPacket(
            topic=f"t/{name}/a",
            payload=b"{}",
            qos=mqtt5.QoS.AT_LEAST_ONCE,
            content_type="application/json",
            response_topic=f"t/{name}/answers",
            correlation_data=b"\x00\xff",
            message_expiry_interval_sec=60,
            user_properties=[mqtt5.UserProperty("b", "2"), mqtt5.UserProperty("a", "1")],
        )
    ).result(PATIENCE_SECONDS)
    assert wait_for(lambda: received)
    client.stop()
    assert stopped.wait(PATIENCE_SECONDS)
    enrolment.remove([name])
    packet = received[0]
    assert (packet.content_type, packet.response_topic, packet.correlation_data_bytes) == (
        "application/json",
        f"t/{name}/answers",
        b"\x00\xff",
    )
    assert [(one.name, one.value) for one in packet.user_properties or ()] == [("b", "2"), ("a", "1")]
    assert packet.message_expiry_interval_sec is not None
    assert 50 < packet.message_expiry_interval_sec <= 60


def test_properties_reach_rules(five: MakeFive, stack: Stack, rules: Rules, queue: str, name: str) -> None:
    rules.add(
        name.replace("-", "_"),
        "SELECT get_mqtt_property('content_type') AS kind, get_user_properties('a') AS a,"
        f" get_mqtt_property('correlation_data') AS data FROM 't/{name}/a'",
        sqs(queue),
    )
    five(name).publish(
        f"t/{name}/a",
        b"{}",
        ContentType="application/json",
        UserProperty=[("a", "1"), ("b", "2"), ("a", "3")],
        CorrelationData=b"x",
    )
    found: list[Any] = []
    assert wait_for(lambda: found.extend(drain(stack, queue)) or found)
    assert found == [{"kind": "application/json", "a": ["1", "3"], "data": "eA=="}]


def test_a_topic_alias_stands_for_its_topic_and_the_ninth_ends_the_connection(
    five: MakeFive, name: str
) -> None:
    client = five(name)
    client.subscribe(f"t/{name}/#")
    client.publish(f"t/{name}/a", b"1", TopicAlias=8)
    client.client.publish("", b"2", qos=1, properties=properties(PacketTypes.PUBLISH, TopicAlias=8))
    assert wait_for(lambda: len(client.received) == 2)
    assert {message.topic for message in client.received} == {f"t/{name}/a"}
    client.client.publish(
        f"t/{name}/a", b"3", qos=1, properties=properties(PacketTypes.PUBLISH, TopicAlias=9)
    )
    assert client.gone.wait(PATIENCE_SECONDS)
    assert client.ended_with[0].value == 0x94


def test_a_session_lives_as_long_as_it_was_asked_for(five: MakeFive, name: str) -> None:
    first = five(name, properties={"SessionExpiryInterval": 60})
    first.subscribe(f"t/{name}/a")
    first.vanish()
    again = five(name, clean_start=False, properties={"SessionExpiryInterval": 1})
    assert again.present
    again.vanish()
    assert wait_for(lambda: not _has_session(five, name))


def _has_session(five: MakeFive, name: str) -> bool:
    time.sleep(2)  # the session's own time: nothing tells its end
    client = five(name, clean_start=False, properties={"SessionExpiryInterval": 1})
    client.vanish()
    return bool(client.present)


def test_an_expired_message_is_not_delivered(five: MakeFive, name: str) -> None:
    sleeper = five(name, properties={"SessionExpiryInterval": 60})
    sleeper.subscribe(f"t/{name}/#")
    sleeper.vanish()
    other = five(f"{name}-o")
    topic = f"t/{name}/a"
    assert other.publish(topic, b"") == 0x87, "policies are asked"
    # Under its own name: the second connection sends it, and loses itself before it can be received.
    second = five(name, clean_start=False, properties={"SessionExpiryInterval": 60, "ReceiveMaximum": 1})
    second.client.manual_ack_set(True)
    second.publish(topic, b"blocks")
    second.publish(topic, b"expires", MessageExpiryInterval=1)
    second.publish(topic, b"stays", MessageExpiryInterval=60)
    time.sleep(1.5)  # what is tested is time
    second.vanish()
    third = five(name, clean_start=False, properties={"SessionExpiryInterval": 0})
    assert wait_for(lambda: len(third.received) >= 2)
    assert [message.payload for message in third.received] == [b"blocks", b"stays"]


@pytest.mark.parametrize("what", ["retained", "cleared", "wildcard", "shared", "expired"])
def test_a_retained_message_waits_for_subscribers(five: MakeFive, name: str, what: str) -> None:
    """ "MQTT retained messages": filters with wildcards and shared subscriptions get none."""
    topic = f"t/{name}/a"
    client = five(name)
    expiry = {"MessageExpiryInterval": 1} if what == "expired" else {}
    assert client.publish(topic, b"kept", retain=True, **expiry) == 0
    if what == "cleared":
        client.publish(topic, b"", retain=True)
    if what == "expired":
        time.sleep(1.5)  # what is tested is time
    client.subscribe(
        {"wildcard": f"t/{name}/+", "shared": f"$share/g/{topic}"}.get(what, topic), retainAsPublished=True
    )
    client.publish(topic, b"live")
    assert wait_for(lambda: any(message.payload == b"live" for message in client.received))
    expected = [(b"kept", True)] if what == "retained" else []
    assert [(one.payload, bool(one.retain)) for one in client.received] == [*expected, (b"live", False)]


def test_retained_messages_outlive_a_killed_broker(stack: Stack, five: MakeFive, name: str) -> None:
    topic = f"t/{name}/a"
    writer = five(name)
    writer.publish(topic, b"kept", retain=True, ContentType="text/plain")
    writer.close()  # else it comes back under the reader's client id, and takes the reader's place
    stack.processes["broker"].stop(kill=True)
    stack.restart_broker()
    reader = five(name)
    reader.subscribe(topic)
    assert wait_for(lambda: reader.received)
    assert (reader.received[0].payload, reader.received[0].properties.ContentType) == (b"kept", "text/plain")


def test_a_shared_subscription_gives_each_message_to_one(five: MakeFive, name: str) -> None:
    """Each to one that is online; to whoever comes next, while none is and a session is kept."""
    shared, topic = f"$share/g/t/{name}/a", f"t/{name}/a"
    client = five(name, properties={"SessionExpiryInterval": 60})
    assert client.subscribe(shared) == 1
    for number in range(20):
        client.publish(topic, str(number).encode())
    assert wait_for(lambda: len(client.received) == 20)
    client.client.disconnect()
    assert client.gone.wait(PATIENCE_SECONDS)
    back = five(name, clean_start=False, properties={"SessionExpiryInterval": 60})
    back.publish(topic, b"x")
    assert wait_for(lambda: [message.payload for message in back.received] == [b"x"])


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_will_waits_for_its_delay(five: MakeFive, name: str, comes_back: bool) -> None:
    will = {
        "topic": f"t/{name}/gone",
        "payload": b"gone",
        "qos": 1,
        "retain": True,
        "properties": properties(PacketTypes.WILLMESSAGE, WillDelayInterval=1, ContentType="text/plain"),
    }
    client = five(name, will=will, properties={"SessionExpiryInterval": 60})
    client.vanish()
    if comes_back:
        five(name, clean_start=False, properties={"SessionExpiryInterval": 60})
    time.sleep(2.5)  # what is tested is time
    reader = five(name, clean_start=False, properties={"SessionExpiryInterval": 60})
    reader.subscribe(f"t/{name}/gone")
    reader.publish(f"t/{name}/gone", b"live")
    assert wait_for(lambda: any(message.payload == b"live" for message in reader.received))
    expected = [] if comes_back else [b"gone"]
    assert [message.payload for message in reader.received] == [*expected, b"live"]


def test_who_is_replaced_is_told(five: MakeFive, name: str) -> None:
    first = five(name)
    first.client.reconnect_delay_set(60, 60)
    five(name)
    assert first.gone.wait(PATIENCE_SECONDS)
    assert first.ended_with[0].value == 0x8E
