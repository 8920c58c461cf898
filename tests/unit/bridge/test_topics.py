"""Topics that AWS keeps for itself, and those of them that clients use.

The cases are "Reserved topics" of the AWS IoT Core developer guide (reserved-topics.md of awsdocs/aws-iot-docs).
"""

import pytest

from bridge.topics import open_to_clients

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
