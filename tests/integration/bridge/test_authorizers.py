"""Custom authorizers by AWS's device SDK and paho: a function says who a client without a certificate is.

"Custom authentication" (custom-authorizer, config-custom-auth, custom-auth-lambda, custom-auth) of the AWS IoT Core
developer guide.
"""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

import paho.mqtt.client as mqtt
import pytest
import requests
from awscrt import mqtt5
from awsiot import mqtt5_client_builder
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from paho.mqtt.enums import CallbackAPIVersion

from tests.integration.bridge.conftest import PATIENCE_SECONDS, Stack, wait_for
from tests.integration.bridge.test_actions import make_function

pytestmark = pytest.mark.own_broker("Mosquitto asks no function")

# Lets in who gives the password or the token, and checks the event against custom-auth-lambda.html.
FUNCTION = """
import base64, json, uuid

def handler(event, context):
    given = event["protocolData"].get("mqtt", {})
    name = given.get("clientId", "tested")
    if name.endswith("-tls"):
        assert event["protocols"] == ["tls", "mqtt"], event
        assert event["protocolData"]["tls"] == {"serverName": "localhost"}, event
        assert "http" not in event["protocolData"], event
    elif name.endswith("-ws"):
        assert event["protocols"] == ["tls", "http", "mqtt"], event
        headers = {key.lower(): value for key, value in event["protocolData"]["http"]["headers"].items()}
        assert headers["sec-websocket-protocol"] == "mqtt", event
    uuid.UUID(event["connectionMetadata"]["id"])
    password = base64.b64decode(given.get("password", "")).decode()
    allowed = event.get("token") == "a token" if event["signatureVerified"] else password == "let me in"
    connect = {"Effect": "Allow", "Action": "iot:Connect", "Resource": "arn:aws:iot:*:*:client/" + name}
    own = ["arn:aws:iot:*:*:%s/own/${iot:ClientId}" % kind for kind in ("topic", "topicfilter")]
    own.append("arn:aws:iot:*:*:topic/http/" + name)
    more = {"Effect": "Allow", "Action": ["iot:Publish", "iot:Subscribe", "iot:Receive"], "Resource": own}
    return {
        "isAuthenticated": allowed,
        "principalId": "visitor1",
        "disconnectAfterInSeconds": 3600,
        "refreshAfterInSeconds": 300,
        "policyDocuments": [
            {"Version": "2012-10-17", "Statement": [connect]},
            json.dumps({"Version": "2012-10-17", "Statement": [more]}),
        ],
    }
"""

MakeAuthorizer = Callable[..., str]


@pytest.fixture(scope="module")
def signing_key() -> rsa.RSAPrivateKey:
    """Make the key that signs tokens."""
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
def authorizer(stack: Stack, name: str, signing_key: rsa.RSAPrivateKey) -> Iterator[MakeAuthorizer]:
    """``authorizer(signed=...)`` makes an ACTIVE authorizer of this test's name, and returns its ARN."""
    iot, functions = stack.emulator.client("iot"), stack.emulator.client("lambda")
    function = make_function(stack, name, FUNCTION)

    def make(*, signed: bool) -> str:
        public = signing_key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        signing = {"tokenKeyName": "TokenKey", "tokenSigningPublicKeys": {"first": public.decode()}}
        made: str = iot.create_authorizer(
            authorizerName=name,
            authorizerFunctionArn=function,
            status="ACTIVE",
            **(signing if signed else {"signingDisabled": True}),
        )["authorizerArn"]
        return made

    yield make
    iot.update_authorizer(authorizerName=name, status="INACTIVE")
    iot.delete_authorizer(authorizerName=name)
    functions.delete_function(FunctionName=name)


class Visitor:
    """A client of the device SDK's, made by one of its builders for custom authorizers."""

    def __init__(
        self, stack: Stack, builder: Callable[..., mqtt5.Client], client_id: str, **given: Any
    ) -> None:
        self.received: list[bytes] = []
        self.failures: list[Any] = []
        self.connected, self.refused, self._stopped = threading.Event(), threading.Event(), threading.Event()
        self.client = builder(
            endpoint="localhost",
            port=stack.place.ports.websocket,
            ca_filepath=str(stack.authority.path),
            client_id=client_id,
            on_publish_received=lambda data: self.received.append(data.publish_packet.payload),
            on_lifecycle_connection_success=lambda _: self.connected.set(),
            on_lifecycle_connection_failure=self._failed,
            on_lifecycle_stopped=lambda _: self._stopped.set(),
            **given,
        )
        self.client.start()

    def _failed(self, failure: Any) -> None:
        self.failures.append(failure)
        self.refused.set()

    def close(self) -> None:
        """Disconnect."""
        self.client.stop()
        assert self._stopped.wait(PATIENCE_SECONDS)


