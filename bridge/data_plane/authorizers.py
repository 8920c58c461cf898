"""The control plane of custom authorizers: the operations of ``iot`` on them ("Creating and managing ...")."""

import asyncio
import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from bridge.authorizers import RefusedError, Shown, check_keys, decide
from bridge.clients import Invoke
from bridge.data_plane.errors import ServiceError
from bridge.data_plane.shelf import Shelf

_NAME = re.compile(r"[\w=,@-]{1,128}")
_STATUSES = ("ACTIVE", "INACTIVE")
_CHANGED = (
    "authorizerFunctionArn",
    "tokenKeyName",
    "tokenSigningPublicKeys",
    "status",
    "enableCachingForHttp",
)
# The one document on the shelf of defaults.
_DEFAULT = "default"


class ControlAuthorizers:
    """What users ask of authorizers."""

    def __init__(self, shelf: Shelf, defaults: Shelf, invoke: Invoke) -> None:
        """Use shelves.

        Args:
            shelf: of the authorizers.
            defaults: of the account's default.
            invoke: calls a function, for ``TestInvokeAuthorizer``.
        """
        self._shelf, self._defaults, self._invoke = shelf, defaults, invoke

    def operations(self) -> dict[str, Callable[[Mapping[str, Any]], Any]]:
        """Return the operations by name."""
        return {
            "CreateAuthorizer": self.create,
            "DescribeAuthorizer": self.describe,
            "ListAuthorizers": self.list,
            "UpdateAuthorizer": self.update,
            "DeleteAuthorizer": self.delete,
            "SetDefaultAuthorizer": self.set_default,
            "DescribeDefaultAuthorizer": self.describe_default,
            "ClearDefaultAuthorizer": self.clear_default,
            "TestInvokeAuthorizer": self.test,
        }

    async def create(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``CreateAuthorizer``; without a status it is INACTIVE."""
        name = parameters["authorizerName"]
        if not _NAME.fullmatch(name):
            raise ServiceError("InvalidRequestException", f"authorizerName must be like {_NAME.pattern}")
        document = {
            "signingDisabled": parameters.get("signingDisabled", False),
            "status": "INACTIVE",
            "enableCachingForHttp": False,
            **{member: parameters[member] for member in _CHANGED if member in parameters},
        }
        _check(document)
        self._shelf.add(name, document, parameters.get("tags", []))
        return self._named(name)

    async def describe(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``DescribeAuthorizer``."""
        return {"authorizerDescription": self._description(parameters["authorizerName"])}

    async def list(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``ListAuthorizers``."""
        names, more = self._shelf.page(parameters)
        wanted = parameters.get("status")
        found = [name for name in names if wanted in (None, self._shelf.get(name)["status"])]
        return {"authorizers": [self._named(name) for name in found], **more}

    async def update(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``UpdateAuthorizer``."""
        name = parameters["authorizerName"]
        changed = {member: parameters.get(member) for member in _CHANGED}
        old = self._shelf.get(name)
        _check(old | {member: value for member, value in changed.items() if value is not None})
        self._shelf.change(name, **changed)
        return self._named(name)

    async def delete(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``DeleteAuthorizer``, of one that is INACTIVE and not the default."""
        name = parameters["authorizerName"]
        default = self._defaults.find(_DEFAULT)
        if self._shelf.get(name)["status"] == "ACTIVE" or (default and default["authorizerName"] == name):
            fault = f"{name} is ACTIVE, or the default: set it INACTIVE, and clear the default, first"
            raise ServiceError("DeleteConflictException", fault)
        self._shelf.remove(name)
        return {}

    async def set_default(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``SetDefaultAuthorizer``."""
        name = parameters["authorizerName"]
        self._shelf.get(name)
        if self._defaults.find(_DEFAULT):
            self._defaults.remove(_DEFAULT)
        self._defaults.add(_DEFAULT, {"authorizerName": name}, [])
        return self._named(name)

    async def describe_default(self, _parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``DescribeDefaultAuthorizer``."""
        default = self.find(None)
        if default is None:
            raise ServiceError("ResourceNotFoundException", "There is no default authorizer")
        return {"authorizerDescription": default}

    async def clear_default(self, _parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``ClearDefaultAuthorizer``."""
        if self._defaults.find(_DEFAULT) is None:
            raise ServiceError("ResourceNotFoundException", "There is no default authorizer")
        self._defaults.remove(_DEFAULT)
        return {}

    async def test(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``TestInvokeAuthorizer``: have it decide as if a client came."""
        authorizer = self._description(parameters["authorizerName"])
        shown = _shown(parameters, authorizer)
        try:
            decision = await asyncio.to_thread(decide, shown, authorizer, self._invoke)
        except RefusedError as error:
            raise ServiceError("UnauthorizedException", str(error)) from error
        return {
            "isAuthenticated": True,
            "principalId": decision.principal,
            "policyDocuments": [json.dumps(document) for document in decision.policies],
            "refreshAfterInSeconds": decision.refresh_after,
            "disconnectAfterInSeconds": decision.disconnect_after,
        }

    def find(self, name: str | None) -> dict[str, Any] | None:
        """Return the description of an authorizer, of the default if it is not named; None if there is none."""
        default = self._defaults.find(_DEFAULT)
        wanted = name or (default and default["authorizerName"])
        return self._description(wanted) if wanted and self._shelf.find(wanted) else None

    def _description(self, name: str) -> dict[str, Any]:
        return {**self._shelf.get(name), **self._named(name)}

    def _named(self, name: str) -> dict[str, str]:
        return {"authorizerName": name, "authorizerArn": self._shelf.arn(name)}


def _check(authorizer: Mapping[str, Any]) -> None:
    fault = None
    if not str(authorizer.get("authorizerFunctionArn", "")).startswith("arn:"):
        fault = "authorizerFunctionArn must be a function's ARN"
    elif authorizer["status"] not in _STATUSES:
        fault = "status is ACTIVE or INACTIVE"
    elif not authorizer["signingDisabled"] and not (
        authorizer.get("tokenKeyName") and authorizer.get("tokenSigningPublicKeys")
    ):
        fault = "tokenKeyName and tokenSigningPublicKeys are needed, unless signingDisabled is true"
    else:
        try:
            check_keys(authorizer.get("tokenSigningPublicKeys") or {})
        except ValueError as error:
            fault = str(error)
    if fault:
        raise ServiceError("InvalidRequestException", fault)


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
