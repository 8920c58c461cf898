"""AWS IoT's control plane by signed requests over connections that are kept open.

A fleet makes tens of thousands of these calls, and boto3 takes 1.6 ms of CPU for each: parameters checked, a request
built, an answer parsed by the service's model, all of it under one lock of the interpreter. Here botocore signs,
its model says where a parameter goes, and the rest is HTTP and JSON: a quarter of that. It is for emulators on this
machine or beside it; on AWS the service's rates are the limit, and boto3's adaptive retries find them.
"""

import http.client
import json
import random
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import botocore.loaders
import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.model import ServiceModel

_ATTEMPTS = 4
_RETRIED_STATUSES = frozenset({429, 500, 502, 503, 504})


class _InOnePiece(http.client.HTTPConnection):
    """Sends head and body of a request together: two pieces are two system calls here, and two reads there."""

    _unsent = b""

    def send(self, data: Any) -> None:
        """Keep it until the answer is asked for."""
        self._unsent += data

    def getresponse(self) -> http.client.HTTPResponse:
        """Send what was kept, and wait."""
        whole, self._unsent = self._unsent, b""
        super().send(whole)
        return super().getresponse()


class _Connection(_InOnePiece):
    """Plain."""


class _TlsConnection(_InOnePiece, http.client.HTTPSConnection):
    """With TLS."""


class ControlPlane:
    """Calls at one endpoint, from any number of threads; as many connections as calls were made at once."""

    def __init__(
        self,
        endpoint_url: str,
        region: str,
        credentials: Credentials | ReadOnlyCredentials,
        *,
        seconds: float = 10,
    ) -> None:
        """Connect to nothing yet.

        Args:
            endpoint_url: http or https, host and port.
            region: part of the signature.
            credentials: sign each call.
            seconds: how long an answer may take.
        """
        self._url = endpoint_url.rstrip("/")
        parts = urlsplit(self._url)
        kind = _TlsConnection if parts.scheme == "https" else _Connection
        self._connect: Callable[[], http.client.HTTPConnection] = lambda: kind(
            parts.hostname or "", parts.port, timeout=seconds
        )
        self._signer = SigV4Auth(credentials, "iot", region)
        self._idle: list[http.client.HTTPConnection] = []
        weakref.finalize(self, _close_all, self._idle)

    def call(self, operation: str, **parameters: Any) -> Any:
        """Make a call; where the connection or the service fails it is made again, so it must bear that.

        Args:
            operation: its name in the API, such as ``AttachPolicy``.
            parameters: as boto3 takes them.

        Returns:
            The answer's JSON, as it came: a time is a number of seconds.

        Raises:
            ClientError: the service refused; in boto3's form.
            EndpointConnectionError: it does not answer.
        """
        return self._call(operation, *_operation(operation).request(parameters))

    def ask(self, path: str, document: Any) -> Any:
        """POST a JSON document to a path that AWS's API does not have, and return the answer's; as `call` does."""
        return self._call(path, "POST", path, {}, json.dumps(document).encode())

    def _call(self, name: str, method: str, target: str, headers: Mapping[str, str], data: bytes) -> Any:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                status, answer_headers, answer = self._exchange(method, target, headers, data)
            except (OSError, http.client.HTTPException) as error:
                if attempt == _ATTEMPTS:
                    raise EndpointConnectionError(endpoint_url=self._url, error=error) from error
            else:
                if status < 300:
                    return json.loads(answer) if answer else {}
                if status not in _RETRIED_STATUSES or attempt == _ATTEMPTS:
                    raise ClientError(_refusal(status, answer_headers, answer), name)
            time.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311  # jitter
        raise AssertionError("unreachable")

    def _exchange(
        self, method: str, target: str, headers: Mapping[str, str], data: bytes
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        request = AWSRequest(method, self._url + target, data=data, headers=headers)
        self._signer.add_auth(request)
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        try:
            connection.request(method, target, data, dict(request.headers))
            answer = connection.getresponse()
            found = answer.status, answer.headers, answer.read()
        except BaseException:
            connection.close()
            # What ended this one, such as the service's restart, has ended the others.
            _close_all(self._idle)
            raise
        self._idle.append(connection)
        return found


def control_plane(endpoint_url: str, region: str) -> ControlPlane:
    """Return one that signs with this program's credentials, or with an emulator's usual ones where it has none."""
    credentials = botocore.session.Session().get_credentials() or Credentials("test", "test")
    return ControlPlane(endpoint_url, region, credentials)


def _close_all(connections: list[http.client.HTTPConnection]) -> None:
    while connections:
        connections.pop().close()


@dataclass(frozen=True)
class _Operation:
    """An operation as the service's model has it: a template of a path, and where each parameter goes."""

    method: str
    path: str
    in_path: Mapping[str, str]
    in_query: Mapping[str, str]
    in_headers: Mapping[str, str]
    in_body: Mapping[str, str]

    def request(self, parameters: Mapping[str, Any]) -> tuple[str, str, dict[str, str], bytes]:
        """Return method, target, headers and body."""
        path, query, headers, body = self.path, {}, {}, {}
        for name, value in parameters.items():
            if name in self.in_path:
                path = path.replace("{" + self.in_path[name] + "}", quote(value, safe=""))
            elif name in self.in_query:
                query[self.in_query[name]] = str(value).lower() if isinstance(value, bool) else value
            elif name in self.in_headers:
                headers[self.in_headers[name]] = value
            else:
                body[self.in_body[name]] = value
        target = f"{path}?{urlencode(query)}" if query else path
        return self.method, target, headers, json.dumps(body).encode() if body else b""


@cache
def _model() -> ServiceModel:
    return ServiceModel(botocore.loaders.Loader().load_service_model("iot", "service-2"), "iot")


@cache
def _operation(name: str) -> _Operation:
    found = _model().operation_model(name)
    places: dict[str, dict[str, str]] = {"uri": {}, "querystring": {}, "header": {}, "body": {}}
    for member, shape in found.input_shape.members.items() if found.input_shape else ():
        where = shape.serialization.get("location", "body")
        places[where][member] = shape.serialization.get("name", member)
    return _Operation(
        found.http["method"],
        found.http["requestUri"],
        places["uri"],
        places["querystring"],
        places["header"],
        places["body"],
    )


def _refusal(status: int, headers: http.client.HTTPMessage, answer: bytes) -> Any:
    """Return what boto3 makes of the refusal of a service that speaks REST and JSON."""
    try:
        said = json.loads(answer)
    except ValueError:
        said = {}
    said = said if isinstance(said, dict) else {}
    kind = str(headers.get("x-amzn-errortype") or said.get("__type") or said.get("code") or status)
    return {
        "Error": {
            "Code": kind.split(":", 1)[0].rsplit("#", 1)[-1],
            "Message": said.get("message") or said.get("Message") or "",
        },
        "ResponseMetadata": {"HTTPStatusCode": status},
        **{name: value for name, value in said.items() if name.startswith("resource")},
    }
