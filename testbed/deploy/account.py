"""What a region of an account has once, for all deployments in it: API Gateway's logging role, and AWS IoT's logging.

Terraform does not hold these: the destroy of one deployment would take them from the others (provider 6 resets API
Gateway's role). They are set where nobody has set them, and go with the project's last deployment if they are ours.
"""

import contextlib
import json
import time
from collections.abc import Callable
from typing import Any

import boto3
from botocore.exceptions import ClientError

from testbed.say import Say

_ROLE_UNKNOWN = frozenset({"BadRequestException", "InvalidRequestException"})
_PAUSES = (2, 4, 8, 8, 8)

# (role's last word, service)
_GATEWAY, _IOT = ("api-gateway-logs", "apigateway.amazonaws.com"), ("iot-logs", "iot.amazonaws.com")
LOGS = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            # As AmazonAPIGatewayPushToCloudWatchLogs and AWSIoTLogging, which roles with a boundary need not name.
            "Action": [
                "logs:CreateLogGroup",
                "logs:CreateLogStream",
                "logs:DescribeLogGroups",
                "logs:DescribeLogStreams",
                "logs:FilterLogEvents",
                "logs:GetLogEvents",
                "logs:PutLogEvents",
                "logs:PutRetentionPolicy",
            ],
            "Resource": "*",
        }
    ],
}


class Account:
    """The settings of one region, and what the project may have made for them."""

    def __init__(self, session: boto3.Session, project: str, *, boundary: str | None) -> None:
        """``boundary``: ARN of what bounds new roles, or None."""
        self._session, self._project, self._boundary = session, project, boundary

    def ensure(self, say: Say) -> None:
        """Set what is not set."""
        gateway = self._session.client("apigateway")
        if not gateway.get_account().get("cloudwatchRoleArn"):
            role = self._role(*_GATEWAY)
            # A new role takes IAM some seconds; API Gateway tries it out.
            _patiently(lambda: self._set_gateway(role))
            say(f"API Gateway's access logs: set the region's role {role}, as it had none")
        iot = self._session.client("iot")
        try:
            logs = self._iot_logging(iot)
        except ClientError as error:
            say(f"AWS IoT's logging is left as it is: {error}")
            return
        if not logs:
            role = self._role(*_IOT)
            _patiently(
                lambda: iot.set_v2_logging_options(
                    roleArn=role, defaultLogLevel="ERROR", disableAllLogs=False
                )
            )
            say("AWS IoT's logging: set to ERROR, as the region had none (log group AWSIotLogsV2)")

    def remove(self) -> None:
        """Take back what is the project's own; its last deployment is gone."""
        gateway = self._session.client("apigateway")
        if self._ours(gateway.get_account().get("cloudwatchRoleArn"), _GATEWAY[0]):
            self._set_gateway("")
        iot = self._session.client("iot")
        # What cannot be read, `ensure` has not set.
        with contextlib.suppress(ClientError):
            if self._ours(self._iot_logging(iot), _IOT[0]):
                iot.set_v2_logging_options(disableAllLogs=True)
        iam = self._session.client("iam")
        for name, _ in (_GATEWAY, _IOT):
            try:
                iam.delete_role_policy(RoleName=self._role_name(name), PolicyName="logs")
                iam.delete_role(RoleName=self._role_name(name))
            except iam.exceptions.NoSuchEntityException:
                continue

    def _role_name(self, name: str) -> str:
        # The region, too: settings are a region's, and roles of all regions are in one list.
        return f"{self._project}-{name}-{self._session.region_name}"

    def _ours(self, arn: str | None, name: str) -> bool:
        return bool(arn) and str(arn).endswith(f"/{self._role_name(name)}")

    def _role(self, name: str, service: str) -> str:
        iam = self._session.client("iam")
        trust = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}],
        }
        wanted: dict[str, Any] = {
            "RoleName": self._role_name(name),
            "AssumeRolePolicyDocument": json.dumps(trust),
        }
        if self._boundary:
            wanted["PermissionsBoundary"] = self._boundary
        try:
            arn = iam.create_role(**wanted)["Role"]["Arn"]
        except iam.exceptions.EntityAlreadyExistsException:
            arn = iam.get_role(RoleName=self._role_name(name))["Role"]["Arn"]
        iam.put_role_policy(
            RoleName=self._role_name(name), PolicyName="logs", PolicyDocument=json.dumps(LOGS)
        )
        return str(arn)

    def _set_gateway(self, role: str) -> None:
        self._session.client("apigateway").update_account(
            patchOperations=[{"op": "replace", "path": "/cloudwatchRoleArn", "value": role}]
        )

    @staticmethod
    def _iot_logging(iot: Any) -> str | None:
        """Return the role that AWS IoT logs by; None where it does not."""
        try:
            options = iot.get_v2_logging_options()
        except ClientError as error:
            # A region whose logging nobody has ever set.
            if error.response["Error"]["Code"] in ("NotConfiguredException", "ResourceNotFoundException"):
                return None
            raise
        return None if options.get("disableAllLogs") else options.get("roleArn")


def _patiently(call: Callable[[], object]) -> None:
    """Make a call that names a role which IAM may not have told everywhere yet."""
    for pause in (*_PAUSES, None):
        try:
            call()
        except ClientError as error:
            if pause is None or error.response["Error"]["Code"] not in _ROLE_UNKNOWN:
                raise
            time.sleep(pause)
        else:
            return
