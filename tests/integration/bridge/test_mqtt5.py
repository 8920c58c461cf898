"""MQTT 5 as AWS documents it, by AWS's own device client and by paho.

The page is "MQTT" of the AWS IoT Core developer guide (mqtt.html): "MQTT 5 supported features", "MQTT 5 properties",
"MQTT reason codes", "MQTT retained messages", "AWS IoT differences from MQTT specifications".
"""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from awscrt import mqtt5
from awsiot import mqtt5_client_builder
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from testbed.identity.enrolment import Enrolment
from tests.integration.bridge.conftest import PATIENCE_SECONDS, Rules, Stack, drain, sqs, wait_for


@pytest.fixture(autouse=True)
def _own_broker(stack: Stack) -> None:
    if stack.is_mosquitto:
        pytest.skip("Mosquitto's MQTT 5 is Mosquitto's")


class Five:
    """A paho client of MQTT 5 that remembers what it is told."""

    def __init__(self, stack: Stack, name: str, *, clean_start: bool = True, **options: Any) -> None:
        self.name = name
        self.received: list[mqtt.MQTTMessage] = []
        self.acknowledged: dict[int, Any] = {}
        self.subscribed: list[Any] = []
        self.said: Any = None
        self.present: bool | None = None
        self.connected, self.gone = threading.Event(), threading.Event()
        self.ended_with: list[Any] = []
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5)
        folder = stack.place.certificates / "devices"
        self.client.tls_set(
            str(stack.authority.path),
            str(folder / f"{name}.crt"),
            str(folder / f"{name}.key"),
        )
        will = options.pop("will", None)
        if will:
            self.client.will_set(**will)
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = self._on_disconnect
        self.client.on_message = lambda _c, _d, message: self.received.append(message)
        self.client.on_publish = lambda _c, _d, mid, reason, _p: self.acknowledged.__setitem__(mid, reason)
        self.client.on_subscribe = lambda _c, _d, _m, reasons, _p: self.subscribed.extend(reasons)
        properties = _properties(PacketTypes.CONNECT, **options.pop("properties", {}))
        self.client.connect(
            "localhost",
            stack.place.ports.mqtt,
            keepalive=options.pop("keepalive", 60),
            clean_start=clean_start,
            properties=properties,
        )
        self.client.loop_start()

    def _on_connect(self, _client: Any, _data: Any, flags: Any, reason: Any, properties: Any) -> None:
        self.said, self.present, self.reason = properties, flags.session_present, reason
        self.connected.set()

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self.ended_with.append(reason)
        self.gone.set()

    def subscribe(self, topic_filter: str, **options: Any) -> Any:
        """Subscribe at QoS 1 and return the reason code."""
        before = len(self.subscribed)
        self.client.subscribe(topic_filter, options=SubscribeOptions(qos=1, **options))
        assert wait_for(lambda: len(self.subscribed) > before)
        return self.subscribed[-1]

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, **properties: Any) -> Any:
        """Publish at QoS 1 and return the reason code."""
        mid = self.client.publish(
            topic, payload, qos=1, retain=retain, properties=_properties(PacketTypes.PUBLISH, **properties)
        ).mid
        assert wait_for(lambda: mid in self.acknowledged)
        return self.acknowledged[mid]

    def vanish(self) -> None:
        """Lose the connection without a word."""
        self.client.loop_stop()
        self.client._sock_close()
        self.client._reset_sockets()

    def close(self) -> None:
        """Disconnect."""
        self.client.disconnect()
        self.client.loop_stop()
        self.client._reset_sockets()


MakeFive = Callable[..., Five]


@pytest.fixture
def five(stack: Stack, enrolment: Enrolment) -> Iterator[MakeFive]:
    """``five(name)``: enrolled and connected."""
    made: list[Five] = []
    enrolled: set[str] = set()

    def make(name: str, **options: Any) -> Five:
        if name not in enrolled:
            enrolment.enrol([name])
            enrolled.add(name)
        made.append(Five(stack, name, **options))
        assert made[-1].connected.wait(PATIENCE_SECONDS)
        return made[-1]

    yield make
    for one in made:
        one.close()
    enrolment.remove(sorted(enrolled))


def _properties(kind: int, **values: Any) -> Properties:
    found = Properties(kind)
    for name, value in values.items():
        setattr(found, name, value)
    return found


def test_a_connack_says_what_aws_iot_has(five: MakeFive, name: str) -> None:
    """The values of "MQTT 5 properties" and of the quotas; a session of an hour at most; keep-alive from 30."""
    said = five(name, keepalive=10, properties={"SessionExpiryInterval": 86_400}).said
    assert (said.ReceiveMaximum, said.MaximumQoS, said.TopicAliasMaximum) == (100, 1, 8)
    assert (said.RetainAvailable, said.WildcardSubscriptionAvailable) == (1, 1)
    assert (said.SubscriptionIdentifierAvailable, said.SharedSubscriptionAvailable) == (0, 1)
    assert (said.SessionExpiryInterval, said.ServerKeepAlive) == (3600, 30)


def test_aws_device_client_publishes_and_receives_properties(
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
    client.client.publish("", b"2", qos=1, properties=_properties(PacketTypes.PUBLISH, TopicAlias=8))
    assert wait_for(lambda: len(client.received) == 2)
    assert {message.topic for message in client.received} == {f"t/{name}/a"}
    client.client.publish(
        f"t/{name}/a", b"3", qos=1, properties=_properties(PacketTypes.PUBLISH, TopicAlias=9)
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
    five(name).publish(topic, b"kept", retain=True, ContentType="text/plain")
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
        "properties": _properties(PacketTypes.WILLMESSAGE, WillDelayInterval=1, ContentType="text/plain"),
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
