"""DynamoDB's writes of the handler, signed and sent without what botocore does beside that.

A batch of a thousand stations is a thousand conditional writes, and botocore takes five times the CPU of this for each:
parameters checked, handlers asked, a request built, an answer parsed by the service's model. Lambda bills it. What is
botocore's still: credentials, region, the service's host, certificates and the exceptions.
"""

import hashlib
import hmac
import http.client
import os
import random
import socket
import ssl
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Protocol
from urllib.parse import urlsplit

import botocore.session
import msgspec
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from botocore.httpsession import get_cert_path

# As of the clients of `clients.py`: three attempts stay below half of the function's timeout.
_CONNECT_SECONDS, _ANSWER_SECONDS, _ATTEMPTS = 2, 5, 3
# "OK to retry? Yes", beside every 5xx ("Error handling with DynamoDB", developer guide).
_RETRIED = frozenset(
    {
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottlingException",
        "TransactionInProgressException",
    }
)
_SERVER_ERROR = 500
_encoder, _decoder = msgspec.json.Encoder(), msgspec.json.Decoder()


class Items(Protocol):
    """What the stores need of DynamoDB: botocore's client has it, and `DynamoDB`."""

    @property
    def exceptions(self) -> Any:
        """Exceptions by name: ``ConditionalCheckFailedException``."""

    @property
    def update_item(self) -> Callable[..., Any]:
        """Make the call of that name, with the API's parameters."""

    @property
    def put_item(self) -> Callable[..., Any]:
        """Make the call of that name, with the API's parameters."""

    @property
    def batch_execute_statement(self) -> Callable[..., Any]:
        """Make the call of that name, with the API's parameters."""


class ConditionalCheckFailedException(ClientError):  # noqa: N818  # the service's name
    """The condition of a write did not hold."""


class _InOnePiece(http.client.HTTPConnection):
    """Sends head and body of a request together, and waits less long for a connection than for an answer."""

    _unsent = b""

    def connect(self) -> None:
        """Connect, and have a dead peer noticed."""
        super().connect()
        self.sock.settimeout(_ANSWER_SECONDS)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def send(self, data: Any) -> None:
        """Keep it until the answer is asked for."""
        self._unsent += data

    def getresponse(self) -> http.client.HTTPResponse:
        """Send what was kept, and wait."""
        whole, self._unsent = self._unsent, b""
        super().send(whole)
        return super().getresponse()


class _Plain(_InOnePiece):
    """Without TLS: an emulator's."""


class _Secured(_InOnePiece, http.client.HTTPSConnection):
    """With TLS."""


