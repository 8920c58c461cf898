# ruff: noqa: E501 - a table reads best with a line a case
"""The policies that AWS's developer guide shows, by page, and what they allow.

Pages of awsdocs/aws-iot-docs (developerguide/<page>.md). A case is statements, an action on a resource, a connection,
and the answer that the page's text gives.
"""

from dataclasses import dataclass, replace
from typing import Any

import pytest

from bridge.policies import Connection, Policies, Policy, Thing

HOME = "arn:aws:iot:us-east-1:123456789012:"
CERTIFICATE_ID = "c0ffee"
TAGGED = Thing("device1", "Thing_Type_Name", {"attributeName": "attributeValue"})
DEVICE = Connection(
    "device1",
    "device1",
    ("device1",),
    {
        "iot:Certificate.Subject.CommonName": ("device1", "Engineer", "Administrator"),
        "iot:Certificate.Subject.Organization": ("Example Corp",),
    },
    source_ip="123.45.167.89",
    connect_attributes=(),
    domain_name="d1.iot.example",
)
STRANGER = replace(DEVICE, things=(), certificate={"iot:Certificate.Subject.Organization": ("Other",)})
PERSISTENT = replace(DEVICE, connect_attributes=("PersistentConnect",))
WILL = replace(DEVICE, connect_attributes=("LastWill",), last_will_topic="my/lastwill/topicName")
BOTH = replace(WILL, connect_attributes=("PersistentConnect", "LastWill"))


@dataclass(frozen=True)
class Case:
    page: str
    statements: list[dict[str, Any]]
    asked: str
    allowed: bool
    connection: Connection = DEVICE

    def __str__(self) -> str:
        return f"{self.page}: {self.asked} {'allowed' if self.allowed else 'denied'}"


def statement(action: Any, resource: Any, effect: str = "Allow", **condition: Any) -> dict[str, Any]:
    resources = resource if isinstance(resource, list) else [resource]
    named = [one if one == "*" else HOME + one for one in resources]
    found: dict[str, Any] = {"Effect": effect, "Action": action, "Resource": named}
    operators = {name.replace("__", ":"): keys for name, keys in condition.items()}
    return found | ({"Condition": operators} if operators else {})


def connects(effect: str = "Allow", **condition: Any) -> dict[str, Any]:
    return statement("iot:Connect", "*", effect, **condition)


def attributes(*names: str) -> dict[str, list[str]]:
    return {"iot:ConnectAttributes": list(names)}


CONNECT = "iot:Connect client/device1"
SPARED = [
    statement("iot:Connect", ["client/client1", "client/client2"], "Deny"),
    statement("iot:Connect", "client/${iot:Connection.Thing.ThingName}"),
]
MUST_HAVE_BOTH = [
    connects(ForAllValues__StringEquals=attributes("PersistentConnect", "LastWill")),
    connects("Deny", ForAllValues__StringEquals=attributes("PersistentConnect")),
    connects("Deny", ForAllValues__StringEquals=attributes("LastWill")),
    connects("Deny", ForAllValues__StringEquals=attributes()),
]
NO_PERSISTENCE = [
    connects("Deny", ForAnyValue__StringEquals=attributes("PersistentConnect")),
    connects(ForAllValues__StringEquals=attributes("LastWill")),
]
WILL_TOPIC = {"ArnEquals": {"iot:LastWillTopic": f"{HOME}topic/my/lastwill/topicName"}}
ORGANIZATIONS = {"iot:Certificate.Subject.Organization.List": ["Example Corp", "AnyCompany"]}
OF_ATTRIBUTE = {
    "StringEquals": {
        "iot:Connection.Thing.Attributes[attributeName]": "attributeValue",
        "iot:Connection.Thing.ThingTypeName": "Thing_Type_Name",
    },
    "Bool": {"iot:Connection.Thing.IsAttached": "true"},
}
ADMIN = "topic/admin/device1"

