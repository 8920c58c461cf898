"""What policies need to know, read from a real control plane."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from bridge.policies import Connection
from bridge.registry import Principal, Registry, RuleDefinition
from tests.integration.conftest import REGION, AwsEmulator

ARN = "arn:aws:iot:*:*:"


def document(*statements: tuple[str, str]) -> str:
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": action, "Resource": ARN + resource}
                for action, resource in statements
            ],
        }
    )


class Fleet:
    """One certificate, its thing, and whatever a test adds."""

    def __init__(self, emulator: AwsEmulator) -> None:
        self.iot = emulator.client("iot")
        self.name = f"thing-{uuid.uuid4().hex[:8]}"
        made = self.iot.create_keys_and_certificate(setAsActive=True)
        self.certificate_id, self.arn = made["certificateId"], made["certificateArn"]
        self.iot.create_thing_type(thingTypeName=f"type-{self.name}")
        self.iot.create_thing(
            thingName=self.name,
            thingTypeName=f"type-{self.name}",
            attributePayload={"attributes": {"zone": "north"}},
        )
        self.iot.attach_thing_principal(thingName=self.name, principal=self.arn)
        self.registry = Registry(emulator.url, REGION)
        self.calls: list[str] = []
        call = self.registry._call

        def counted(operation: str, **parameters: Any) -> Any:
            self.calls.append(operation)
            return call(operation, **parameters)

        self.registry._call = counted

    def policy(self, target: str, *statements: tuple[str, str]) -> str:
        name = f"policy-{uuid.uuid4().hex[:8]}"
        self.iot.create_policy(policyName=name, policyDocument=document(*statements))
        self.iot.attach_policy(policyName=name, target=target)
        return name

    def principal(self) -> Principal:
        found = self.registry.principal(self.certificate_id)
        assert found
        return found

    def allows(self, action: str, resource: str) -> bool:
        """Ask in AWS's way, and in the way in which ministack answers for many; both must say the same."""
        alone, together = (
            self.principal(),
            self.registry.principals([self.certificate_id])[self.certificate_id],
        )
        assert together is not None
        said = {
            one.policies.allow(action, resource, Connection(self.name, self.name, one.things))
            for one in (alone, together)
        }
        assert len(said) == 1
        return said.pop()


@pytest.fixture
def fleet(aws_emulator: AwsEmulator) -> Iterator[Fleet]:
    made = Fleet(aws_emulator)
    yield made
    for group in reversed(made.iot.list_thing_groups()["thingGroups"]):
        made.iot.delete_thing_group(thingGroupName=group["groupName"])


def test_a_things_type_and_attributes_are_asked_for_only_where_a_policy_asks(fleet: Fleet) -> None:
    fleet.policy(fleet.arn, ("iot:Connect", "client/${iot:Connection.Thing.ThingName}"))
    assert fleet.allows("iot:Connect", f"client/{fleet.name}")
    assert "DescribeThing" not in fleet.calls
    fleet.policy(
        fleet.arn,
        (
            "iot:Publish",
            "topic/${iot:Connection.Thing.Attributes[zone]}/${iot:Connection.Thing.ThingTypeName}",
        ),
    )
    assert fleet.allows("iot:Publish", f"topic/north/type-{fleet.name}")
    assert not fleet.allows("iot:Publish", f"topic/south/type-{fleet.name}")


def test_policies_of_a_group_and_of_the_groups_above_it_hold(fleet: Fleet) -> None:
    above, group = f"above-{fleet.name}", f"group-{fleet.name}"
    top = fleet.iot.create_thing_group(thingGroupName=above)["thingGroupArn"]
    own = fleet.iot.create_thing_group(thingGroupName=group, parentGroupName=above)["thingGroupArn"]
    fleet.policy(top, ("iot:Connect", "client/*"))
    fleet.policy(own, ("iot:Publish", "topic/of-the-group"))
    assert not fleet.allows("iot:Connect", f"client/{fleet.name}")
    fleet.iot.add_thing_to_thing_group(thingName=fleet.name, thingGroupName=group)
    assert fleet.allows("iot:Connect", f"client/{fleet.name}")
    assert fleet.allows("iot:Publish", "topic/of-the-group")


