"""Topics that AWS keeps for itself, and those of them that clients use.

The cases are "Reserved topics" of the AWS IoT Core developer guide (reserved-topics.md of awsdocs/aws-iot-docs).
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.topics import matcher, open_to_clients, without_overlaps

PUBLISH = [
    "a/b",
    "$aws/rules/some_rule",
    "$aws/rules/some_rule/a/b",
    "$aws/things/t/shadow/update",
    "$aws/things/t/shadow/get",
    "$aws/things/t/shadow/delete",
    "$aws/things/t/shadow/name/s/update",
    "$aws/things/t/jobs/get",
    "$aws/things/t/jobs/start-next",
    "$aws/things/t/jobs/some-job/get",
    "$aws/things/t/jobs/$next/get",
    "$aws/things/t/jobs/some-job/update",
    "$aws/certificates/create/json",
    "$aws/certificates/create-from-csr/cbor",
    "$aws/provisioning-templates/p/provision/json",
]
SUBSCRIBE_ONLY = [
    "$aws/things/t/shadow/update/accepted",
    "$aws/things/t/shadow/update/delta",
    "$aws/things/t/shadow/name/s/get/rejected",
    "$aws/things/t/jobs/notify-next",
    "$aws/things/t/jobs/some-job/update/accepted",
    "$aws/certificates/create/json/accepted",
    "$aws/provisioning-templates/p/provision/json/rejected",
    "$aws/events/presence/connected/t",
    "$aws/events/jobExecution/j/succeeded",
    "$aws/rules/",
    "$from/t/a/b",
    "$bridge/ready",
    "$SYS/a",
]


@pytest.mark.parametrize("topic", PUBLISH)
def test_requests_to_aws_services_are_a_matter_of_policies(topic: str) -> None:
    assert open_to_clients(topic)


@pytest.mark.parametrize("topic", SUBSCRIBE_ONLY)
def test_answers_and_events_come_from_aws_alone(topic: str) -> None:
    assert not open_to_clients(topic)


_LEVELS = st.lists(st.sampled_from(["a", "b", "+"]), min_size=1, max_size=4)
_FILTERS = st.builds(lambda levels, more: "/".join(levels + more), _LEVELS, st.sampled_from([[], ["#"]]))


def _mosquitto_matches(topic_filter: str, topic: str) -> bool:
    """Match as MQTT says: "a/#" matches "a", which AWS IoT does otherwise."""
    parent = topic_filter.removesuffix("/#")
    return matcher(topic_filter)(topic) or (parent != topic_filter and matcher(parent)(topic))


@given(
    st.lists(_FILTERS, max_size=6),
    st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=5).map("/".join),
)
def test_without_overlaps_each_topic_is_matched_once_and_none_is_lost(filters: list[str], topic: str) -> None:
    matching = [one for one in without_overlaps(filters) if _mosquitto_matches(one, topic)]
    assert len(matching) <= 1
    if any(_mosquitto_matches(one, topic) for one in filters):
        assert matching


def test_filters_that_are_apart_stay_as_they_are() -> None:
    apart = {"t/+/a", "t/+/b", "$aws/rules/one/#", "$aws/rules/two/#"}
    assert without_overlaps(apart) == apart
