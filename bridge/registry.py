"""Reads AWS IoT's registry: certificates with their things and policies, and topic rules."""

import json
from collections.abc import Callable, Iterator
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
class Certificate:
    """A registered certificate as such."""

    certificate_id: str
    arn: str
    active: bool
    pem: str


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
        names = [
            policy["policyName"]
            for policy in _pages(
                self._iot.list_attached_policies, "policies", "nextMarker", "marker", target=arn
            )
        ]
        documents = tuple(self.document(name) for name in names)
        return Principal(certificate_id, found["status"] == "ACTIVE", self.things(arn), Policies(documents))

    def certificate(self, certificate_id: str) -> Certificate:
        """The certificate of that id, which is registered.

        Raises:
            botocore.exceptions.BotoCoreError, ClientError: it is not, or the control plane does not answer.
        """
        found = self._iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
        return Certificate(
            certificate_id, found["certificateArn"], found["status"] == "ACTIVE", found["certificatePem"]
        )

    def certificates(self) -> dict[str, bool]:
        """All registered certificates' ids, and whether each is active."""
        listed = _pages(self._iot.list_certificates, "certificates", "nextMarker", "marker", pageSize=250)
        return {found["certificateId"]: found["status"] == "ACTIVE" for found in listed}

    def things(self, principal: str) -> tuple[str, ...]:
        """The things that the certificate of this ARN is attached to."""
        return tuple(
            _pages(self._iot.list_principal_things, "things", "nextToken", "nextToken", principal=principal)
        )

    def policies(self) -> list[str]:
        """The names of all policies."""
        listed = _pages(self._iot.list_policies, "policies", "nextMarker", "marker", pageSize=250)
        return [policy["policyName"] for policy in listed]

    def targets(self, policy: str) -> list[str]:
        """The ARNs that the policy is attached to."""
        return list(
            _pages(
                self._iot.list_targets_for_policy, "targets", "nextMarker", "marker",
                policyName=policy, pageSize=250,
            )
        )  # fmt: skip

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
        for listed in _pages(self._iot.list_topic_rules, "rules", "nextToken", "nextToken"):
            rule: Any = self._iot.get_topic_rule(ruleName=listed["ruleName"])["rule"]
            if not rule.get("ruleDisabled"):
                found.append(
                    RuleDefinition(
                        rule["ruleName"], rule["sql"], rule.get("awsIotSqlVersion", "2015-10-08"),
                        tuple(rule.get("actions", [])), rule.get("errorAction") or None,
                    )
                )  # fmt: skip
        return found

    def document(self, name: str) -> dict[str, Any]:
        """A policy's document; kept until `forget_policies`."""
        with self._lock:
            known = self._documents.get(name)
        if known is None:
            known = json.loads(self._iot.get_policy(policyName=name)["policyDocument"])
            with self._lock:
                self._documents[name] = known
        return known


def _pages(
    call: Callable[..., Any], items: str, marker_in_answer: str, marker: str, **options: Any
) -> Iterator[Any]:
    """Everything that a listing call gives, page by page."""
    while True:
        page = call(**options)
        yield from page.get(items, [])
        if not page.get(marker_in_answer):
            return
        options[marker] = page[marker_in_answer]
