"""Reads AWS IoT's registry: certificates with their things, groups and policies, and topic rules."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

from botocore.exceptions import ClientError

from bridge.control_plane import control_plane
from bridge.policies import Policies, Policy, Thing


@dataclass(frozen=True)
class Principal:
    """A registered certificate; ``things`` are the names of what it is attached to."""

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
        plane = control_plane(endpoint_url, region)
        self._call, self._ask = plane.call, plane.ask
        self._lock = Lock()
        # Policies as they were read, kept for as long as their text is the same: what is wrong with one is said once.
        self._policies: dict[str, tuple[str, Policy]] = {}
        # What was asked since `forget_policies`.
        self._texts: dict[str, str] = {}
        self._groups: dict[str, tuple[Policy, ...]] = {}
        self._has_groups: bool | None = None
        # Whether the control plane answers for many certificates at once; None before it was asked.
        self._together: bool | None = None

    def principals(self, certificate_ids: Sequence[str]) -> dict[str, Principal | None]:
        """Return the certificates of these ids, each as `principal` does.

        One call where the control plane is the testbed's; elsewhere three a certificate.

        Raises:
            botocore.exceptions.BotoCoreError, ClientError: the control plane does not answer.
        """
        found = self._all_at_once("principals", {"certificateIds": list(certificate_ids)})
        if found is not None:
            return {one: self._read(one, found[one]) if one in found else None for one in certificate_ids}
        return {one: self.principal(one) for one in certificate_ids}

    @property
    def answers_together(self) -> bool:
        """Whether many certificates are one call, as far as is known."""
        return self._together is not False

    def _all_at_once(self, what: str, question: Mapping[str, Any]) -> Any:
        """Ask for all of them; None where the control plane has no such call (bridge/ministack/registry.py has)."""
        if self._together is False:
            return None
        try:
            answer = self._ask(f"/_testbed/{what}", question)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
                raise
            answer = None
        except ValueError:  # a page in place of JSON
            answer = None
        self._together = isinstance(answer, dict) and what in answer
        return answer[what] if self._together else None

    def _read(self, certificate_id: str, found: dict[str, Any]) -> Principal:
        own = tuple(self.policy(name) for name in found["policies"])
        things = {
            each["thingName"]: Thing(
                each["thingName"],
                each["thingTypeName"] or "",
                each["attributes"],
                tuple(policy for group in each["groups"] for policy in self.group_policies(group)),
            )
            for each in found["things"]
        }
        policies = Policies(own, home(found["certificateArn"]), certificate_id, things)
        return Principal(certificate_id, found["status"] == "ACTIVE", tuple(things), policies)

    def principal(self, certificate_id: str) -> Principal | None:
        """Return the certificate of that id (the SHA-256 of its DER form), or None if it is not registered.

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
        own, names = self.attached_policies(arn), self.things(arn)
        return Principal(
            certificate_id,
            found["status"] == "ACTIVE",
            names,
            Policies(own, home(arn), certificate_id, self.things_of(names, own)),
        )

    def attached_policies(self, target: str) -> tuple[Policy, ...]:
        """Read the policies that are attached to this ARN, a certificate's or a thing group's."""
        listed = self._pages("ListAttachedPolicies", "policies", "nextMarker", "marker", target=target)
        return tuple(self.policy(found["policyName"]) for found in listed)

    def things_of(self, names: tuple[str, ...], own: tuple[Policy, ...]) -> dict[str, Thing]:
        """Read what policies can ask of these things, and the policies of their groups.

        A call for each thing where there are thing groups at all; one more where a policy asks for a thing's type or
        attributes.
        """
        return {name: self._thing(name, own) for name in names}

    def describe_things(self, names: tuple[str, ...]) -> dict[str, Thing]:
        """Read type and attributes of these things; without the policies of their groups."""
        return {name: self._described(name) for name in names}

    def _described(self, name: str) -> Thing:
        found = self._call("DescribeThing", thingName=name)
        return Thing(name, found.get("thingTypeName") or "", found.get("attributes") or {})

    def _thing(self, name: str, own: tuple[Policy, ...]) -> Thing:
        of_groups = self._policies_of_groups(name) if self._any_groups() else ()
        asked_for = any(policy.needs_things for policy in (*own, *of_groups))
        return replace(self._described(name) if asked_for else Thing(name), policies=of_groups)

    def _any_groups(self) -> bool:
        with self._lock:
            known = self._has_groups
        if known is None:
            known = bool(self._call("ListThingGroups", maxResults=1).get("thingGroups"))
            with self._lock:
                self._has_groups = known
        return known

    def _policies_of_groups(self, thing: str) -> tuple[Policy, ...]:
        listed = self._pages(
            "ListThingGroupsForThing", "thingGroups", "nextToken", "nextToken", thingName=thing
        )
        return tuple(policy for group in listed for policy in self.group_policies(group["groupName"]))

    def group_policies(self, name: str) -> tuple[Policy, ...]:
        """Read the policies of a thing group and of the groups above it; kept until `forget_policies`."""
        with self._lock:
            known = self._groups.get(name)
        if known is not None:
            return known
        described = self._call("DescribeThingGroup", thingGroupName=name)
        parent = (described.get("thingGroupMetadata") or {}).get("parentGroupName")
        inherited = self.group_policies(parent) if parent else ()
        found = self.attached_policies(described["thingGroupArn"]) + inherited
        with self._lock:
            self._groups[name] = found
        return found

    def certificate(self, certificate_id: str) -> Certificate:
        """Return the certificate of that id, which is registered.

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
        """Return the things that the certificate of this ARN is attached to."""
        return tuple(
            self._pages("ListPrincipalThings", "things", "nextToken", "nextToken", principal=principal)
        )

    def policies(self) -> list[str]:
        """Return the names of all policies."""
        listed = self._pages("ListPolicies", "policies", "nextMarker", "marker", pageSize=250)
        return [policy["policyName"] for policy in listed]

    def targets(self, policy: str) -> list[str]:
        """Return the ARNs that the policy is attached to."""
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

    def groups(self) -> list[str]:
        """Read the names of all thing groups."""
        listed = self._pages("ListThingGroups", "thingGroups", "nextToken", "nextToken")
        return [group["groupName"] for group in listed]

    def things_in_group(self, group: str) -> list[str]:
        """Read the names of the things that are in the group itself."""
        return list(
            self._pages("ListThingsInThingGroup", "things", "nextToken", "nextToken", thingGroupName=group)
        )

    def forget_policies(self) -> None:
        """Read policies and groups anew from now on."""
        with self._lock:
            self._texts.clear()
            self._groups.clear()
            self._has_groups = None

    def rules(self) -> list[RuleDefinition]:
        """Return all enabled rules.

        One call where the control plane is the testbed's; elsewhere one for each rule, and one for their names.

        Raises:
            botocore.exceptions.BotoCoreError, ClientError: the control plane does not answer.
        """
        found = self._all_at_once("rules", {})
        if found is None:
            listed = self._pages("ListTopicRules", "rules", "nextToken", "nextToken")
            found = [self._call("GetTopicRule", ruleName=each["ruleName"])["rule"] for each in listed]
        return [
            RuleDefinition(
                rule["ruleName"],
                rule["sql"],
                rule.get("awsIotSqlVersion", "2015-10-08"),
                tuple(rule.get("actions", [])),
                rule.get("errorAction") or None,
            )
            for rule in found
            if not rule.get("ruleDisabled")
        ]

    def document(self, name: str) -> dict[str, Any]:
        """Read the document of a policy's default version; kept until `forget_policies`."""
        found: dict[str, Any] = json.loads(self._text(name))
        return found

    def policy(self, name: str) -> Policy:
        """Read a policy's default version, ready to be evaluated; kept until `forget_policies`."""
        text = self._text(name)
        with self._lock:
            known = self._policies.get(name)
        if known is None or known[0] != text:
            known = text, Policy.of(text, name)
            with self._lock:
                self._policies[name] = known
        return known[1]

    def _text(self, name: str) -> str:
        with self._lock:
            known = self._texts.get(name)
        if known is None:
            known = str(self._call("GetPolicy", policyName=name)["policyDocument"])
            with self._lock:
                self._texts[name] = known
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


def home(arn: str) -> str:
    """Return what all ARNs of this registry begin with: ``arn:<partition>:iot:<region>:<account>:``."""
    return ":".join([*arn.split(":", 5)[:5], ""])
