"""Reads AWS IoT's registry: certificates with their things and policies, and topic rules."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from bridge.policies import Policies

if TYPE_CHECKING:
    from mypy_boto3_iot.client import IoTClient


@dataclass(frozen=True)
class Principal:
    """A registered certificate."""

    certificate_id: str
    active: bool
    things: tuple[str, ...]
    policies: Policies


@dataclass(frozen=True)
class RuleDefinition:
    """A topic rule as the registry has it; ``actions`` and ``error_action`` in the API's own form."""

    name: str
    sql: str
    sql_version: str
    actions: tuple[dict[str, Any], ...]
    error_action: dict[str, Any] | None


class Registry:
    """AWS IoT's control plane, behind an endpoint URL."""

    def __init__(self, endpoint_url: str, region: str) -> None:
        """Connect to nothing yet."""
        session = boto3.Session(region_name=region)
        if session.get_credentials() is None:
            session = boto3.Session("test", "test", region_name=region)
        retries = Config(
            retries={"mode": "standard", "max_attempts": 3},
            connect_timeout=2,
            read_timeout=10,
            max_pool_connections=16,
        )
        self._iot: IoTClient = session.client("iot", endpoint_url=endpoint_url, config=retries)
        self._documents: dict[str, dict[str, Any]] = {}
        self._lock = Lock()

    def principal(self, certificate_id: str) -> Principal | None:
        """The certificate of that id (the SHA-256 of its DER form), or None if it is not registered.

        Raises:
            botocore.exceptions.BotoCoreError, ClientError: the control plane does not answer.
        """
        try:
            found = self._iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
        except ClientError as error:
            if error.response["Error"]["Code"] in ("ResourceNotFoundException", "InvalidRequestException"):
                return None
            raise
        arn = found["certificateArn"]
        things = tuple(self._iot.list_principal_things(principal=arn)["things"])
        names = [policy["policyName"] for policy in self._iot.list_attached_policies(target=arn)["policies"]]
        documents = tuple(self._document(name) for name in names)
        return Principal(certificate_id, found["status"] == "ACTIVE", things, Policies(documents))

    def inactive_certificates(self) -> set[str]:
        """The ids of all certificates that must not connect."""
        return {identity for identity, status in self._statuses() if status != "ACTIVE"}

    def forget_policies(self) -> None:
        """Read policy documents anew from now on."""
        with self._lock:
            self._documents.clear()

    def rules(self) -> list[RuleDefinition]:
        """All enabled rules.

        Raises:
            botocore.exceptions.BotoCoreError, ClientError: the control plane does not answer.
        """
        found: list[RuleDefinition] = []
        options: Any = {}
        while True:
            page: Any = self._iot.list_topic_rules(**options)
            for listed in page.get("rules", []):
                rule: Any = self._iot.get_topic_rule(ruleName=listed["ruleName"])["rule"]
                if not rule.get("ruleDisabled"):
                    found.append(
                        RuleDefinition(
                            rule["ruleName"], rule["sql"], rule.get("awsIotSqlVersion", "2015-10-08"),
                            tuple(rule.get("actions", [])), rule.get("errorAction") or None,
                        )
                    )  # fmt: skip
            if not page.get("nextToken"):
                return found
            options = {"nextToken": page["nextToken"]}

    def _statuses(self) -> Iterator[tuple[str, str]]:
        options: Any = {"pageSize": 250}
        while True:
            page = self._iot.list_certificates(**options)
            for certificate in page["certificates"]:
                yield certificate["certificateId"], certificate["status"]
            if not page.get("nextMarker"):
                return
            options["marker"] = page["nextMarker"]

    def _document(self, name: str) -> dict[str, Any]:
        with self._lock:
            known = self._documents.get(name)
        if known is None:
            known = json.loads(self._iot.get_policy(policyName=name)["policyDocument"])
            with self._lock:
                self._documents[name] = known
        return known
