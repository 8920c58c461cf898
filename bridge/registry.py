"""Reads AWS IoT's registry: certificates with their things and policies, and topic rules."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Any

import botocore.session
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from bridge.control_plane import ControlPlane
from bridge.policies import Policies


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
        credentials = botocore.session.Session().get_credentials() or Credentials("test", "test")
        self._call = ControlPlane(endpoint_url, region, credentials).call
        self._documents: dict[str, dict[str, Any]] = {}
        self._lock = Lock()

    def principal(self, certificate_id: str) -> Principal | None:
        """The certificate of that id (the SHA-256 of its DER form), or None if it is not registered.

        Raises:
            botocore.exceptions.BotoCoreError, ClientError: the control plane does not answer.
        """
        try:
            found = self._call("DescribeCertificate", certificateId=certificate_id)["certificateDescription"]
        except ClientError as error:
            if error.response["Error"]["Code"] in ("ResourceNotFoundException", "InvalidRequestException"):
                return None
            raise
        arn = found["certificateArn"]
        names = [
            policy["policyName"]
            for policy in self._pages("ListAttachedPolicies", "policies", "nextMarker", "marker", target=arn)
        ]
        documents = tuple(self.document(name) for name in names)
        return Principal(certificate_id, found["status"] == "ACTIVE", self.things(arn), Policies(documents))

    def certificate(self, certificate_id: str) -> Certificate:
        """The certificate of that id, which is registered.

        Raises:
            botocore.exceptions.BotoCoreError, ClientError: it is not, or the control plane does not answer.
        """
        found = self._call("DescribeCertificate", certificateId=certificate_id)["certificateDescription"]
        return Certificate(
            certificate_id, found["certificateArn"], found["status"] == "ACTIVE", found["certificatePem"]
        )

    def certificates(self) -> dict[str, bool]:
        """All registered certificates' ids, and whether each is active."""
        listed = self._pages("ListCertificates", "certificates", "nextMarker", "marker", pageSize=250)
        return {found["certificateId"]: found["status"] == "ACTIVE" for found in listed}

    def things(self, principal: str) -> tuple[str, ...]:
        """The things that the certificate of this ARN is attached to."""
        return tuple(
            self._pages("ListPrincipalThings", "things", "nextToken", "nextToken", principal=principal)
        )

    def policies(self) -> list[str]:
        """The names of all policies."""
        listed = self._pages("ListPolicies", "policies", "nextMarker", "marker", pageSize=250)
        return [policy["policyName"] for policy in listed]

    def targets(self, policy: str) -> list[str]:
        """The ARNs that the policy is attached to."""
        return list(
            self._pages(
                "ListTargetsForPolicy",
                "targets",
                "nextMarker",
                "marker",
                policyName=policy,
                pageSize=250,
            )
        )

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
        for listed in self._pages("ListTopicRules", "rules", "nextToken", "nextToken"):
            rule: Any = self._call("GetTopicRule", ruleName=listed["ruleName"])["rule"]
            if not rule.get("ruleDisabled"):
                found.append(
                    RuleDefinition(
                        rule["ruleName"],
                        rule["sql"],
                        rule.get("awsIotSqlVersion", "2015-10-08"),
                        tuple(rule.get("actions", [])),
                        rule.get("errorAction") or None,
                    )
                )
        return found

    def document(self, name: str) -> dict[str, Any]:
        """A policy's document; kept until `forget_policies`."""
        with self._lock:
            known = self._documents.get(name)
        if known is None:
            known = json.loads(self._call("GetPolicy", policyName=name)["policyDocument"])
            with self._lock:
                self._documents[name] = known
        return known

    def _pages(
        self, operation: str, items: str, marker_in_answer: str, marker: str, **options: Any
    ) -> Iterator[Any]:
        """Everything that a listing call gives, page by page."""
        while True:
            page = self._call(operation, **options)
            yield from page.get(items, [])
            if not page.get(marker_in_answer):
                return
            options[marker] = page[marker_in_answer]
