"""Custom authorizers: a function of the user's own says who a client is, and what it may do.

"Understanding the custom authentication workflow" (custom-authorizer.html), "Defining your Lambda function"
(custom-auth-lambda.html) and "Connecting to AWS IoT Core by using custom authentication" (custom-auth.html) of the AWS
IoT Core developer guide.
"""

import base64
import binascii
import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from botocore.exceptions import ClientError
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from bridge.clients import FunctionFailedError, Invoke
from bridge.control_plane import ControlPlane

# "The Lambda function timeout limit for custom authorizer is 5 seconds."
FUNCTION_SECONDS = 5.0
_NAME, _SIGNATURE = "x-amz-customauthorizer-name", "x-amz-customauthorizer-signature"
_PRINCIPAL = re.compile(r"[a-zA-Z0-9]{1,128}")
_FEWEST_SECONDS, _MOST_SECONDS = 300, 86_400
_MOST_POLICIES, _MOST_POLICY_CHARACTERS = 10, 2048


class RefusedError(Exception):
    """The client is not let in; the message says why, for the log."""


@dataclass(frozen=True)
class Shown:
    """What a client shows of itself.

    Attributes:
        server_name: that it asked for in TLS (SNI), "" if it asked for none.
        headers: of its HTTP request; None where it made none.
        query: of that request, without the question mark.
        username: of its MQTT CONNECT, with the query that may be in it; None without one.
        password: of its MQTT CONNECT.
        client_id: of its MQTT CONNECT, "" if it gave none.
        mqtt: whether it speaks MQTT.
    """

    server_name: str = ""
    headers: Mapping[str, str] | None = None
    query: str = ""
    username: str | None = None
    password: bytes | None = None
    client_id: str = ""
    mqtt: bool = True
    connection: str = field(default_factory=lambda: str(uuid.uuid4()))

    def value(self, name: str) -> str | None:
        """Return a value that it gave by this name: in headers, in the query, or in that of its user name."""
        for header, value in (self.headers or {}).items():
            if header.lower() == name.lower():
                return value
        _, _, in_username = (self.username or "").partition("?")
        for query in (self.query, in_username):
            for pair in query.split("&"):
                given, _, value = pair.partition("=")
                # A plus stays one: it belongs to the alphabet of base64.
                if unquote(given) == name:
                    return unquote(value)
        return None

    @property
    def authorizer(self) -> str | None:
        """The name of the authorizer that it asks for."""
        return self.value(_NAME)

    def event(self, token: str | None, *, verified: bool) -> dict[str, Any]:
        """Return the event for the function; what is not there is left out."""
        protocols: dict[str, dict[str, Any]] = {"tls": {"serverName": self.server_name}}
        if self.headers is not None:
            query = f"?{self.query}" if self.query else ""
            protocols["http"] = {"headers": dict(self.headers), "queryString": query}
        if self.mqtt:
            given = {
                "username": self.username,
                "password": None if self.password is None else base64.b64encode(self.password).decode(),
                "clientId": self.client_id or None,
            }
            protocols["mqtt"] = {name: value for name, value in given.items() if value is not None}
        return {
            **({} if token is None else {"token": token}),
            "signatureVerified": verified,
            "protocols": list(protocols),
            "protocolData": protocols,
            "connectionMetadata": {"id": self.connection},
        }


@dataclass(frozen=True)
class Decision:
    """What an authorizer said: who it is, its policies, and for how many seconds each."""

    authorizer_arn: str
    principal: str
    policies: tuple[dict[str, Any], ...]
    disconnect_after: int
    refresh_after: int