@pytest.fixture
def visit(stack: Stack) -> Iterator[Callable[..., Visitor]]:
    """``visit(builder, client_id, ...)`` connects."""
    made: list[Visitor] = []

    def make(builder: Callable[..., mqtt5.Client], client_id: str, **given: Any) -> Visitor:
        made.append(Visitor(stack, builder, client_id, **given))
        return made[-1]

    yield make
    for one in made:
        one.close()


def _signature(key: rsa.RSAPrivateKey, token: str) -> str:
    return base64.b64encode(key.sign(token.encode(), padding.PKCS1v15(), hashes.SHA256())).decode()


def test_a_password_opens_mqtt_over_tls_for_what_the_policies_say(
    authorizer: MakeAuthorizer, visit: Callable[..., Visitor], name: str
) -> None:
    authorizer(signed=False)
    direct = mqtt5_client_builder.direct_with_custom_authorizer
    given = {"auth_username": "someone", "auth_authorizer_name": name}
    client_id = f"{name}-tls"
    wrong = visit(direct, client_id, auth_password=b"wrong", **given)
    assert wrong.refused.wait(PATIENCE_SECONDS)
    assert wrong.failures[0].connack_packet.reason_code == mqtt5.ConnectReasonCode.NOT_AUTHORIZED
    visitor = visit(direct, client_id, auth_password=b"let me in", **given)
    assert visitor.connected.wait(PATIENCE_SECONDS), visitor.failures
    own, other = (
        mqtt5.Subscription(topic, mqtt5.QoS.AT_LEAST_ONCE) for topic in (f"own/{client_id}", "own/x")
    )
    suback = visitor.client.subscribe(mqtt5.SubscribePacket([own, other])).result(PATIENCE_SECONDS)
    assert suback.reason_codes == [
        mqtt5.SubackReasonCode.GRANTED_QOS_1,
        mqtt5.SubackReasonCode.NOT_AUTHORIZED,
    ]
    sent = mqtt5.PublishPacket(topic=f"own/{client_id}", payload=b"x", qos=mqtt5.QoS.AT_LEAST_ONCE)
    visitor.client.publish(sent).result(PATIENCE_SECONDS)
    assert wait_for(lambda: visitor.received) == [b"x"]


def test_a_signed_token_opens_a_websocket_and_a_wrong_signature_does_not(
    authorizer: MakeAuthorizer, visit: Callable[..., Visitor], name: str, signing_key: rsa.RSAPrivateKey
) -> None:
    authorizer(signed=True)
    given = {
        "auth_authorizer_name": name,
        "auth_token_key_name": "TokenKey",
        "auth_token_value": "a%20token",
    }
    websockets = mqtt5_client_builder.websockets_with_custom_authorizer
    # The function would let it in.
    forged = _signature(rsa.generate_private_key(65537, 2048), "a token")
    wrong = visit(websockets, f"{name}-ws", auth_authorizer_signature=forged, **given)
    assert wrong.refused.wait(PATIENCE_SECONDS)
    assert wrong.failures[0].connack_packet.reason_code == mqtt5.ConnectReasonCode.NOT_AUTHORIZED
    right = visit(
        websockets, f"{name}-ws", auth_authorizer_signature=_signature(signing_key, "a token"), **given
    )
    assert right.connected.wait(PATIENCE_SECONDS), right.failures


@pytest.mark.parametrize("place", ["headers", "query"])
def test_the_request_for_a_websocket_may_name_authorizer_and_token(
    stack: Stack, authorizer: MakeAuthorizer, name: str, signing_key: rsa.RSAPrivateKey, place: str
) -> None:
    authorizer(signed=True)
    given = {
        "x-amz-customauthorizer-name": name,
        "x-amz-customauthorizer-signature": _signature(signing_key, "a token"),
        "TokenKey": "a token",
    }
    connected = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"{name}-ws", transport="websockets")
    client.tls_set(str(stack.authority.path))
    query = "&".join(f"{key}={value.replace('+', '%2B').replace(' ', '%20')}" for key, value in given.items())
    client.ws_set_options(*(("/mqtt", given) if place == "headers" else (f"/mqtt?{query}", None)))
    client.on_connect = lambda _c, _d, _f, reason, _p: None if reason.is_failure else connected.set()
    client.connect("localhost", stack.place.ports.websocket)
    client.loop_start()
    try:
        assert connected.wait(PATIENCE_SECONDS)
    finally:
        client.disconnect()
        client.loop_stop()
        client._reset_sockets()