class DynamoDB:
    """Calls from any number of threads, as botocore's client of DynamoDB makes them; see `Items`."""

    exceptions = SimpleNamespace(ConditionalCheckFailedException=ConditionalCheckFailedException)

    def __init__(
        self,
        endpoint_url: str,
        region: str,
        credentials: Callable[[], ReadOnlyCredentials],
        certificates: str | None = None,
    ) -> None:
        """Connect to nothing yet.

        Args:
            endpoint_url: http or https, and a host.
            region: part of the signature.
            credentials: returns those that are good now.
            certificates: file of the authorities that an https endpoint may have its certificate from.
        """
        parts = urlsplit(endpoint_url)
        self.url, self._region, self._credentials = endpoint_url, region, credentials
        self._host = parts.netloc
        host, port = parts.hostname or "", parts.port
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=certificates)
            self._connect: Callable[[], http.client.HTTPConnection] = lambda: _Secured(
                host, port, timeout=_CONNECT_SECONDS, context=context
            )
        else:
            self._connect = lambda: _Plain(host, port, timeout=_CONNECT_SECONDS)
        self._idle: list[http.client.HTTPConnection] = []
        self._key: tuple[str, str, bytes] = ("", "", b"")

    @classmethod
    def from_session(cls, session: botocore.session.Session) -> "DynamoDB":
        """Return one with the endpoint, region, credentials and certificates that the session's client would have.

        Raises:
            NoCredentialsError: there are none.
        """
        region = session.get_config_variable("region")
        url = os.environ.get("AWS_ENDPOINT_URL_DYNAMODB") or os.environ.get("AWS_ENDPOINT_URL")
        if not url:
            found = session.get_component("endpoint_resolver").construct_endpoint("dynamodb", region)
            url = f"https://{found['hostname']}"
        held = session.get_credentials()
        if held is None:
            raise NoCredentialsError
        certificates = session.get_config_variable("ca_bundle") or get_cert_path(verify=True)
        return cls(url, region, held.get_frozen_credentials, certificates)

    def update_item(self, **parameters: Any) -> dict[str, Any]:
        """Call UpdateItem.

        Raises:
            ConditionalCheckFailedException: its condition does not hold.
            ClientError: DynamoDB refused.
            EndpointConnectionError: it did not answer.
        """
        return self._call("UpdateItem", parameters)

    def put_item(self, **parameters: Any) -> dict[str, Any]:
        """Call PutItem; raises as `update_item` does."""
        return self._call("PutItem", parameters)

    def batch_execute_statement(self, **parameters: Any) -> dict[str, Any]:
        """Call BatchExecuteStatement; raises as `update_item` does, but not for what is said of one statement."""
        return self._call("BatchExecuteStatement", parameters)

    def close(self) -> None:
        """Close the connections that are not in use."""
        while self._idle:
            self._idle.pop().close()

    def _call(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        body = _encoder.encode(parameters)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                status, answer = self._exchange(operation, body)
            except (OSError, http.client.HTTPException) as error:
                if attempt == _ATTEMPTS:
                    raise EndpointConnectionError(endpoint_url=self.url, error=error) from error
            else:
                if status < 300:
                    return _decoder.decode(answer)  # type: ignore[no-any-return]
                refusal = _refusal(operation, status, answer)
                code = refusal.response["Error"]["Code"]
                if attempt == _ATTEMPTS or not (status >= _SERVER_ERROR or code in _RETRIED):
                    raise refusal
            # As botocore's standard mode waits.
            time.sleep(random.uniform(0, 2 ** (attempt - 1)))  # noqa: S311  # jitter
        raise AssertionError("unreachable")

    def _exchange(self, operation: str, body: bytes) -> tuple[int, bytes]:
        headers = self.signed(operation, body, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        try:
            connection.request("POST", "/", body, headers)
            answer = connection.getresponse()
            found = answer.read()
        except BaseException:
            connection.close()
            # What ended this one, such as a function's pause, has ended the others.
            self.close()
            raise
        self._idle.append(connection)
        return answer.status, found

    def signed(self, operation: str, body: bytes, at: str) -> dict[str, str]:
        """Return the headers of a call, signed by AWS's Signature Version 4.

        Source: "Create a signed AWS API request" of the IAM user guide.

        Args:
            operation: its name.
            body: of the request.
            at: the time, as ``20261125T100000Z``.
        """
        credentials = self._credentials()
        headers = {
            "content-type": "application/x-amz-json-1.0",
            "host": self._host,
            "x-amz-date": at,
            "x-amz-target": f"DynamoDB_20120810.{operation}",
        }
        if credentials.token:
            headers["x-amz-security-token"] = credentials.token
        names = sorted(headers)
        said = "".join(f"{name}:{headers[name]}\n" for name in names)
        listed = ";".join(names)
        canonical = f"POST\n/\n\n{said}\n{listed}\n{hashlib.sha256(body).hexdigest()}"
        scope = f"{at[:8]}/{self._region}/dynamodb/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.digest(
            self._signing_key(str(credentials.secret_key), at[:8]), text.encode(), "sha256"
        ).hex()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, SignedHeaders={listed}, "
            f"Signature={signature}"
        )
        # Nothing here unpacks.
        headers["accept-encoding"] = "identity"
        return headers

    def _signing_key(self, secret: str, day: str) -> bytes:
        known = self._key
        if known[:2] != (secret, day):
            key = f"AWS4{secret}".encode()
            for part in (day, self._region, "dynamodb", "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            known = self._key = (secret, day, key)
        return known[2]


def _refusal(operation: str, status: int, answer: bytes) -> ClientError:
    """Return what DynamoDB refused with, in botocore's form."""
    try:
        said = _decoder.decode(answer)
    except msgspec.DecodeError:
        said = None
    if not isinstance(said, dict):
        said = {}
    code = str(said.get("__type", status)).rpartition("#")[2]
    response: Any = {
        "Error": {"Code": code, "Message": str(said.get("message") or said.get("Message") or "")},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    kind = (
        ConditionalCheckFailedException if code == ConditionalCheckFailedException.__name__ else ClientError
    )
    return kind(response, operation)
