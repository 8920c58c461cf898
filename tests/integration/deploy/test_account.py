"""The state's bucket and the search for leftovers, on an emulator's account."""

import json
from pathlib import Path

import boto3
import pytest

from testbed.deploy.leftovers import leftovers
from testbed.deploy.state import RemoteState
from tests.integration.conftest import REGION, AwsEmulator


@pytest.fixture
def session(aws_emulator: AwsEmulator, monkeypatch: pytest.MonkeyPatch) -> boto3.Session:
    """Make a session whose clients call the emulator, as if it were AWS."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws_emulator.url)
    return boto3.Session("test", "test", region_name=REGION)


def test_the_states_bucket_is_private_versioned_encrypted_and_goes_with_the_last_state(
    session: boto3.Session, tmp_path: Path
) -> None:
    dev, prod = (RemoteState(session, "state-test", name, "000000000000") for name in ("dev", "prod"))
    assert dev.ensure()
    assert not prod.ensure(), "the bucket is the project's"
    s3 = session.client("s3")
    assert s3.get_bucket_versioning(Bucket=dev.bucket)["Status"] == "Enabled"
    assert all(s3.get_public_access_block(Bucket=dev.bucket)["PublicAccessBlockConfiguration"].values())
    [rule] = s3.get_bucket_encryption(Bucket=dev.bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    [statement] = json.loads(s3.get_bucket_policy(Bucket=dev.bucket)["Policy"])["Statement"]
    assert statement["Effect"] == "Deny"
    dev.write_backend(tmp_path)
    backend = json.loads((tmp_path / "backend.tf.json").read_text())["terraform"]["backend"]["s3"]
    assert backend["use_lockfile"]
    assert backend["encrypt"]

    for state in (dev, dev, prod):
        s3.put_object(Bucket=state.bucket, Key=state.key, Body=b"{}")
    assert not dev.remove(), "another deployment's state is in it"
    assert prod.remove()
    assert not prod.exists()
    assert prod.remove(), "twice does no harm"


def test_what_is_left_is_found_by_its_tags_and_by_its_name(session: boto3.Session) -> None:
    """And what is another deployment's, whose name only begins alike, is not."""
    sqs, sns = session.client("sqs"), session.client("sns")
    assert leftovers(session, "left-test", "dev") == []
    named = sqs.create_queue(QueueName="left-test-dev-telemetry")["QueueUrl"]
    other = sqs.create_queue(QueueName="left-test-dev2-telemetry")["QueueUrl"]
    tags = [{"Key": "Project", "Value": "left-test"}, {"Key": "Environment", "Value": "dev"}]
    tagged = sns.create_topic(Name="of-any-name", Tags=tags)["TopicArn"]
    cloudfront = session.client("cloudfront")
    control = cloudfront.create_origin_access_control(
        OriginAccessControlConfig={
            "Name": "left-test-dev-dashboard",
            "OriginAccessControlOriginType": "s3",
            "SigningBehavior": "always",
            "SigningProtocol": "sigv4",
        }
    )
    rule = {"sql": "SELECT * FROM 'a'", "actions": []}
    session.client("iot").create_topic_rule(ruleName="left_test_dev_rule", topicRulePayload=rule)
    try:
        assert leftovers(session, "left-test", "dev") == sorted(
            [
                tagged,
                "IoT rule left_test_dev_rule",
                f"queue {named}",
                "origin access control left-test-dev-dashboard",
            ]
        )
    finally:
        cloudfront.delete_origin_access_control(
            Id=control["OriginAccessControl"]["Id"], IfMatch=control["ETag"]
        )
        session.client("iot").delete_topic_rule(ruleName="left_test_dev_rule")
        sns.delete_topic(TopicArn=tagged)
        for queue in (named, other):
            sqs.delete_queue(QueueUrl=queue)