def test_the_default_authorizer_decides_where_none_is_named(
    stack: Stack, authorizer: MakeAuthorizer, visit: Callable[..., Visitor], name: str
) -> None:
    iot = stack.emulator.client("iot")
    arn = authorizer(signed=False)
    iot.set_default_authorizer(authorizerName=name)
    assert iot.describe_default_authorizer()["authorizerDescription"]["authorizerArn"] == arn
    direct = mqtt5_client_builder.direct_with_custom_authorizer
    known = visit(direct, f"{name}-tls", auth_username="someone", auth_password=b"let me in")
    assert known.connected.wait(PATIENCE_SECONDS), known.failures
    iot.clear_default_authorizer()
    late = visit(direct, f"{name}-late-tls", auth_username="someone", auth_password=b"let me in")
    assert late.refused.wait(PATIENCE_SECONDS)


def test_an_http_request_may_publish_by_an_authorizer(
    stack: Stack, authorizer: MakeAuthorizer, name: str, signing_key: rsa.RSAPrivateKey
) -> None:
    """By `requests`, as "HTTPS" of custom-auth.html has it, with and without what the authorizer wants."""
    authorizer(signed=True)
    given = {
        "x-amz-customauthorizer-name": name,
        "x-amz-customauthorizer-signature": _signature(signing_key, "a token"),
        "TokenKey": "a token",
    }

    def post(topic: str, headers: dict[str, str]) -> int:
        url = f"http://127.0.0.1:{stack.place.ports.data}/topics/{topic}?qos=1"
        return requests.post(url, data=b"x", headers=headers, timeout=PATIENCE_SECONDS).status_code

    assert post("http/tested", given) == HTTPStatus.OK
    assert post("own/other", given) == HTTPStatus.FORBIDDEN
    assert post("http/tested", given | {"TokenKey": "another"}) == HTTPStatus.UNAUTHORIZED
    assert post("http/tested", given | {"x-amz-customauthorizer-name": "none"}) == HTTPStatus.UNAUTHORIZED
    assert post("http/tested", {}) == HTTPStatus.FORBIDDEN


def test_an_authorizer_can_be_tried_by_the_api(
    stack: Stack, authorizer: MakeAuthorizer, name: str, signing_key: rsa.RSAPrivateKey
) -> None:
    iot = stack.emulator.client("iot")
    authorizer(signed=True)
    said = iot.test_invoke_authorizer(
        authorizerName=name, token="a token", tokenSignature=_signature(signing_key, "a token")
    )
    assert (said["isAuthenticated"], said["principalId"], said["refreshAfterInSeconds"]) == (
        True,
        "visitor1",
        300,
    )
    assert json.loads(said["policyDocuments"][1])["Version"] == "2012-10-17"
    with pytest.raises(iot.exceptions.UnauthorizedException, match="signature"):
        iot.test_invoke_authorizer(authorizerName=name, token="other", tokenSignature="AAAA")


def test_the_api_refuses_what_aws_refuses(stack: Stack, authorizer: MakeAuthorizer, name: str) -> None:
    iot = stack.emulator.client("iot")
    arn = authorizer(signed=False)
    with pytest.raises(iot.exceptions.DeleteConflictException):
        iot.delete_authorizer(authorizerName=name)
    with pytest.raises(ClientError, match="tokenSigningPublicKeys are needed"):
        iot.create_authorizer(authorizerName=f"{name}-2", authorizerFunctionArn=arn)
    elliptic = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = elliptic.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()
    with pytest.raises(ClientError, match="2048 bits"):
        iot.create_authorizer(
            authorizerName=f"{name}-2",
            authorizerFunctionArn=arn,
            tokenKeyName="t",
            tokenSigningPublicKeys={"elliptic": pem},
        )
    assert {"authorizerName": name, "authorizerArn": arn} in iot.list_authorizers()["authorizers"]
