"""Policies that a certificate and a thing group hold, enforced by both brokers on real connections."""

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from testbed.identity.enrolment import Enrolment
from tests.integration.bridge.conftest import PATIENCE_SECONDS, Device, Rules, Stack, drain, sqs, wait_for
from tests.integration.bridge.five import MakeFive
from tests.integration.conftest import REGION

HOME = f"arn:aws:iot:{REGION}:000000000000:"
Enrolled = Callable[..., Device]


def allow(action: str, resource: str, effect: str = "Allow", **condition: Any) -> dict[str, Any]:
    found = {"Effect": effect, "Action": action, "Resource": HOME + resource}
    return found | ({"Condition": condition} if condition else {})


class Registered:
    """A thing of the zone north, enrolled, that has not connected yet."""

    def __init__(self, stack: Stack, name: str) -> None:
        self.stack, self.name = stack, name
        self.iot = stack.emulator.client("iot")
        self.iot.update_thing(thingName=name, attributePayload={"attributes": {"zone": "north"}})
        [self.certificate] = self.iot.list_thing_principals(thingName=name)["principals"]
        self.devices: list[Device] = []

    def give(self, *statements: dict[str, Any], target: str = "") -> None:
        """Attach a policy of these statements, to the certificate unless a target is named."""
        policy = f"policy-{uuid.uuid4().hex[:8]}"
        document = {"Version": "2012-10-17", "Statement": list(statements)}
        self.iot.create_policy(policyName=policy, policyDocument=json.dumps(document))
        self.iot.attach_policy(policyName=policy, target=target or self.certificate)

    def join(self, group: str) -> str:
        """Put the thing into a new group; its ARN."""
        arn: str = self.iot.create_thing_group(thingGroupName=group)["thingGroupArn"]
        self.iot.add_thing_to_thing_group(thingName=self.name, thingGroupName=group)
        return arn

    def connect(self, **options: Any) -> Device:
        folder = self.stack.place.certificates / "devices"
        self.devices.append(Device(self.stack, self.name, folder, **options))
        return self.devices[-1]


@pytest.fixture
def thing(stack: Stack, enrolment: Enrolment, name: str) -> Iterator[Registered]:
    enrolment.enrol([name])
    made = Registered(stack, name)
    yield made
    for device in made.devices:
        device.close()
    for policy in made.iot.list_attached_policies(target=made.certificate)["policies"]:
        if policy["policyName"].startswith("policy-"):
            made.iot.detach_policy(policyName=policy["policyName"], target=made.certificate)
    enrolment.remove([name])


def reaches(stack: Stack, device: Device, topic: str, queue: str) -> bool:
    """Whether what is published there comes out of the queue; Mosquitto may have to read its list first."""
    found: list[Any] = []

    def came() -> bool:
        device.publish(topic, {"topic": topic})
        found.extend(drain(stack, queue))
        return {"topic": topic} in found

    return bool(wait_for(came))


@pytest.mark.own_broker("Mosquitto does not tell the name")
def test_the_name_that_a_device_asks_for_counts(thing: Registered) -> None:
    """``iot:DomainName`` is the name in TLS (SNI), which a client that connects to an address does not give."""
    thing.give(allow("iot:Connect", "client/*", "Deny", StringNotEquals={"iot:DomainName": "localhost"}))
    named = thing.connect()
    assert named.connected.wait(PATIENCE_SECONDS)
    named.close()
    assert thing.connect(host="127.0.0.1").refused.wait(PATIENCE_SECONDS)


@pytest.mark.own_broker("Mosquitto grants and drops")
def test_a_change_of_policies_reaches_a_connection_that_lasts(
    five: MakeFive, stack: Stack, name: str
) -> None:
    """A policy that is attached, changed and taken away again: AWS follows within minutes."""
    client = five(name)
    iot = stack.emulator.client("iot")
    [principal] = iot.list_thing_principals(thingName=name)["principals"]

    def answers(topic: str, reason: str) -> bool:
        mid = client.client.publish(topic, b"x", qos=1).mid
        assert wait_for(lambda: mid in client.acknowledged)
        return str(client.acknowledged[mid]) == reason

    assert answers(f"more/{name}", "Not authorized")
    statement = allow("iot:Publish", f"topic/more/{name}")
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iot.create_policy(policyName=name, policyDocument=document)
    iot.attach_policy(policyName=name, target=principal)
    assert wait_for(lambda: answers(f"more/{name}", "Success"))
    another = document.replace("topic/more/", "topic/another/")
    iot.create_policy_version(policyName=name, policyDocument=another, setAsDefault=True)
    assert wait_for(lambda: answers(f"another/{name}", "Success"))
    assert answers(f"more/{name}", "Not authorized")
    iot.detach_policy(policyName=name, target=principal)
    assert wait_for(lambda: answers(f"another/{name}", "Not authorized"))
    assert not client.gone.is_set()


def test_attributes_and_groups_open_topics(
    stack: Stack, thing: Registered, rules: Rules, queue: str, name: str
) -> None:
    """A topic by the thing's zone, one of its group, and neither of another zone."""
    rules.add("zones", f"SELECT * FROM 'zone/+/{name}'", sqs(queue))
    thing.give(allow("iot:Publish", "topic/zone/${iot:Connection.Thing.Attributes[zone]}/*"))
    group = thing.join(f"group-{name}")
    thing.give(allow("iot:Publish", "topic/zone/of-the-group/*"), target=group)
    device = thing.connect()
    assert device.connected.wait(60)
    assert reaches(stack, device, f"zone/north/{name}", queue)
    assert reaches(stack, device, f"zone/of-the-group/{name}", queue)
    device.publish(f"zone/south/{name}", {"topic": "forbidden"})
    # Our broker closes the connection, and paho would try for ever; Mosquitto acknowledges and drops.
    device.close()
    other = thing.connect()
    assert reaches(stack, other, f"zone/north/{name}", queue)
    assert {"topic": "forbidden"} not in drain(stack, queue)


@pytest.mark.parametrize(
    "statement",
    [
        allow(
            "iot:Connect",
            "client/*",
            "Deny",
            **{"ForAnyValue:StringEquals": {"iot:ConnectAttributes": "PersistentConnect"}},
        ),
        allow("iot:Connect", "client/*", "Deny", NotIpAddress={"aws:SourceIp": "192.0.2.0/24"}),
        allow("iot:Connect", "client/*", "Deny", StringAlmost={"iot:ClientId": "x"}),
        allow("iot:Connect", "client/${iot:NoSuchVariable}", "Deny"),
    ],
    ids=["a persistent session", "an address", "an unknown operator", "an unknown variable"],
)
def test_a_deny_keeps_a_device_out(stack: Stack, thing: Registered, statement: dict[str, Any]) -> None:
    """What Mosquitto cannot know, and what nobody understands, denies as well."""
    thing.give(statement)
    if stack.is_mosquitto:
        assert wait_for(lambda: not admitted(stack, thing.name))
        return
    device = thing.connect()
    assert device.refused.wait(60)
    assert not device.connected.is_set()


def admitted(stack: Stack, name: str) -> bool:
    """Whether Mosquitto's access list has the client."""
    listed = next(stack.place.folder.rglob("access.acl")).read_text()
    return f"user {name}\n" in listed