def find(registry: ControlPlane, name: str | None) -> dict[str, Any]:
    """Return the description of an authorizer, or of the account's default if none is named.

    Raises:
        RefusedError: there is none.
        botocore.exceptions.BotoCoreError, ClientError: the control plane does not answer.
    """
    try:
        found = (
            registry.call("DescribeAuthorizer", authorizerName=name)
            if name
            else registry.call("DescribeDefaultAuthorizer")
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        fault = (
            f"there is no authorizer {name}" if name else "it names no authorizer, and there is no default"
        )
        raise RefusedError(fault) from error
    return dict(found["authorizerDescription"])


def decide(shown: Shown, authorizer: Mapping[str, Any], invoke: Invoke) -> Decision:
    """Have an authorizer decide.

    Args:
        shown: by the client.
        authorizer: its description, as ``DescribeAuthorizer`` gives it.
        invoke: calls the function of an ARN with an event, and returns what it answers.

    Raises:
        RefusedError: the signature is missing or wrong, or the function does not let the client in, or says
            something that AWS does not take.
    """
    if authorizer["status"] != "ACTIVE":
        raise RefusedError(f"the authorizer {authorizer['authorizerName']} is not ACTIVE")
    key_name = authorizer.get("tokenKeyName")
    token = shown.value(key_name) if key_name else None
    verified = not authorizer.get("signingDisabled", False)
    if verified:
        _verify(token, shown.value(_SIGNATURE), authorizer)
    function = authorizer["authorizerFunctionArn"]
    try:
        answer = invoke(function, shown.event(token, verified=verified))
    except FunctionFailedError as error:
        raise RefusedError(f"the authorizer's function failed: {error}") from error
    return _read(answer, authorizer["authorizerArn"])


def _verify(token: str | None, signature: str | None, authorizer: Mapping[str, Any]) -> None:
    if token is None or signature is None:
        missing = authorizer["tokenKeyName"] if token is None else _SIGNATURE
        raise RefusedError(
            f"{missing} is missing: the authorizer {authorizer['authorizerName']} wants tokens signed"
        )
    try:
        given = base64.b64decode(signature, validate=True)
    except binascii.Error as error:
        raise RefusedError("the token's signature is not base64") from error
    for pem in authorizer["tokenSigningPublicKeys"].values():
        key = load_pem_public_key(pem.encode())
        assert isinstance(key, RSAPublicKey)  # noqa: S101  # the registry takes no other
        try:
            key.verify(given, token.encode(), PKCS1v15(), SHA256())
        except InvalidSignature:
            continue
        return
    raise RefusedError("the token's signature is by none of the authorizer's keys")


def _read(answer: Any, arn: str) -> Decision:
    if not isinstance(answer, dict) or answer.get("isAuthenticated") is not True:
        raise RefusedError("the authorizer does not let it in (isAuthenticated is not true)")
    principal = answer.get("principalId")
    if not isinstance(principal, str) or not _PRINCIPAL.fullmatch(principal):
        raise RefusedError(f"the authorizer's principalId {principal!r} is not 1 to 128 letters and digits")
    return Decision(
        arn,
        principal,
        _policies(answer.get("policyDocuments")),
        _seconds(answer, "disconnectAfterInSeconds"),
        _seconds(answer, "refreshAfterInSeconds"),
    )


def _policies(given: Any) -> tuple[dict[str, Any], ...]:
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) > _MOST_POLICIES:
        raise RefusedError(
            f"the authorizer's policyDocuments is no list of at most {_MOST_POLICIES} policies"
        )
    found = []
    for one in given:
        text = one if isinstance(one, str) else json.dumps(one, separators=(",", ":"))
        try:
            document = json.loads(text)
        except ValueError as error:
            raise RefusedError(f"a policy of the authorizer's is not JSON: {error}") from error
        if not isinstance(document, dict) or len(text) > _MOST_POLICY_CHARACTERS:
            raise RefusedError(
                f"a policy of the authorizer's is no object of at most {_MOST_POLICY_CHARACTERS} characters"
            )
        found.append(document)
    return tuple(found)


def _seconds(answer: Mapping[str, Any], name: str) -> int:
    value = answer.get(name)
    if not isinstance(value, int) or not _FEWEST_SECONDS <= value <= _MOST_SECONDS:
        raise RefusedError(
            f"the authorizer's {name} is {value!r}: AWS takes an integer from {_FEWEST_SECONDS} to {_MOST_SECONDS}"
        )
    return value
