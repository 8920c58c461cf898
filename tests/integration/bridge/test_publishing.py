"""What is published by HTTP reaches subscribers and rules, and ministack has no part in it."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from botocore.exceptions import ClientError

from testbed.host import emulated
from testbed.identity.enrolment import Enrolment
from tests.integration.bridge.conftest import (
    PATIENCE_SECONDS,
    MakeDevice,
    Rules,
    Stack,
    drain,
    sqs,
    wait_for,
)
from tests.integration.conftest import REGION


@pytest.fixture(params=["the emulator's port", "the data plane's own port"])
def iot_data(request: pytest.FixtureRequest, stack: Stack) -> Iterator[Any]:
    """Make a client as Lambdas have it, and one as they have with AWS_ENDPOINT_URL_IOT_DATA_PLANE."""
    direct = f"http://127.0.0.1:{stack.place.ports.data}"
    url = direct if "own" in request.param else stack.emulator.url
    client = emulated.session(REGION).client("iot-data", endpoint_url=url)
    yield client
    client.close()


def test_a_publish_by_http_reaches_subscribers_and_rules_once(
    stack: Stack, device: MakeDevice, rules: Rules, queue: str, name: str, iot_data: Any
) -> None:
    """ "HTTPS" of the developer guide: there is no client id. A rule run by ministack would be a second answer."""
    rules.add(name.replace("-", "_"), f"SELECT *, clientid() AS who FROM 'h/{name}/#'", sqs(queue))
    subscriber = device(name)
    subscriber.client.subscribe(f"t/{name}/#", qos=1)
    assert wait_for(lambda: subscriber.subscribed)
    iot_data.publish(topic=f"t/{name}/a b", qos=1, payload=b"to the device")
    iot_data.publish(topic=f"h/{name}/a", payload=json.dumps({"n": 1}))
    iot_data.publish(topic=f"$aws/rules/{name.replace('-', '_')}/x/y", payload=json.dumps({"n": 2}))
    assert wait_for(lambda: subscriber.received) == [(f"t/{name}/a b", b"to the device")]
    found: list[Any] = []
    assert wait_for(lambda: found.extend(drain(stack, queue)) or len(found) >= 2)
    time.sleep(0.5)  # for what must not come: a second rules engine
    found += drain(stack, queue)
    assert sorted(one["n"] for one in found) == [1, 2]
    assert {one["who"] for one in found} == {"n/a"}


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("a/+/b", b""),
        ("a/#", b""),
        ("$aws/events/presence/connected/x", b""),
        ("$from/somebody/t", b""),
        ("$aws/things/x/jobs/get", b""),
        ("a" * 257, b""),
        ("1/2/3/4/5/6/7/8/9", b""),
        ("t", b"x" * (128 * 1024 + 1)),
    ],
)
def test_what_aws_does_not_take_is_refused(iot_data: Any, topic: str, payload: bytes) -> None:
    """ "AWS IoT Core endpoints and quotas": 256 bytes, 7 slashes, 128 KiB; "Reserved topics"."""
    with pytest.raises(ClientError) as refused:
        iot_data.publish(topic=topic, payload=payload)
    assert refused.value.response["Error"]["Code"] in (
        "InvalidRequestException",
        "RequestEntityTooLargeException",
        "413",
    )


def test_an_operation_that_is_not_supported_is_refused_by_name(iot_data: Any) -> None:
    with pytest.raises(ClientError, match="SendDirectMessage is not supported"):
        iot_data.send_direct_message(clientId="x", topic="t", payload=b"")


def test_describe_endpoint_names_a_host_that_resolves(stack: Stack) -> None:
    found = stack.emulator.client("iot").describe_endpoint(endpointType="iot:Data-ATS")
    assert found["endpointAddress"] == "localhost"


def test_a_retained_message_by_mqtt_or_http_is_one_that_both_see(
    stack: Stack, name: str, iot_data: Any
) -> None:
    """ "MQTT retained messages", and "GetRetainedMessage" and "ListRetainedMessages" of the API reference."""
    topics = [f"r/{name}/{end}" for end in ("a", "b")]
    for topic in topics:
        iot_data.publish(topic=topic, qos=1, retain=True, payload=topic.encode())
    found = iot_data.get_retained_message(topic=topics[0])
    assert (found["topic"], found["payload"], found["qos"]) == (topics[0], topics[0].encode(), 1)
    # Mosquitto does not tell when.
    assert ("lastModifiedTime" in found) != stack.is_mosquitto
    pages = iot_data.get_paginator("list_retained_messages").paginate(maxResults=1)
    listed = [one for page in pages for one in page["retainedTopics"] if one["topic"] in topics]
    assert [(one["topic"], one["payloadSize"]) for one in listed] == [(topic, len(topic)) for topic in topics]
    for topic in topics:
        iot_data.publish(topic=topic, qos=1, retain=True, payload=b"")
    with pytest.raises(iot_data.exceptions.ResourceNotFoundException):
        iot_data.get_retained_message(topic=topics[0])


def test_mqtt_5_properties_of_a_publish_by_http_reach_subscribers(
    stack: Stack, enrolment: Enrolment, name: str, iot_data: Any
) -> None:
    """ "Publish" of the API reference: user properties, content type, response topic, correlation data, format."""
    enrolment.enrol([name])
    folder = stack.place.certificates / "devices"
    found: list[Any] = []
    subscribed = threading.Event()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5)
    client.tls_set(str(stack.authority.path), str(folder / f"{name}.crt"), str(folder / f"{name}.key"))
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda _c, _d, message: found.append(message.properties)
    client.connect("localhost", stack.place.ports.mqtt)
    client.loop_start()
    try:
        assert wait_for(client.is_connected)
        client.subscribe(f"t/{name}/#", qos=1)
        assert subscribed.wait(PATIENCE_SECONDS)
        iot_data.publish(
            topic=f"t/{name}/a",
            qos=1,
            payload=b"{}",
            userProperties=json.dumps([{"deviceName": "alpha"}, {"deviceCnt": "45"}]),
            contentType="application/json",
            responseTopic="answers",
            correlationData=base64.b64encode(b"7").decode(),
            payloadFormatIndicator="UTF8_DATA",
            messageExpiry=60,
        )
        assert wait_for(lambda: found)
    finally:
        client.disconnect()
        client.loop_stop()
        enrolment.remove([name])
    properties = found[0]
    assert properties.UserProperty == [("deviceName", "alpha"), ("deviceCnt", "45")]
    assert (properties.ContentType, properties.ResponseTopic) == ("application/json", "answers")
    assert (properties.CorrelationData, properties.PayloadFormatIndicator) == (b"7", 1)
    assert 50 <= properties.MessageExpiryInterval <= 60
