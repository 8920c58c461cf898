"""Condition operators of IAM's policy language ("IAM JSON policy elements: Condition operators", IAM user guide)."""

from dataclasses import replace
from typing import Any

import pytest

from bridge.policies import Connection, Policies, Policy, Thing

HOME = "arn:aws:iot:eu-central-1:000000000000:"
NAME, ZONE = "iot:ClientId", "iot:Connection.Thing.Attributes[zone]"
LEVEL = "iot:Connection.Thing.Attributes[level]"
DEVICE = Connection(
    "Station-01", "Station-01", ("Station-01",), {}, source_ip="10.1.2.3", connect_attributes=("LastWill",)
)
THING = Thing("Station-01", "", {"level": "7", "built": "2026-03-01T00:00:00Z", "flag": "True"})


def policies(effect: str, condition: dict[str, Any], **more: Any) -> Policies:
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    asked = {"Effect": effect, "Action": "iot:*", "Resource": "*", "Condition": condition, **more}
    statements = [asked] if effect == "Allow" else [everything, asked]
    document = {"Version": "2012-10-17", "Statement": statements}
    return Policies((document,), HOME, "c0ffee", {THING.name: THING})


# fmt: off
OPERATORS = [
    ("StringEquals", NAME, "Station-01", True),
    ("StringEquals", NAME, "station-01", False),
    ("StringEquals", NAME, ["x", "Station-01"], True),
    ("StringEquals", "IOT:clientid", "Station-01", True),
    ("StringEquals", NAME, "${iot:ClientId}", True),
    ("StringEquals", NAME, "Station-*", False),
    ("StringNotEquals", NAME, ["x", "Station-01"], False),
    ("StringNotEquals", NAME, ["x", "y"], True),
    ("StringEqualsIgnoreCase", NAME, "STATION-01", True),
    ("StringNotEqualsIgnoreCase", NAME, "STATION-01", False),
    ("StringLike", NAME, "Station-*", True),
    ("StringLike", NAME, "Station-0?", True),
    ("StringLike", NAME, "station-*", False),
    ("StringNotLike", NAME, "Station-*", False),
    ("NumericEquals", LEVEL, 7, True),
    ("NumericEquals", LEVEL, "7.0", True),
    ("NumericNotEquals", LEVEL, "7", False),
    ("NumericLessThan", LEVEL, "8", True),
    ("NumericLessThanEquals", LEVEL, "7", True),
    ("NumericGreaterThan", LEVEL, "7", False),
    ("NumericGreaterThanEquals", LEVEL, "7", True),
    ("NumericEquals", "iot:Connection.Thing.Attributes[flag]", "7", False),
    ("DateEquals", "iot:Connection.Thing.Attributes[built]", "2026-03-01T00:00:00Z", True),
    ("DateLessThan", "iot:Connection.Thing.Attributes[built]", "2026-03-02T00:00:00Z", True),
    ("DateGreaterThan", "iot:Connection.Thing.Attributes[built]", "2026-03-02", False),
    ("DateGreaterThan", "aws:CurrentTime", "2020-01-01T00:00:00Z", True),
    ("DateLessThan", "aws:CurrentTime", "2020-01-01T00:00:00Z", False),
    ("NumericGreaterThan", "aws:EpochTime", "1577836800", True),
    ("Bool", "iot:Connection.Thing.IsAttached", "true", True),
    ("Bool", "iot:Connection.Thing.IsAttached", True, True),
    ("Bool", "iot:Connection.Thing.Attributes[flag]", "true", True),
    ("Bool", "aws:SecureTransport", "false", False),
    ("IpAddress", "aws:SourceIp", "10.0.0.0/8", True),
    ("IpAddress", "aws:SourceIp", ["192.168.0.0/16", "10.1.2.3"], True),
    ("NotIpAddress", "aws:SourceIp", "10.0.0.0/8", False),
    ("NotIpAddress", "aws:SourceIp", "2001:db8::/32", True),
    ("Null", ZONE, "true", True),
    ("Null", ZONE, "false", False),
    ("Null", LEVEL, "false", True),
    # a key without a value: the positive does not hold, the negated does, and ...IfExists does
    ("StringEquals", ZONE, "a", False),
    ("StringNotEquals", ZONE, "a", True),
    ("StringLike", ZONE, "*", False),
    ("StringEqualsIfExists", ZONE, "a", True),
    ("StringEqualsIfExists", NAME, "a", False),
    ("NumericLessThanIfExists", ZONE, "1", True),
    ("ForAllValues:StringEquals", ZONE, "a", True),
    ("ForAnyValue:StringEquals", ZONE, "a", False),
    ("ForAllValues:StringEqualsIfExists", ZONE, "a", True),
    ("ForAnyValue:StringLike", NAME, "Station-*", True),
    ("ForAllValues:StringLike", "iot:ConnectAttributes", "Last*", True),
]
# fmt: on


@pytest.mark.parametrize(("operator", "key", "values", "holds"), OPERATORS)
def test_an_operator(operator: str, key: str, values: Any, holds: bool) -> None:
    """What holds lets an Allow apply and a Deny, too."""
    condition = {operator: {key: values}}
    assert policies("Allow", condition).allow("iot:Connect", "client/x", DEVICE) is holds
    assert policies("Deny", condition).allow("iot:Connect", "client/x", DEVICE) is not holds


