"""Custom authorizers of the registry: finds them, and tries them for users (``TestInvokeAuthorizer``)."""

import asyncio
import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from bridge.authorizers import Decision, RefusedError, Shown, decide
from bridge.clients import Invoke
from bridge.control_plane import ControlPlane
from bridge.data_plane.errors import ServiceError


class Authorizers:
    """Has authorizers decide."""

    def __init__(self, registry: ControlPlane, invoke: Invoke) -> None:
        """Find them in a registry; ``invoke`` calls their functions."""
        self._registry, self._invoke = registry, invoke

    def operations(self) -> dict[str, Callable[[Mapping[str, Any]], Any]]:
        """Return the operations of ``iot`` by name."""
        return {"TestInvokeAuthorizer": self.test}

    async def test(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``TestInvokeAuthorizer``: have it decide as if a client came."""
        name = parameters["authorizerName"]
        authorizer = await self.find(name)
        if authorizer is None:
            raise ServiceError("ResourceNotFoundException", f"There is no authorizer {name}")
        try:
            decision = await asyncio.to_thread(
                decide, _shown(parameters, authorizer), authorizer, self._invoke
            )
        except RefusedError as error:
            raise ServiceError("UnauthorizedException", str(error)) from error
        return {
            "isAuthenticated": True,
            "principalId": decision.principal,
            "policyDocuments": [json.dumps(document) for document in decision.policies],
            "refreshAfterInSeconds": decision.refresh_after,
            "disconnectAfterInSeconds": decision.disconnect_after,
        }

    async def find(self, name: str | None) -> dict[str, Any] | None:
        """Return the description of an authorizer, of the default if it is not named; None if there is none."""
        return await asyncio.to_thread(self._find, name)

    async def decide(self, shown: Shown) -> Decision:
        """Have the authorizer decide that a client asks for.

        Raises:
            RefusedError: there is none, or it does not let the client in.
        """
        authorizer = await self.find(shown.authorizer)
        if authorizer is None:
            raise RefusedError(f"there is no authorizer {shown.authorizer or 'by default'}")
        return await asyncio.to_thread(decide, shown, authorizer, self._invoke)

    def _find(self, name: str | None) -> dict[str, Any] | None:
        try:
            found = (
                self._registry.call("DescribeAuthorizer", authorizerName=name)
                if name
                else self._registry.call("DescribeDefaultAuthorizer")
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            return None
        return dict(found["authorizerDescription"])


def _shown(parameters: Mapping[str, Any], authorizer: Mapping[str, Any]) -> Shown:
    """Return what the client of a test shows; token and signature stand among its headers."""
    web, mqtt = parameters.get("httpContext"), parameters.get("mqttContext")
    headers = dict((web or {}).get("headers", {}))
    if "token" in parameters and authorizer.get("tokenKeyName"):
        headers[authorizer["tokenKeyName"]] = parameters["token"]
    if "tokenSignature" in parameters:
        headers["x-amz-customauthorizer-signature"] = parameters["tokenSignature"]
    try:
        password = base64.b64decode(mqtt["password"]) if mqtt and "password" in mqtt else None
    except binascii.Error as error:
        raise ServiceError("InvalidRequestException", "the password is not base64") from error
    return Shown(
        parameters.get("tlsContext", {}).get("serverName", ""),
        headers if web is not None or headers else None,
        (web or {}).get("queryString", "").removeprefix("?"),
        (mqtt or {}).get("username"),
        password,
        (mqtt or {}).get("clientId", ""),
        mqtt is not None,
    )
