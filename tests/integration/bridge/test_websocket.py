"""MQTT over WebSocket with AWS credentials, by AWS's own device client, paho and what botocore signs.

"MQTT over WSS" and Signature Version 4: protocols.html and the examples of it in the AWS IoT Core developer guide.
"""

import json
import os
import ssl
import subprocess
import sys
import threading
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import boto3
import paho.mqtt.client as mqtt
import pytest
from awscrt import auth, mqtt5
from awsiot import mqtt5_client_builder
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from paho.mqtt.enums import CallbackAPIVersion
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from bridge.front_door.presigned import sign
from testbed.host import ports
from testbed.identity.enrolment import Enrolment
from testbed.paths import REPOSITORY
from tests.integration.bridge.conftest import PATIENCE_SECONDS, Stack, wait_for
from tests.integration.conftest import REGION

ROOT = Credentials("test", "test")


pytestmark = pytest.mark.own_broker("Mosquitto knows no Signature Version 4")


class Browser:
    """A paho client of MQTT over WebSocket, as a page would connect."""

    def __init__(self, stack: Stack, name: str, target: str, headers: dict[str, str] | None = None) -> None:
        self.connected, self.refused, self.gone = threading.Event(), threading.Event(), threading.Event()
        self.received: list[mqtt.MQTTMessage] = []
        self.acknowledged: set[int] = set()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, transport="websockets")
        self.client.tls_set(str(stack.authority.path))
        self.client.ws_set_options(target, headers)
        self.client.on_connect = lambda _c, _d, _f, reason, _p: (
            self.refused if reason.is_failure else self.connected
        ).set()
        self.client.on_disconnect = lambda *_: self.gone.set()
        self.client.on_message = lambda _c, _d, message: self.received.append(message)
        self.client.on_publish = lambda _c, _d, mid, _r, _p: self.acknowledged.add(mid)
        self.client.connect("localhost", stack.place.ports.websocket)
        self.client.loop_start()

    def close(self) -> None:
        """Disconnect."""
        self.client.disconnect()
        self.client.loop_stop()
        self.client._reset_sockets()


def presigned(stack: Stack, credentials: Credentials = ROOT, region: str = REGION) -> str:
    """Return path and query of a URL that opens the broker."""
    url = urlsplit(sign(f"localhost:{stack.place.ports.websocket}", credentials, region, seconds=60))
    return f"{url.path}?{url.query}"


def test_a_presigned_url_opens_all_of_mqtt(stack: Stack, name: str) -> None:
    browser = Browser(stack, name, presigned(stack))
    try:
        assert browser.connected.wait(PATIENCE_SECONDS)
        browser.client.subscribe("any/topic", qos=1)
        payload = b"x" * 100_000
        mid = browser.client.publish("any/topic", payload, qos=1).mid
        assert wait_for(lambda: browser.received and mid in browser.acknowledged)
        assert browser.received[0].payload == payload
    finally:
        browser.close()


def test_signed_headers_open_it_too(stack: Stack, name: str) -> None:
    host = f"localhost:{stack.place.ports.websocket}"
    request = AWSRequest("GET", f"http://{host}/mqtt", headers={"Host": host})
    SigV4Auth(ROOT, "iotdevicegateway", REGION).add_auth(request)
    browser = Browser(stack, name, "/mqtt", dict(request.headers))
    try:
        assert browser.connected.wait(PATIENCE_SECONDS)
    finally:
        browser.close()


@pytest.mark.parametrize("what", ["a wrong secret", "another region", "an unknown key", "no signature"])
def test_who_signs_wrongly_stays_outside(stack: Stack, what: str) -> None:
    target = {
        "a wrong secret": presigned(stack, Credentials("test", "wrong")),
        "another region": presigned(stack, region="us-west-2"),
        "an unknown key": presigned(stack, Credentials("ASIAUNKNOWN000000000", "secret")),
        "no signature": "/mqtt",
    }[what]
    context = ssl.create_default_context(cafile=str(stack.authority.path))
    url = f"wss://localhost:{stack.place.ports.websocket}{target}"
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(url, ssl=context, subprotocols=[Subprotocol("mqtt")]),
    ):
        pass
    assert refused.value.response.status_code == HTTPStatus.FORBIDDEN


