"""AWS credentials for devices, through role aliases.

"Authorizing direct calls to AWS services using AWS IoT Core credential provider" (authorizing-direct-aws.html). What
AWS answers where it refuses is in docs/dev_notes.md of awslabs/aws-iot-core-credential-provider-session-helper, which
lists the answers of the service.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from bridge.control_plane import ControlPlane
from bridge.data_plane.errors import ServiceError

log = structlog.get_logger()

_SERVICE = "credentials.iot.amazonaws.com"
_SECONDS = 3600
_UNABLE = "Unable to assume the role, or the role to assume does not exist"
_TOO_LONG = "The requested CredentialDurationSeconds exceeds the MaxSessionDuration set for the role"


class RoleAliases:
    """Assumes the roles of role aliases for devices."""

    def __init__(self, registry: ControlPlane, client: Callable[[str], Any]) -> None:
        """Use a registry.

        Args:
            registry: knows the role aliases.
            client: makes a boto3 client of the service of that name; of ``iam`` and ``sts``.
        """
        self._registry, self._client = registry, client

    async def credentials(self, name: str, session: str) -> dict[str, Any]:
        """Assume the role of an alias for a device.

        Args:
            name: of the alias.
            session: name of the session; AWS takes the certificate's id.

        Raises:
            ServiceError: there is no such alias, or the role cannot be assumed.
        """
        return {"credentials": await asyncio.to_thread(self._assume, name, session)}

    def _describe(self, name: str) -> dict[str, Any]:
        try:
            found = self._registry.call("DescribeRoleAlias", roleAlias=name)["roleAliasDescription"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            raise ServiceError("ResourceNotFoundException", "Role alias does not exist") from error
        return dict(found)

    def _assume(self, name: str, session: str) -> dict[str, str]:
        alias = self._describe(name)
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
