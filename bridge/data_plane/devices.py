"""HTTPS for devices with their certificates: "HTTPS" of protocols.html and http.html, developer guide.

Who calls is known by the certificate, which TLS has proved; whether it is registered and ACTIVE, and what its
policies allow, is asked at each request. HTTPS has no client id, so policy variables of it and of things have no
value ("only available when a device connects over MQTT", thing-policy-variables.html).
"""

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import structlog
from aiohttp import web
from cryptography import x509
from cryptography.x509.oid import NameOID

from bridge.data_plane import wire
from bridge.data_plane.errors import ServiceError
from bridge.data_plane.http import MOST_BODY_BYTES, Operations, answered
from bridge.data_plane.role_aliases import RoleAliases
from bridge.policies import Connection, Policies
from bridge.registry import Principal, Registry
from bridge.tls import server_name

log = structlog.get_logger()

# AWS says no more; the log does.
_FORBIDDEN = ("ForbiddenException", "Forbidden")
_ACCESS_DENIED = ("AccessDeniedException", "Access Denied")

_Resource = Callable[[Mapping[str, Any]], str]


def _topic(parameters: Mapping[str, Any]) -> str:
    return f"topic/{parameters['topic']}"


def _thing(parameters: Mapping[str, Any]) -> str:
    named = parameters.get("shadowName")
    return f"thing/{parameters['thingName']}" + (f"/{named}" if named else "")


def _all(_parameters: Mapping[str, Any]) -> str:
    return "*"


# "AWS IoT Core action resources" (iot-action-resources.html); of jobs "AWS IoT Core policies for HTTPS protocol"
# (iot-data-plane-jobs.html). What is not here nobody may do.
_RESOURCES: Mapping[str, tuple[str, _Resource]] = {
    "Publish": ("iot", _topic),
    "GetRetainedMessage": ("iot", _topic),
    "ListRetainedMessages": ("iot", _all),
    "GetThingShadow": ("iot", _thing),
    "UpdateThingShadow": ("iot", _thing),
    "DeleteThingShadow": ("iot", _thing),
    "ListNamedShadowsForThing": ("iot", _all),
    "GetPendingJobExecutions": ("iotjobsdata", _thing),
    "StartNextPendingJobExecution": ("iotjobsdata", _thing),
    "DescribeJobExecution": ("iotjobsdata", _thing),
    "UpdateJobExecution": ("iotjobsdata", _thing),
}


@dataclass(frozen=True)
class Caller:
    """A device that makes a request: the id of its certificate, or what a custom authorizer calls it."""

    name: str
    policies: Policies
    connection: Connection

    def may(self, action: str, resource: str, refusal: tuple[str, str] = _FORBIDDEN) -> None:
        """Ask its policies.

        Raises:
            ServiceError: they do not allow it.
        """
        if not self.policies.allow(action, resource, self.connection):
            why = self.policies.refusal(action, resource, self.connection)
            log.info("device_refused", principal=self.name, reason=why)
            raise ServiceError(*refusal)

    def call(self, request: web.Request, body: bytes) -> wire.Call:
        """Read a call of iot-data or iot-jobs-data, if its policies allow it.

        Raises:
            ServiceError: they do not, or it is none.
        """
        target = request.raw_path
        call = wire.read(wire.service_at(target), request.method, target, request.headers, body)
        if call.operation not in _RESOURCES:
            raise ServiceError("NotImplementedException", f"{call.operation} is not for devices here")
        prefix, resource_of = _RESOURCES[call.operation]
        resource = resource_of(call.parameters)
        self.may(f"{prefix}:{call.operation}", resource)
        if call.operation == "Publish" and call.parameters.get("retain"):
            self.may("iot:RetainPublish", resource)
        return call


class Devices:
    """Knows devices by their certificates."""

    def __init__(self, registry: Registry) -> None:
        """Ask the registry."""
        self._registry = registry
        self._pool = ThreadPoolExecutor(8, thread_name_prefix="devices")

    async def caller(self, request: web.Request) -> Caller:
        """Return who makes a request.

        Raises:
            ServiceError: its certificate is not registered and ACTIVE.
        """
        transport = request.transport
        if transport is None:
            raise ConnectionError("the client is gone")
        der = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        if not der:
            raise ServiceError(*_FORBIDDEN)
        certificate_id = hashlib.sha256(der).hexdigest()
        principal = await asyncio.get_running_loop().run_in_executor(self._pool, self._find, certificate_id)
        if principal is None or not principal.active:
            log.info("device_refused", principal=certificate_id, reason="it is not registered and ACTIVE")
            raise ServiceError(*_FORBIDDEN)
        certificate = x509.load_der_x509_certificate(der)
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        connection = Connection(
            "",
            str(names[0].value) if names else "",
            principal.things,
            certificate,
            source_ip=request.remote,
            connect_attributes=(),
            domain_name=server_name(transport),
        )
        return Caller(certificate_id, principal.policies, connection)

    def _find(self, certificate_id: str) -> Principal | None:
        # What was read for the request before may be another policy by now.
        self._registry.forget_policies()
        return self._registry.principal(certificate_id)

    async def admit(self, request: web.Request, body: bytes) -> wire.Call:
        """Read a call, if the caller may make it; see `bridge.data_plane.http.Admit`."""
        return (await self.caller(request)).call(request, body)


async def _credentials(request: web.Request, _body: bytes, devices: Devices, aliases: RoleAliases) -> bytes:
    """Give a device the credentials of a role alias, if its certificate's policies allow it."""
    caller = await devices.caller(request)
    alias, thing = request.match_info["alias"], request.headers.get("x-amzn-iot-thingname")
    if thing is not None and thing not in caller.connection.things:
        raise ServiceError("AccessDeniedException", "Invalid thing name passed")
    named = replace(caller, connection=replace(caller.connection, thing=thing))
    named.may("iot:AssumeRoleWithCertificate", f"rolealias/{alias}", _ACCESS_DENIED)
    return json.dumps(await aliases.credentials(alias, caller.name)).encode()


def application(operations: Operations, devices: Devices, aliases: RoleAliases) -> web.Application:
    """Make the service for devices; it must listen by TLS that demands a client certificate."""

    async def answer(request: web.Request) -> web.Response:
        return await operations.answer(request, devices.admit)

    async def credentials(request: web.Request) -> web.Response:
        return await answered(request, partial(_credentials, devices=devices, aliases=aliases))

    service = web.Application(client_max_size=MOST_BODY_BYTES)
    service.router.add_get("/role-aliases/{alias}/credentials", credentials)
    service.router.add_route("*", "/{path:.*}", answer)
    return service
