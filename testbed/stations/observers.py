"""Devices that only listen: with a certificate of their own, and a thing policy that lets them read and not write."""

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from testbed.deploy.deployment import Deployment
from testbed.deploy.stations import enrolment_of
from testbed.errors import TestbedError


@contextmanager
def enrolled(deployment: Deployment, kind: str, topic: str = "") -> Iterator[Path]:
    """Give an observer of its own, as two of one name would push each other off the broker; removed at the end.

    It may subscribe to ``topic``, a filter; to what all stations publish without one.

    Yields:
        Its certificate, whose stem is the observer's name; the key is beside it.

    Raises:
        TestbedError: it is not a local deployment.
    """
    if deployment.target == "aws":
        raise TestbedError("This listens to local deployments.", "On AWS: the IoT console's MQTT test client")
    iot, station_policy = deployment.client("iot"), deployment.outputs.iot_policy_name
    arn = iot.get_policy(policyName=station_policy)["policyArn"].rsplit(":", 1)[0]
    policy = station_policy.removesuffix("station-policy") + "observer"
    if topic:
        policy += f"-{hashlib.sha256(topic.encode()).hexdigest()[:8]}"
    make_policy(iot, policy, arn, topic or deployment.topic_filter)
    name = f"{kind}-{secrets.token_hex(4)}"
    folder = deployment.certificates.parent / "observers"
    enrolment = enrolment_of(deployment, policy=policy, folder=folder)
    try:
        enrolment.enrol([name])
        yield folder / f"{name}.crt"
    finally:
        enrolment.remove([name])


def make_policy(iot: Any, policy: str, arn: str, topic_filter: str) -> None:
    """Make an observer's thing policy, if it is not there. ``arn`` is ``arn:aws:iot:<region>:<account>``."""
    allowed = {
        "iot:Connect": f"{arn}:client/${{iot:Connection.Thing.ThingName}}",
        "iot:Subscribe": f"{arn}:topicfilter/{topic_filter}",
        # Policies know * alone (AWS IoT Core policies, "Using wildcard characters in MQTT and AWS IoT Core policies").
        "iot:Receive": f"{arn}:topic/{topic_filter.replace('+', '*').replace('#', '*')}",
    }
    statements = [
        {"Effect": "Allow", "Action": action, "Resource": resource} for action, resource in allowed.items()
    ]
    document = msgspec.json.encode({"Version": "2012-10-17", "Statement": statements}).decode()
    try:
        iot.create_policy(policyName=policy, policyDocument=document)
    except iot.exceptions.ResourceAlreadyExistsException:
        return
