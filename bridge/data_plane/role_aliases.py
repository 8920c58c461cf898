"""Role aliases, and credentials for devices through them.

"Authorizing direct calls to AWS services using AWS IoT Core credential provider" (authorizing-direct-aws.html). What
AWS answers where it refuses is in docs/dev_notes.md of awslabs/aws-iot-core-credential-provider-session-helper, which
lists the answers of the service.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from bridge.data_plane.errors import ServiceError
from bridge.data_plane.shelf import Shelf

log = structlog.get_logger()

_SERVICE = "credentials.iot.amazonaws.com"
_NAME = re.compile(r"[\w=,@-]{1,128}")
_SECONDS, _FEWEST_SECONDS, _MOST_SECONDS = 3600, 900, 43_200
_UNABLE = "Unable to assume the role, or the role to assume does not exist"
_TOO_LONG = "The requested CredentialDurationSeconds exceeds the MaxSessionDuration set for the role"


class RoleAliases:
    """Names for IAM roles that devices may assume."""

    def __init__(self, shelf: Shelf, account_id: str, client: Callable[[str], Any]) -> None:
        """Use a shelf.

        Args:
            shelf: where they are kept.
            account_id: whose they are.
            client: makes a boto3 client of the service of that name; of ``iam`` and ``sts``.
        """
        self._shelf, self._account, self._client = shelf, account_id, client

    def operations(self) -> dict[str, Callable[[Mapping[str, Any]], Any]]:
        """Return the operations of ``iot`` by name."""
        return {
            "CreateRoleAlias": self.create,
            "DescribeRoleAlias": self.describe,
            "ListRoleAliases": self.list,
            "UpdateRoleAlias": self.update,
            "DeleteRoleAlias": self.delete,
        }

    async def create(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``CreateRoleAlias``."""
        name, seconds = parameters["roleAlias"], parameters.get("credentialDurationSeconds", _SECONDS)
        if not _NAME.fullmatch(name):
            raise ServiceError("InvalidRequestException", f"roleAlias must be like {_NAME.pattern}")
        _check(parameters["roleArn"], seconds)
        document = {"roleArn": parameters["roleArn"], "credentialDurationSeconds": seconds}
        self._shelf.add(name, document, parameters.get("tags", []))
        return self._named(name)

    async def describe(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``DescribeRoleAlias``."""
        name = parameters["roleAlias"]
        found = {**self._shelf.get(name), **self._named(name), "owner": self._account}
        return {"roleAliasDescription": found}

    async def list(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``ListRoleAliases``."""
        names, more = self._shelf.page(parameters)
        return {"roleAliases": names, **more}

    async def update(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``UpdateRoleAlias``."""
        name = parameters["roleAlias"]
        role, seconds = parameters.get("roleArn"), parameters.get("credentialDurationSeconds")
        _check(role, seconds)
        self._shelf.change(name, roleArn=role, credentialDurationSeconds=seconds)
        return self._named(name)

    async def delete(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``DeleteRoleAlias``."""
        self._shelf.remove(parameters["roleAlias"])
        return {}

    def _named(self, name: str) -> dict[str, str]:
        return {"roleAlias": name, "roleAliasArn": self._shelf.arn(name)}

    async def credentials(self, name: str, session: str) -> dict[str, Any]:
        """Assume the role of an alias for a device.

        Args:
            name: of the alias.
            session: name of the session; AWS takes the certificate's id.

        Raises:
            ServiceError: there is no such alias, or the role cannot be assumed.
        """
        found = self._shelf.find(name)
        if found is None:
            raise ServiceError("ResourceNotFoundException", "Role alias does not exist")
        return {"credentials": await asyncio.to_thread(self._assume, found, session)}

    def _assume(self, alias: Mapping[str, Any], session: str) -> dict[str, str]:
        role, seconds = alias["roleArn"], alias["credentialDurationSeconds"]
        try:
            described = self._client("iam").get_role(RoleName=role.rpartition("/")[2])["Role"]
            # An emulator's STS lets the account's root assume any role; AWS asks whom the role trusts.
            if described["Arn"] != role or not _trusts(described["AssumeRolePolicyDocument"]):
                log.warning("role_not_assumed", role=role, reason=f"it does not trust {_SERVICE}")
                raise ServiceError("InvalidRequestException", _UNABLE)
            if seconds > described.get("MaxSessionDuration", _SECONDS):
                raise ServiceError("InvalidRequestException", _TOO_LONG)
            given = self._client("sts").assume_role(
                RoleArn=role, RoleSessionName=session, DurationSeconds=seconds
            )["Credentials"]
        except (ClientError, BotoCoreError) as error:
            log.warning("role_not_assumed", role=role, reason=str(error))
            raise ServiceError("InvalidRequestException", _UNABLE) from error
        return {
            "accessKeyId": given["AccessKeyId"],
            "secretAccessKey": given["SecretAccessKey"],
            "sessionToken": given["SessionToken"],
            "expiration": f"{given['Expiration']:%Y-%m-%dT%H:%M:%SZ}",
        }


def _check(role: str | None, seconds: int | None) -> None:
    if role is not None and not role.startswith("arn:"):
        raise ServiceError("InvalidRequestException", f"roleArn is no ARN: {role}")
    if seconds is not None and not _FEWEST_SECONDS <= seconds <= _MOST_SECONDS:
        fault = f"credentialDurationSeconds must be from {_FEWEST_SECONDS} to {_MOST_SECONDS}"
        raise ServiceError("InvalidRequestException", fault)


def _trusts(document: Mapping[str, Any]) -> bool:
    """Return whether a role's trust policy lets the service in; a condition, which is not evaluated, lets nobody in."""
    trusted = False
    for statement in _listed(document.get("Statement", [])):
        principal = statement.get("Principal", {})
        services = _listed(principal.get("Service", [])) if isinstance(principal, dict) else [principal]
        actions = {action.lower() for action in _listed(statement.get("Action", []))}
        if not {_SERVICE, "*"} & set(services) or not {"sts:assumerole", "sts:*", "*"} & actions:
            continue
        if statement.get("Effect") != "Allow":
            return False
        trusted = trusted or not statement.get("Condition")
    return trusted


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]
