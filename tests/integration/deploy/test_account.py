"""The state's bucket and the search for leftovers, on an emulator's account."""

import json
from pathlib import Path
from typing import Any

import boto3
import pytest

from testbed.cost.bill import Workload
from testbed.deploy import policies, preflight
from testbed.deploy.account import Account
from testbed.deploy.leftovers import leftovers
from testbed.deploy.needs import Site
from testbed.deploy.state import OVERRIDE, RemoteState
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
    backend = json.loads((tmp_path / OVERRIDE).read_text())["terraform"]["backend"]["s3"]
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


class ListsTheDeleted(boto3.Session):
    """A session whose tagging API still lists what is gone, as AWS's does for hours."""

    def client(self, service: str, *arguments: Any, **options: Any) -> Any:
        client = super().client(service, *arguments, **options)  # type: ignore[call-overload]
        if service == "resourcegroupstaggingapi":
            page = {"ResourceTagMappingList": [{"ResourceARN": arn} for arn in GONE]}
            client.can_paginate = lambda _: False
            client.get_resources = lambda **_: page
        return client


GONE = [
    f"arn:aws:{rest}"
    for rest in (
        "sqs:eu-central-1:000000000000:gone-dev-telemetry",
        "sns:eu-central-1:000000000000:gone-dev-alarms",
        "dynamodb:eu-central-1:000000000000:table/gone-dev-stations",
        "lambda:eu-central-1:000000000000:function:gone-dev-api-handler",
        "lambda:eu-central-1:000000000000:event-source-mapping:7e2b1f7c-0000-0000-0000-000000000000",
        "s3:::gone-dev-telemetry-000000000000",
        "iam::000000000000:role/gone-dev-iot-rules",
        "apigateway:eu-central-1::/restapis/abc123",
        "apigateway:eu-central-1::/apikeys/abc123",
        "apigateway:eu-central-1::/usageplans/abc123",
        "iot:eu-central-1:000000000000:policy/gone-dev-station-policy",
        "iot:eu-central-1:000000000000:rule/gone_dev_telemetry_rule",
        "glue:eu-central-1:000000000000:database/gone_dev_archive",
        "athena:eu-central-1:000000000000:workgroup/gone-dev-archive",
        "wafv2:eu-central-1:000000000000:regional/webacl/gone-dev-api/7e2b1f7c-0000-0000-0000-000000000000",
    )
]


def test_what_the_tagging_api_lists_and_is_deleted_is_not_left(
    aws_emulator: AwsEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws_emulator.url)
    assert leftovers(ListsTheDeleted("test", "test", region_name=REGION), "gone", "dev") == []


def test_the_settings_of_a_region_are_set_where_nobody_has_and_stay_where_somebody_has(
    session: boto3.Session,
) -> None:
    """API Gateway's logging role is one for all deployments of a region: none of them may take it from the others."""
    gateway, iam = session.client("apigateway"), session.client("iam")
    said: list[str] = []
    account = Account(session, "account-test", boundary=None)
    account.ensure(said.append)
    role = gateway.get_account()["cloudwatchRoleArn"]
    assert role.endswith(f":role/account-test-api-gateway-logs-{REGION}")
    assert any("API Gateway" in line for line in said)
    said.clear()
    Account(session, "another-project", boundary=None).ensure(said.append)
    Account(session, "another-project", boundary=None).remove()
    # ministack 1.5.33 has no logging of AWS IoT's, and says so each time.
    assert [line for line in said if "API Gateway" in line] == []
    assert gateway.get_account()["cloudwatchRoleArn"] == role
    account.remove()
    assert not gateway.get_account().get("cloudwatchRoleArn")
    assert not [one for one in iam.list_roles()["Roles"] if one["RoleName"].startswith("account-test-")]


def test_the_states_bucket_has_a_name_that_s3_takes_whatever_the_project_and_region() -> None:
    longest = max(boto3.Session().get_available_regions("s3"), key=len)
    state = RemoteState(boto3.Session(region_name=longest), "a" * 20, "prod", "0" * 12)
    assert len(state.bucket) <= 63


SITE = Site("000000000000", REGION, "ev-swap", "dev", policies.boundary_arn("ev-swap", "000000000000"))


def test_a_preflight_says_what_would_fail_in_lines(session: boto3.Session) -> None:
    root = "arn:aws:iam::000000000000:root"
    found = preflight.look(session, root, Workload(1000, 5), SITE)
    text = "\n".join(map(str, found.findings))
    assert "executions at once" in text
    assert f"{REGION} has every service" in text
    assert found.max_concurrency is not None
    assert preflight.fitting(10) == 5, "a new account has ten in all"
    assert preflight.fitting(1000) == 10
    elsewhere = boto3.Session("test", "test", region_name="mx-nowhere-1")
    nowhere = preflight.look(elsewhere, root, Workload(1000, 5), SITE, ["ingest"])
    [lacks] = [finding for finding in nowhere.findings if "mx-nowhere-1 lacks" in finding.text]
    assert lacks.fails
    assert "kinesis" in lacks.text, "a switch that is on has its service"


def test_a_preflight_simulates_the_callers_policies(session: boto3.Session) -> None:
    """One by one and by the names of what would be made: who lacks one right is told which."""
    iam = session.client("iam")
    user = iam.create_user(UserName="preflight")["User"]["Arn"]

    def said(*statements: dict[str, Any]) -> preflight.Finding:
        document = {"Version": "2012-10-17", "Statement": list(statements)}
        iam.put_user_policy(UserName="preflight", PolicyName="p", PolicyDocument=json.dumps(document))
        looked = preflight.look(session, user, Workload(1000, 5), SITE, ["ingest"])
        [finding] = [each for each in looked.findings if user in each.text]
        return finding

    every = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    others = {"Effect": "Deny", "Action": "sqs:*", "Resource": "arn:aws:sqs:*:*:other-*"}
    ours = {"Effect": "Deny", "Action": "kinesis:*", "Resource": "arn:aws:kinesis:*:*:stream/ev-swap-*"}
    try:
        nothing = said({"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"})
        assert nothing.fails
        assert "none of the rights" in nothing.text
        assert not said(every, others).fails
        without = said(every, ours)
        assert without.fails
        stream = f"kinesis:CreateStream on arn:aws:kinesis:{REGION}:000000000000:stream/ev-swap-dev-telemetry"
        assert without.text == f"{user} may not: {stream}"
    finally:
        iam.delete_user_policy(UserName="preflight", PolicyName="p")
        iam.delete_user(UserName="preflight")


def test_a_sessions_rights_are_its_roles() -> None:
    session = "arn:aws:sts::123456789012:assumed-role/deployer/me"
    assert preflight.principal(session) == "arn:aws:iam::123456789012:role/deployer"
    assert preflight.principal("arn:aws:iam::123456789012:root") is None