@pytest.mark.parametrize(
    ("written", "word"),
    [
        ({"Condition": {"StringAlmost": {NAME: "x"}}}, "StringAlmost"),
        ({"Condition": {"stringequals": {NAME: "Station-01"}}}, "stringequals"),
        ({"Condition": {"ForSomeValues:StringEquals": {NAME: "x"}}}, "ForSomeValues"),
        ({"Condition": {"StringEquals": {"iot:Color": "x"}}}, "iot:Color"),
        ({"Condition": {"StringEquals": {NAME: "${iot:Color}"}}}, "iot:Color"),
        ({"Condition": {"IpAddress": {"aws:SourceIp": "ten"}}}, "ten"),
        ({"Condition": {"NumericEquals": {LEVEL: "seven"}}}, "seven"),
        ({"Condition": {"DateLessThan": {"aws:CurrentTime": "soon"}}}, "soon"),
        ({"Condition": {"Bool": {"aws:SecureTransport": "yes"}}}, "yes"),
        ({"Condition": {"Null": {ZONE: "maybe"}}}, "maybe"),
        ({"Resource": f"{HOME}topic/${{iot:Color}}"}, "iot:Color"),
        ({"Resource": "topic/x"}, "topic/x"),
        ({"Principal": "*"}, "Principal"),
        ({"NotAction": "iot:Connect"}, "NotAction"),
    ],
)
def test_what_is_not_understood_opens_no_door_and_loses_no_deny(written: dict[str, Any], word: str) -> None:
    """An Allow with it never applies, a Deny always does, and a log line names it."""
    statement = {"Effect": "Allow", "Action": "iot:*", "Resource": "*", **written}
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    for statements in ([statement], [everything, statement | {"Effect": "Deny"}]):
        policy = Policy.of({"Version": "2012-10-17", "Statement": statements}, "p")
        assert any(word in fault for fault in policy.faults)
        found = Policies((policy,), HOME, "c0ffee", {THING.name: THING})
        assert not found.allow("iot:Publish", "topic/x", DEVICE)


def test_variables_need_the_version_that_has_them() -> None:
    own = {"Effect": "Allow", "Action": "*", "Resource": f"{HOME}topic/${{iot:ClientId}}"}
    for document in ({"Statement": own}, {"Version": "2008-10-17", "Statement": own}):
        policy = Policy.of(document)
        assert "2012-10-17" in policy.faults[0]
        assert not Policies((policy,), HOME).allow("iot:Publish", "topic/Station-01", DEVICE)


@pytest.mark.parametrize(
    "document", ["{", "[]", '"x"', '{"Statement": ["x"]}', '{"Statement": {"Condition": 1}}']
)
def test_a_document_that_cannot_be_read_denies_everything(document: str) -> None:
    everything = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
    broken = Policy.of(document, "broken")
    assert broken.faults
    assert not Policies((everything, broken), HOME).allow("iot:Connect", "client/x", DEVICE)


@pytest.mark.parametrize(
    ("arn", "matches"),
    [
        ("arn:aws:iot:eu-central-1:000000000000:topic/a", True),
        ("arn:aws:iot:*:*:topic/a", True),
        ("arn:*:iot:*:000000000000:topic/a", True),
        ("arn:aws:iot:*", True),
        ("*", True),
        ("*topic/a", True),
        ("arn:aws:iot:us-east-1:000000000000:topic/a", False),
        ("arn:aws:iot:eu-central-1:123456789012:topic/a", False),
        ("arn:aws:sqs:eu-central-1:000000000000:topic/a", False),
        ("arn:aws-cn:iot:eu-central-1:000000000000:topic/a", False),
        ("arn:aws:iot:eu-central-1:000000000000:topicfilter/a", False),
    ],
)
def test_an_arn_is_compared_as_a_whole(arn: str, matches: bool) -> None:
    document = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": arn}}
    assert Policies((document,), HOME).allow("iot:Publish", "topic/a", DEVICE) is matches


@pytest.mark.parametrize(
    "key", ["aws:SourceIp", "iot:ConnectAttributes", "iot:Certificate.Subject.Country", ZONE]
)
def test_what_cannot_be_known_here_closes(key: str) -> None:
    """A broker that does not see addresses evaluates no address: an Allow does not apply, a Deny does."""
    blind = replace(DEVICE, certificate=None, source_ip=None, connect_attributes=None)
    for effect in ("Allow", "Deny"):
        document = policies(effect, {"StringNotEquals": {key: "x"}}).documents
        assert not Policies(document, HOME).allow("iot:Connect", "client/x", blind)


def test_an_answer_that_depends_on_the_time_says_so() -> None:
    assert policies("Allow", {"DateLessThan": {"aws:CurrentTime": "2030-01-01"}}).needs_time
    assert not policies("Allow", {"StringEquals": {NAME: "x"}}).needs_time


def test_a_refusal_names_the_policy() -> None:
    deny = {"Sid": "no", "Effect": "Deny", "Action": "*", "Resource": f"{HOME}topic/x"}
    allow = {"Effect": "Allow", "Action": "*", "Resource": f"{HOME}topic/*"}
    held = Policies((Policy.of({"Version": "2012-10-17", "Statement": [allow, deny]}, "mine"),), HOME)
    assert (
        held.refusal("iot:Publish", "topic/x", DEVICE)
        == "the policy mine denies iot:Publish on topic/x (Sid no)"
    )
    said = held.refusal("iot:Connect", "client/x", DEVICE)
    assert "no policy allows iot:Connect" in said
    assert "mine" in said
