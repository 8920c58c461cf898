"""AWS IoT policies, by the developer guide's rules."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.policies import Connection, Policies

ARN = "arn:aws:iot:eu-central-1:000000000000:"
STATION = Connection("station-01", "station-01", ("station-01",))


def policy(*statements: dict[str, Any]) -> Policies:
    return Policies(({"Version": "2012-10-17", "Statement": list(statements)},))


def allow(action: Any, resource: Any, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


@pytest.mark.parametrize(
    ("resource", "asked", "allowed"),
    [
        ("*", "topic/anything", True),
        (f"{ARN}topic/a/*", "topic/a/b/c", True),
        (f"{ARN}topic/a/?", "topic/a/b", True),
        (f"{ARN}topic/a/?", "topic/a/bc", False),
        (f"{ARN}topic/a/+", "topic/a/b", False),  # MQTT's wildcards are plain characters in a policy
        (f"{ARN}topicfilter/a/+", "topicfilter/a/+", True),
        (f"{ARN}topic/${{iot:Connection.Thing.ThingName}}/t", "topic/station-01/t", True),
        (f"{ARN}topic/${{iot:Connection.Thing.ThingName}}/t", "topic/station-02/t", False),
        (f"{ARN}topic/${{iot:ClientId}}", "topic/station-01", True),
        (f"{ARN}topic/${{iot:Certificate.Subject.CommonName}}", "topic/station-01", True),
        (f"{ARN}topic/${{iot:NoSuchVariable}}", "topic/", False),
    ],
)
def test_resources(resource: str, asked: str, allowed: bool) -> None:
    assert policy(allow("iot:*", resource)).allow("iot:Publish", asked, STATION) is allowed


def test_nothing_is_allowed_by_default_and_a_deny_wins() -> None:
    everything = allow("*", "*")
    deny = {"Effect": "Deny", "Action": "iot:Publish", "Resource": f"{ARN}topic/secret"}
    assert not policy().allow("iot:Publish", "topic/a", STATION)
    for order in ((everything, deny), (deny, everything)):
        assert not policy(*order).allow("iot:Publish", "topic/secret", STATION)
        assert policy(*order).allow("iot:Publish", "topic/open", STATION)


def test_the_thing_must_be_attached() -> None:
    """A certificate whose thing is another one, or none, has no thing name."""
    condition = {"Bool": {"iot:Connection.Thing.IsAttached": "true"}}
    connect = policy(
        allow("iot:Connect", f"{ARN}client/${{iot:Connection.Thing.ThingName}}", Condition=condition)
    )
    assert connect.allow("iot:Connect", "client/station-01", STATION)
    for things in ((), ("station-02",)):
        stranger = Connection("station-01", "station-01", things)
        assert not connect.allow("iot:Connect", "client/station-01", stranger)


def test_a_condition_that_is_not_understood_opens_no_door() -> None:
    strange = allow("iot:Publish", "*", Condition={"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}})
    assert not policy(strange).allow("iot:Publish", "topic/a", STATION)


@given(
    client=st.text(alphabet="ab*?[].+", min_size=1, max_size=8),
    other=st.text(alphabet="ab*?[].+", min_size=1, max_size=8),
)
def test_a_client_id_is_never_a_pattern(client: str, other: str) -> None:
    """A device that calls itself "*" speaks for nobody else."""
    own = policy(allow("iot:Publish", f"{ARN}topic/${{iot:ClientId}}"))
    connection = Connection(client, client, (client,))
    assert own.allow("iot:Publish", f"topic/{other}", connection) is (client == other)


@pytest.mark.parametrize(
    "deny",
    [
        {"Action": "iot:Publish", "NotResource": f"{ARN}topic/open"},
        {"NotAction": "iot:Connect", "Resource": "*"},
        {"Action": "*", "Resource": "*", "Condition": {"StringNotLike": {"iot:ClientId": "x"}}},
        {
            "Action": "*",
            "Resource": "*",
            "Condition": {"StringEqualsIfExists": {"iot:ClientId": "station-01"}},
        },
    ],
)
def test_a_deny_is_never_skipped(deny: dict[str, Any]) -> None:
    """It holds in whatever words it is written, and where its condition is not understood."""
    everything = policy(allow("iot:*", "*"), {"Effect": "Deny", **deny})
    assert not everything.allow("iot:Publish", "topic/secret", STATION)


def test_not_action_and_not_resource_leave_out_what_they_name() -> None:
    spared = policy(allow("iot:*", "*"), {"Effect": "Deny", "NotAction": "iot:Connect", "Resource": "*"})
    assert spared.allow("iot:Connect", "client/station-01", STATION)
    spared = policy(allow("iot:*", "*"), {"Effect": "Deny", "Action": "*", "NotResource": f"{ARN}topic/open"})
    assert spared.allow("iot:Publish", "topic/open", STATION)
