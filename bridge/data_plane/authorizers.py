"""Custom authorizers of the registry: finds them, and tries them for users (``TestInvokeAuthorizer``)."""

import asyncio
import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import Any

from bridge.authorizers import Decision, RefusedError, Shown, decide, find
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
        try:
            authorizer = await asyncio.to_thread(find, self._registry, name)
        except RefusedError as error:
            raise ServiceError("ResourceNotFoundException", str(error)) from error
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

    async def has_default(self) -> bool:
        """Return whether the account has a default authorizer."""
        try:
            await asyncio.to_thread(find, self._registry, None)
        except RefusedError:
            return False
        return True

    async def decide(self, shown: Shown) -> Decision:
        """Have the authorizer decide that a client asks for.

        Raises:
            RefusedError: there is none, or it does not let the client in.
        """
        return await asyncio.to_thread(
            lambda: decide(shown, find(self._registry, shown.authorizer), self._invoke)
        )


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