def test_a_connect_costs_three_calls_and_follows_changes(fleet: Fleet) -> None:
    """Policies are read once between two looks of the guard; then the new default version counts."""
    name = fleet.policy(fleet.arn, ("iot:Connect", "client/*"))
    assert fleet.allows("iot:Connect", "client/x")
    fleet.calls.clear()
    assert fleet.allows("iot:Connect", "client/x")
    assert fleet.calls == ["DescribeCertificate", "ListAttachedPolicies", "ListPrincipalThings"]
    fleet.iot.create_policy_version(
        policyName=name, policyDocument=document(("iot:Connect", "client/y")), setAsDefault=True
    )
    assert fleet.allows("iot:Connect", "client/x")
    fleet.registry.forget_policies()
    assert not fleet.allows("iot:Connect", "client/x")


def test_many_certificates_are_one_call(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet.policy(fleet.arn, ("iot:Connect", "client/*"))
    others = [fleet.iot.create_keys_and_certificate(setAsActive=False)["certificateId"] for _ in range(2)]
    assert fleet.registry.answers_together
    assert fleet.allows("iot:Connect", "client/x")
    fleet.calls.clear()
    found = fleet.registry.principals([fleet.certificate_id, *others, "0" * 64])
    assert fleet.calls == []
    assert {one: each and each.active for one, each in found.items()} == {
        fleet.certificate_id: True,
        others[0]: False,
        others[1]: False,
        "0" * 64: None,
    }
    # Another control plane knows AWS's calls alone.
    ask = fleet.registry._ask
    monkeypatch.setattr(fleet.registry, "_ask", lambda path, document: ask(f"/unknown{path}", document))
    assert {one: each and each.active for one, each in fleet.registry.principals(list(found)).items()} == {
        one: each and each.active for one, each in found.items()
    }
    assert "DescribeCertificate" in fleet.calls
    assert not fleet.registry.answers_together


def test_all_rules_are_one_call(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"rule_{uuid.uuid4().hex[:8]}"
    republish = {"republish": {"topic": "elsewhere", "roleArn": "arn:aws:iam::000000000000:role/r"}}
    payload = {
        "sql": f"SELECT * FROM '{name}/#'",
        "awsIotSqlVersion": "2016-03-23",
        "actions": [republish],
        "errorAction": republish,
    }
    fleet.iot.create_topic_rule(ruleName=name, topicRulePayload=payload)
    fleet.iot.create_topic_rule(
        ruleName=f"{name}_off", topicRulePayload={**payload, "ruleDisabled": True, "errorAction": {}}
    )
    try:
        together = fleet.registry.rules()
        assert fleet.calls == []
        # Another control plane knows AWS's calls alone.
        ask = fleet.registry._ask
        monkeypatch.setattr(fleet.registry, "_ask", lambda path, document: ask(f"/unknown{path}", document))
        assert fleet.registry.rules() == together
        assert fleet.calls.count("GetTopicRule") >= 2
    finally:
        for each in (name, f"{name}_off"):
            fleet.iot.delete_topic_rule(ruleName=each)
    (read,) = (rule for rule in together if rule.name.startswith(name))
    assert read == RuleDefinition(name, payload["sql"], "2016-03-23", (republish,), republish)


def test_an_arn_of_another_account_does_not_match(fleet: Fleet) -> None:
    name = fleet.policy(fleet.arn, ("iot:Connect", "client/*"))
    elsewhere = document(("iot:Connect", "client/*")).replace(
        "arn:aws:iot:*:*:", f"arn:aws:iot:{REGION}:999999999999:"
    )
    fleet.iot.create_policy_version(policyName=name, policyDocument=elsewhere, setAsDefault=True)
    assert not fleet.allows("iot:Connect", "client/x")