def test_an_assumed_role_may_do_what_its_policies_say(stack: Stack, name: str) -> None:
    """By AWS's device client, which signs the handshake itself."""
    iam = stack.emulator.client("iam")
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(_TRUST))["Role"]["Arn"]
    statements = [
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"},
        {
            "Effect": "Allow",
            "Action": ["iot:Publish", "iot:Subscribe", "iot:Receive"],
            "Resource": [f"arn:aws:iot:*:*:topic/{name}/*", f"arn:aws:iot:*:*:topicfilter/{name}/*"],
        },
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document)
    sts = boto3.Session("test", "test", region_name=REGION).client("sts", endpoint_url=stack.emulator.url)
    given = sts.assume_role(RoleArn=role, RoleSessionName="session")["Credentials"]
    received: list[mqtt5.PublishPacket] = []
    connected, stopped = threading.Event(), threading.Event()
    failures: list[Any] = []
    client = mqtt5_client_builder.websockets_with_default_aws_signing(
        endpoint="localhost",
        port=stack.place.ports.websocket,
        region=REGION,
        credentials_provider=auth.AwsCredentialsProvider.new_static(
            given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]
        ),
        ca_filepath=str(stack.authority.path),
        client_id=name,
        on_publish_received=lambda data: received.append(data.publish_packet),
        on_lifecycle_connection_success=lambda _: connected.set(),
        on_lifecycle_connection_failure=failures.append,
        on_lifecycle_stopped=lambda _: stopped.set(),
    )
    client.start()
    assert connected.wait(PATIENCE_SECONDS), failures
    allowed = mqtt5.Subscription(f"{name}/a", mqtt5.QoS.AT_LEAST_ONCE)
    refused = mqtt5.Subscription("another/a", mqtt5.QoS.AT_LEAST_ONCE)
    suback = client.subscribe(mqtt5.SubscribePacket([allowed, refused])).result(PATIENCE_SECONDS)
    assert suback.reason_codes == [
        mqtt5.SubackReasonCode.GRANTED_QOS_1,
        mqtt5.SubackReasonCode.NOT_AUTHORIZED,
    ]
    client.publish(mqtt5.PublishPacket(topic=f"{name}/a", payload=b"x", qos=mqtt5.QoS.AT_LEAST_ONCE)).result(
        PATIENCE_SECONDS
    )
    assert wait_for(lambda: received)
    client.stop()
    assert stopped.wait(PATIENCE_SECONDS)


_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
}


def test_a_front_door_that_may_not_subscribe_says_so_and_ends(
    stack: Stack, enrolment: Enrolment, name: str
) -> None:
    """Or its pages would stay silent, and look live."""
    enrolment.enrol([name])
    certificate = stack.place.certificates / "devices" / f"{name}.crt"
    options = {
        "port": ports.choose(None, what="a front door"),
        "broker-port": stack.place.ports.mqtt,
        "broker-ca": stack.authority.path,
        "client-id": name,
        "certificate": certificate,
        "key": certificate.with_suffix(".key"),
        "region": REGION,
        # The broker's own, whatever a policy says.
        "topic-filter": "$from/+/any",
    }
    words = [str(word) for option, value in options.items() for word in (f"--{option}", value)]
    done = subprocess.run(
        [sys.executable, "-m", "bridge.front_door", *words],
        env=os.environ | {"FRONT_DOOR_ACCESS_KEY_ID": "test", "FRONT_DOOR_SECRET_ACCESS_KEY": "test"},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    enrolment.remove([name])
    assert done.returncode == 1, done.stderr
    assert f"error: the broker refuses {name} a subscription to $from/+/any" in done.stderr
