"""Policies as Mosquitto's access list: never more than the policy gives."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from bridge.mosquitto.access import REQUESTS, access, access_list
from bridge.policies import Connection, Policies
from bridge.publishers import Publishers
from bridge.topics import intersection

ARN = "arn:aws:iot:*:*:"
ME = Connection("me", "me", ("me",))


def policies(*statements: dict[str, Any]) -> Policies:
    connect = {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"{ARN}client/${{iot:ClientId}}"}
    return Policies(({"Version": "2012-10-17", "Statement": [connect, *statements]},))


def allow(action: str, *resources: str, effect: str = "Allow") -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": [ARN + resource for resource in resources]}


def test_who_may_not_connect_gets_nothing() -> None:
    assert access(Policies(()), ME) is None


@pytest.mark.parametrize("name", ["a\nuser b", " me", "me\t"])
def test_a_name_cannot_forge_a_line_of_the_list(name: str) -> None:
    assert access(policies(), Connection(name, name, (name,))) is None


@pytest.mark.parametrize(
    ("resource", "written", "left_out"),
    [
        ("topic/t/${iot:ClientId}/x", {"t/me/x"}, False),
        ("topic/t/*", {"t/#"}, False),
        ("topic/*", {"#", *REQUESTS}, False),
        ("topic/$aws/things/me/*", {one.replace("+", "me", 1) for one in REQUESTS[1:]}, False),
        ("topic/$aws/things/me/shadow/update", {"$aws/things/me/shadow/update"}, False),
        ("topic/$aws/things/me/shadow/update/accepted", set(), False),
        ("topic/t/*/x", {"t/+/x"}, True),
        ("topic/t/pre*", set(), True),
        ("topic/t/?", set(), True),
        ("topic/t/+/x", set(), False),  # no topic has a plus sign
        ("topic/$aws/rules/r/t", {"$aws/rules/r/t"}, False),
        ("topic/$aws/events/presence/connected/me", set(), False),
        ("topic/t/${iot:NoSuchVariable}", set(), False),
        ("client/me", set(), False),
    ],
)
def test_what_a_publish_statement_becomes(resource: str, written: set[str], left_out: bool) -> None:
    found = access(policies(allow("iot:Publish", resource)), ME)
    assert found is not None
    assert found.publish == written
    assert bool(found.left_out) is left_out


def test_the_level_above_a_wildcard_is_denied() -> None:
    """Mosquitto's ``t/#`` has ``t`` in it; AWS's ``t/*`` has not."""
    found = access(policies(allow("iot:Publish", "topic/t/*")), ME)
    assert found is not None
    assert list(found.section("me")) == ["user me", "topic deny t", "topic write t/#"]


def test_one_receives_what_may_be_received_and_subscribed_to() -> None:
    found = access(
        policies(
            allow("iot:Receive", "topic/a/*", "topic/b/x"),
            allow("iot:Subscribe", "topicfilter/a/+/c", "topicfilter/b/#"),
        ),
        ME,
    )
    assert found is not None
    assert found.receive == {"a/+/c", "b/x"}


def test_a_denial_is_never_narrower() -> None:
    found = access(
        policies(allow("iot:Publish", "topic/t/*"), allow("iot:Publish", "topic/t/se*t", effect="Deny")), ME
    )
    assert found is not None
    assert "t/#" in found.denied


def test_what_cannot_be_listed_is_left_out_and_said() -> None:
    statement = {"Effect": "Allow", "Action": "iot:Publish", "NotResource": f"{ARN}topic/secret"}
    found = access(policies(statement), ME)
    assert found is not None
    assert not found.publish
    assert found.left_out


def test_the_list_begins_with_the_internal_listener_and_the_bridge() -> None:
    text = access_list([], ["bridge"])
    assert text.splitlines()[0] == "topic readwrite #"
    assert "user bridge\ntopic readwrite #" in text


levels = st.sampled_from(["a", "b", "+"])
filters = st.builds(
    lambda parts, rest: "/".join([*parts, *rest]),
    st.lists(levels, min_size=1, max_size=3),
    st.sampled_from([[], ["#"]]),
)
topics = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4).map("/".join)


@given(filters, filters, topics)
def test_an_intersection_matches_what_both_match(one: str, other: str, topic: str) -> None:
    both = intersection(one, other)
    expected = topic_matches_sub(one, topic) and topic_matches_sub(other, topic)
    assert bool(both and topic_matches_sub(both, topic)) is expected


@pytest.mark.parametrize(
    ("topic", "who"),
    [
        ("t/me/x", "me"),
        ("$aws/rules/r/t/me/x", "me"),
        ("open/me", None),  # anybody may publish here
        ("t/me/y", None),  # nobody may
        ("u/me/me", "me"),
        ("u/me/you", None),
    ],
)
def test_a_topic_names_its_publisher_where_the_policies_leave_one(topic: str, who: str | None) -> None:
    thing = "${iot:Connection.Thing.ThingName}"
    publishers = Publishers.of(
        [
            {"Statement": allow("iot:Publish", f"topic/t/{thing}/x", f"topic/$aws/rules/r/t/{thing}/x")},
            {"Statement": allow("iot:*", "topic/open/*", "topic/u/${iot:ClientId}/${iot:ClientId}")},
            {"Statement": allow("iot:Connect", "client/*")},
        ]
    )
    assert publishers.publisher(topic) == who
