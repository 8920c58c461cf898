"""The HTTP form of AWS's REST APIs, read from botocore's service models: which operation, with which parameters."""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, unquote

import botocore.loaders
from botocore.model import OperationModel, ServiceModel, Shape
from botocore.validate import ParamValidator

from bridge.data_plane.errors import ServiceError

# By the service in the signature's scope: botocore signs "iotdata"; other SDKs and AWS's documents have
# "iotdevicegateway" ("Device Shadow REST API").
_SIGNED_AS = {
    "iotdata": "iot-data",
    "iotdevicegateway": "iot-data",
    "iot-jobs-data": "iot-jobs-data",
    "iot": "iot",
    "execute-api": "iot",
}
_SCOPE = re.compile(r"Credential=[^/]+/\d{8}/[^/]+/([^/]+)/aws4_request")
_JOBS = re.compile(r"/things/[^/]+/jobs(?:[/?]|$)")


@dataclass(frozen=True)
class Call:
    """A request: an operation of a service, and its parameters as boto3 names them; blobs are bytes."""

    service: str
    operation: str
    parameters: dict[str, Any]


def service_of(headers: Mapping[str, str]) -> str:
    """Return which service a signed request is for.

    Raises:
        ServiceError: it is not signed, or for another service.
    """
    authorization = headers.get("Authorization", "")
    found = _SCOPE.search(authorization)
    if found is None:
        raise ServiceError("MissingAuthenticationTokenException", "Missing Authentication Token")
    service = _SIGNED_AS.get(found[1])
    if service is None:
        raise ServiceError("ForbiddenException", f"a request to '{found[1]}' does not belong here")
    return service


def service_at(path: str) -> str:
    """Return which service of a device's endpoint has a path: AWS IoT has both behind one name."""
    return "iot-jobs-data" if _JOBS.match(path) else "iot-data"


def read(service: str, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Call:
    """Find the operation of a request, and its parameters.

    Args:
        service: botocore's name of it, such as ``iot-data``.
        method: of HTTP.
        target: path and query as they came, percent-encoded.
        headers: in any case.
        body: all of it.

    Raises:
        ServiceError: there is no such operation, or a parameter is not as the service's model says.
    """
    path, _, query = target.partition("?")
    for pattern, operation in _operations(service, method):
        found = pattern.fullmatch(path)
        if found:
            parameters = _parameters(operation, found, dict(parse_qsl(query)), headers, body)
            return Call(service, operation.name, parameters)
    raise ServiceError("InvalidRequestException", f"there is no operation {method} {unquote(path)}")


def write(call: Call, answer: Mapping[str, Any]) -> bytes:
    """Return the body of an answer; a member that is the whole body goes as it is, a blob in base64."""
    shape = service_model(call.service).operation_model(call.operation).output_shape
    payload = shape.serialization.get("payload") if shape else None
    if payload:
        return bytes(answer.get(payload, b""))
    members = {
        name: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for name, value in answer.items()
        if value is not None
    }
    return json.dumps(members).encode()


@cache
def service_model(service: str) -> ServiceModel:
    """Return what botocore knows of a service."""
    return ServiceModel(botocore.loaders.Loader().load_service_model(service, "service-2"), service)


@cache
def _operations(service: str, method: str) -> tuple[tuple[re.Pattern[str], OperationModel], ...]:
    model = service_model(service)
    found = [model.operation_model(name) for name in model.operation_names]
    # Those with fewer variables first: "/things/{thingName}/jobs/$next" before "/things/{thingName}/jobs/{jobId}";
    # then the longer ones: "/connections/{clientId}/subscriptions" before "/connections/{clientId}".
    chosen = sorted(
        (one for one in found if one.http["method"] == method),
        key=lambda one: (one.http["requestUri"].count("{"), -len(one.http["requestUri"])),
    )
    return tuple((_pattern(one.http["requestUri"]), one) for one in chosen)


def _pattern(template: str) -> re.Pattern[str]:
    # The slashes of a topic or client id are encoded by boto3, and by others not.
    parts = re.split(r"(\{\w+\})", template)
    return re.compile(
        "".join(
            f"(?P<{part[1:-1]}>{'.+' if part in ('{topic}', '{clientId}') else '[^/]+'})"
            if part.startswith("{")
            else re.escape(part).replace(r"\$", r"(?:\$|%24)")
            for part in parts
        )
    )


def _parameters(
    operation: OperationModel,
    path: re.Match[str],
    query: Mapping[str, str],
    headers: Mapping[str, str],
    body: bytes,
) -> dict[str, Any]:
    shape = operation.input_shape
    if shape is None:
        return {}
    payload = shape.serialization.get("payload")
    found: dict[str, Any] = {}
    document = {} if payload else _document(body)
    for name, member in shape.members.items():
        place = member.serialization.get("location")
        sent = member.serialization.get("name", name)
        if name == payload:
            found[name] = body
        elif place == "uri":
            found[name] = unquote(path[sent])
        elif place == "querystring" and sent in query:
            found[name] = _typed(query[sent], member, sent)
        elif place == "header" and sent in headers:
            found[name] = _typed(headers[sent], member, sent)
        elif place is None and document.get(sent) is not None:
            found[name] = document[sent]
    faults = ParamValidator().validate(found, shape)
    if faults.has_errors():
        raise ServiceError("InvalidRequestException", faults.generate_report())
    return found


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body or b"{}")
    except ValueError as error:
        raise ServiceError("InvalidRequestException", f"the body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ServiceError("InvalidRequestException", "the body is not a JSON object")
    return document


def _typed(text: str, shape: Shape, name: str) -> Any:
    try:
        match shape.type_name:
            case "integer" | "long":
                return int(text)
            case "boolean":
                return {"true": True, "false": False}[text.lower()]
            case "string" if shape.serialization.get("jsonvalue"):
                return base64.b64decode(text, validate=True).decode()
            case _:
                return text
    except (KeyError, ValueError) as error:
        raise ServiceError("InvalidRequestException", f"{name} is not a {shape.type_name}: {text}") from error