# fmt: off
CASES = [
    Case("connect-policy", SPARED, CONNECT, True),
    Case("connect-policy", SPARED, "iot:Connect client/client1", False),
    Case("connect-policy", SPARED, CONNECT, False, STRANGER),
    Case("connect-policy", [connects(ForAllValues__StringEquals=attributes("PersistentConnect"))], CONNECT, True, PERSISTENT),
    Case("connect-policy", [connects(ForAllValues__StringEquals=attributes("PersistentConnect"))], CONNECT, True),
    Case("connect-policy", [connects(ForAllValues__StringEquals=attributes("PersistentConnect"))], CONNECT, False, BOTH),
    Case("connect-policy", [connects(ForAllValues__StringNotEquals=attributes("PersistentConnect"))], CONNECT, True, WILL),
    Case("connect-policy", [connects(ForAllValues__StringNotEquals=attributes("PersistentConnect"))], CONNECT, False, PERSISTENT),
    Case("connect-policy", [connects(ForAllValues__StringNotEquals=attributes("PersistentConnect"))], CONNECT, False, BOTH),
    Case("connect-policy", [connects(), connects("Deny", ForAnyValue__StringEquals=attributes("PersistentConnect"))], CONNECT, True, WILL),
    Case("connect-policy", [connects(), connects("Deny", ForAnyValue__StringEquals=attributes("PersistentConnect"))], CONNECT, False, PERSISTENT),
    Case("connect-policy", [connects(ForAllValues__StringEquals=attributes())], CONNECT, True),
    Case("connect-policy", [connects(ForAllValues__StringEquals=attributes())], CONNECT, False, WILL),
    Case("connect-policy", [connects(ForAnyValue__StringEquals=attributes("PersistentConnect"))], CONNECT, True, BOTH),
    Case("connect-policy", [connects(ForAnyValue__StringEquals=attributes("PersistentConnect"))], CONNECT, False),
    Case("connect-policy", MUST_HAVE_BOTH, CONNECT, True, BOTH),
    Case("connect-policy", MUST_HAVE_BOTH, CONNECT, False, WILL),
    Case("connect-policy", MUST_HAVE_BOTH, CONNECT, False, PERSISTENT),
    Case("connect-policy", MUST_HAVE_BOTH, CONNECT, False),
    Case("connect-policy", NO_PERSISTENCE, CONNECT, True, WILL),
    Case("connect-policy", NO_PERSISTENCE, CONNECT, False, BOTH),
    Case("connect-policy", [connects(**WILL_TOPIC)], CONNECT, True, WILL),
    Case("connect-policy", [connects(**WILL_TOPIC)], CONNECT, False),
    Case("connect-policy", [connects(**WILL_TOPIC)], CONNECT, False, replace(WILL, last_will_topic="my/other")),
    Case("thing-policy-examples", [connects(Bool={"iot:Connection.Thing.IsAttached": ["true"]})], CONNECT, True),
    Case("thing-policy-examples", [connects(Bool={"iot:Connection.Thing.IsAttached": ["true"]})], CONNECT, False, STRANGER),
    Case("thing-policy-examples", [statement("iot:Publish", "topic/device/stats", **OF_ATTRIBUTE)], "iot:Publish topic/device/stats", True),
    Case("thing-policy-examples", [statement("iot:Publish", "topic/device/stats", **OF_ATTRIBUTE)], "iot:Publish topic/device/stats", False, STRANGER),
    Case("thing-policy-examples", [statement("iot:Publish", "topic/${iot:Connection.Thing.Attributes[attributeName]}/*")], "iot:Publish topic/attributeValue/x", True),
    Case("thing-policy-examples", [statement("iot:Publish", "topic/${iot:Connection.Thing.Attributes[attributeName]}/*")], "iot:Publish topic/other/x", False),
    Case("thing-policy-examples", [statement("iot:Publish", "topic/${iot:Connection.Thing.Attributes[other]}/*")], "iot:Publish topic/attributeValue/x", False),
    Case("certificate-policy-examples", [statement("iot:Publish", "topic/${iot:CertificateId}")], f"iot:Publish topic/{CERTIFICATE_ID}", True),
    Case("certificate-policy-examples", [statement("iot:Publish", "topic/${iot:CertificateId}")], "iot:Publish topic/device1", False),
    Case("certificate-policy-examples", [statement("iot:Publish", "topic/${iot:Certificate.Subject.CommonName}")], "iot:Publish topic/device1", True),
    Case("certificate-policy-examples", [statement("iot:Publish", "topic/admin/*", StringEquals={"iot:Certificate.Subject.CommonName.2": "Administrator"})], f"iot:Publish {ADMIN}", True),
    Case("certificate-policy-examples", [statement("iot:Publish", "topic/admin/*", StringEquals={"iot:Certificate.Subject.CommonName.3": "Administrator"})], f"iot:Publish {ADMIN}", False),
    Case("certificate-policy-examples", [statement("iot:Publish", "topic/admin/${iot:Connection.Thing.ThingName}", ForAnyValue__StringEquals={"iot:Certificate.Subject.CommonName.List": "Administrator"})], f"iot:Publish {ADMIN}", True),
    Case("cert-policy-variables", [statement("iot:Publish", "topic/my/topic/${iot:Connection.Thing.ThingName}", ForAllValues__StringEquals=ORGANIZATIONS)], "iot:Publish topic/my/topic/device1", True),
    Case("cert-policy-variables", [statement("iot:Publish", "topic/my/topic/${iot:ClientId}", ForAllValues__StringEquals=ORGANIZATIONS)], "iot:Publish topic/my/topic/device1", False, STRANGER),
    Case("cert-policy-variables", [statement("iot:Publish", "topic/${iot:Certificate.Subject.CommonName}")], "iot:Publish topic/a+b", False, replace(DEVICE, certificate={"iot:Certificate.Subject.CommonName": ("a+b",)})),
    Case("basic-policy-variables", [statement("iot:Publish", "topic/my/topic/${iot:ClientId}", IpAddress={"aws:SourceIp": "123.45.167.89"})], "iot:Publish topic/my/topic/device1", True),
    Case("basic-policy-variables", [statement("iot:Publish", "topic/my/topic/${iot:ClientId}", IpAddress={"aws:SourceIp": "123.45.167.0/25"})], "iot:Publish topic/my/topic/device1", True),
    Case("basic-policy-variables", [statement("iot:Publish", "topic/my/topic/${iot:ClientId}", IpAddress={"aws:SourceIp": "10.0.0.0/8"})], "iot:Publish topic/my/topic/device1", False),
    Case("basic-policy-variables", [connects(StringEquals={"iot:DomainName": "d1.iot.example"})], CONNECT, True),
    Case("basic-policy-variables", [connects(StringEquals={"iot:DomainName": "d2.iot.example"})], CONNECT, False),
    Case("retained-message-policy-examples", [statement(["iot:Publish", "iot:RetainPublish"], "topic/device/sample/configuration")], "iot:RetainPublish topic/device/sample/configuration", True),
    Case("retained-message-policy-examples", [statement("iot:Publish", "topic/device/sample/configuration")], "iot:RetainPublish topic/device/sample/configuration", False),
    Case("pub-sub-policy", [statement("iot:Publish", "topic/${iot:Connection.Thing.ThingName}/*")], "iot:Publish topic/device1/a/b", True),
    *(Case("pub-sub-policy", [statement("iot:Publish", "topic/${iot:Thing.ThingName}/*"), statement("iot:Publish", "topic/${iot:Thing.ThingName}/bar", "Deny")], f"iot:Publish topic/{topic}", allowed) for topic, allowed in (("device1/foo", True), ("device1/bar", False), ("device2/foo", False))),
    Case("pub-sub-policy", [statement("iot:Subscribe", "topicfilter/some/sensor???/topic")], "iot:Subscribe topicfilter/some/sensor123/topic", True),
    Case("pub-sub-policy", [statement("iot:Subscribe", "topicfilter/some/+/topic")], "iot:Subscribe topicfilter/some/a/topic", False),
    Case("iot-policy-variables", [statement("iot:Publish", "topic/$(*)")], "iot:Publish topic/*", True),
    Case("iot-policy-variables", [statement("iot:Publish", "topic/$(*)")], "iot:Publish topic/a", False),
    Case("iot-policy-actions", [statement("iot:UpdateThingShadow", "thing/device1")], "iot:UpdateThingShadow thing/device1", True),
    Case("iot-action-resources", [statement("iot:GetThingShadow", "thing/device1")], "iot:GetThingShadow thing/device1/shadowOne", False),
]
# fmt: on


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_documented_policy_means_what_its_page_says(case: Case) -> None:
    policies = Policies(
        ({"Version": "2012-10-17", "Statement": case.statements},),
        HOME,
        CERTIFICATE_ID,
        {"device1": TAGGED},
    )
    action, resource = case.asked.split(" ")
    assert not policies._own[0].faults
    assert policies.allow(action, resource, case.connection) is case.allowed


def test_policies_of_a_thing_group_are_the_things_own() -> None:
    """thing-groups: "By attaching a policy to a group, you attach it to all things in that group"."""
    document = {"Version": "2012-10-17", "Statement": [statement("iot:Publish", "topic/of/group")]}
    group = replace(TAGGED, policies=(Policy.of(document, "of-group"),))
    policies = Policies((), HOME, CERTIFICATE_ID, {"device1": group})
    assert policies.allow("iot:Publish", "topic/of/group", DEVICE)
    other = replace(DEVICE, client_id="device2", things=("device1", "device2"))
    assert not policies.allow("iot:Publish", "topic/of/group", other)
