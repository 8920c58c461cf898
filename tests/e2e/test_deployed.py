"""What is deployed is what terraform/ says, whichever provider applied it; the setup guide's AWS commands answer."""

import json
import os
from typing import Any

import pytest

from bridge.authority import certificate_id
from testbed.deploy import lifecycle
from testbed.deploy.deployment import Deployment
from testbed.engines.base import Place
from tests.e2e.conftest import Connect, now, station_in_api, wait_for


@pytest.fixture
def mapping(deployment: Deployment) -> dict[str, Any]:
    """Find the event source mapping of the telemetry queue."""
    mapping: dict[str, Any] = mappings(deployment)["sqs"]
    return mapping


def mappings(deployment: Deployment) -> dict[str, Any]:
    """Return the event source mappings of the telemetry handler, by the service that each reads from."""
    found = deployment.client("lambda").list_event_source_mappings(
        FunctionName=deployment.outputs.telemetry_function_name
    )["EventSourceMappings"]
    by_service = {each["EventSourceArn"].split(":")[2]: each for each in found}
    assert len(found) == len(by_service)
    assert by_service.keys() == {"sqs", *(["kinesis"] if deployment.outputs.telemetry_stream_name else [])}
    return by_service


def test_the_archive_is_private_encrypted_and_ages_to_glacier(deployment: Deployment) -> None:
    s3, bucket = deployment.client("s3"), deployment.outputs.telemetry_bucket_name
    [encryption] = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert encryption["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert {rule["Filter"]["Prefix"] for rule in rules} == {"telemetry/", "compacted/", "query-results/"}
    for rule in rules:
        assert rule["Status"] == "Enabled"
        if rule["Filter"]["Prefix"] == "query-results/":
            assert rule["Expiration"] == {"Days": 7}
        else:
            assert rule["Transitions"] == [{"Days": 90, "StorageClass": "GLACIER_IR"}]
    blocked = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert all(blocked.values())
    if deployment.enforce_iam:
        return  # the one statement is taken out there: testbed/deploy/enforced_iam.py
    [statement] = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"]["Bool"]["aws:SecureTransport"] in ("false", ["false"])


def test_the_table_is_encrypted_paid_as_is_set_and_recoverable(deployment: Deployment) -> None:
    dynamodb, name = deployment.client("dynamodb"), deployment.outputs.stations_table_name
    table = dynamodb.describe_table(TableName=name)["Table"]
    provisioned = os.environ.get("TF_VAR_table_capacity") == "provisioned"  # noqa: SIM112  # Terraform's name
    assert (table.get("BillingModeSummary", {}).get("BillingMode") == "PAY_PER_REQUEST") is not provisioned
    assert (table["ProvisionedThroughput"]["WriteCapacityUnits"] > 0) is provisioned
    # By a key that DynamoDB owns, of which DescribeTable says nothing: terraform/dynamodb.tf.
    assert "SSEDescription" not in table
    recovery = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    assert recovery["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"


def test_the_history_expires(deployment: Deployment) -> None:
    dynamodb, name = deployment.client("dynamodb"), deployment.outputs.history_table_name
    ttl = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    assert (ttl["TimeToLiveStatus"], ttl["AttributeName"]) == ("ENABLED", "expires_at")


def test_one_bad_record_fails_alone_and_bursts_wait(deployment: Deployment, mapping: dict[str, Any]) -> None:
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["BatchSize"] == 1000
    assert mapping["MaximumBatchingWindowInSeconds"] == (5 if deployment.target == "aws" else 1)
    assert mapping["ScalingConfig"]["MaximumConcurrency"] >= 2


def test_a_stream_is_read_by_stations_in_order_and_what_is_given_up_is_in_the_dead_letter_queue(
    deployment: Deployment,
) -> None:
    """Where the settings put one in the queue's place (``TF_VAR_ingest=kinesis``)."""
    name = deployment.outputs.telemetry_stream_name
    rule = deployment.client("iot").get_topic_rule(ruleName=deployment.outputs.telemetry_rule_name)["rule"]
    [action] = rule["actions"]
    assert list(action) == ["kinesis" if name else "sqs"]
    if not name:
        return
    assert (action["kinesis"]["streamName"], action["kinesis"]["partitionKey"]) == (name, "${topic(3)}")
    mapping = mappings(deployment)["kinesis"]
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["BisectBatchOnFunctionError"] is True
    assert mapping["MaximumRecordAgeInSeconds"] == 21600
    assert mapping["DestinationConfig"]["OnFailure"]["Destination"].endswith("-telemetry-dlq")
    found = deployment.client("kinesis").describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
    assert (found["EncryptionType"], found["RetentionPeriodHours"]) == ("KMS", 24)


def test_functions_run_on_the_wanted_runtime(deployment: Deployment) -> None:
    variables = json.loads((deployment.path / "terraform" / "zz-testbed.auto.tfvars.json").read_text())
    outputs = deployment.outputs
    for function in (outputs.telemetry_function_name, outputs.api_function_name):
        found = deployment.client("lambda").get_function_configuration(FunctionName=function)
        assert found["Runtime"] == variables["lambda_runtime"]
        assert found["Architectures"] == [variables["lambda_architecture"]]


def test_queues_are_encrypted_and_an_outage_makes_no_dead_letters(deployment: Deployment) -> None:
    sqs = deployment.client("sqs")
    for queue in (deployment.outputs.telemetry_queue_url, deployment.outputs.dead_letter_queue_url):
        attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
        assert attributes["SqsManagedSseEnabled"] == "true"
        if queue == deployment.outputs.telemetry_queue_url:
            policy = json.loads(attributes["RedrivePolicy"])
            assert int(policy["maxReceiveCount"]) >= 100
            assert policy["deadLetterTargetArn"].endswith("-telemetry-dlq")


def test_logs_are_kept_for_seven_days_or_as_long_as_is_set(deployment: Deployment) -> None:
    days = int(os.environ.get("TF_VAR_log_retention_days", "7"))  # noqa: SIM112  # Terraform's name
    logs, prefix = deployment.client("logs"), f"ev-swap-{deployment.environment}"
    groups = [
        f"/aws/lambda/{prefix}-telemetry-handler",
        f"/aws/lambda/{prefix}-api-handler",
        f"/aws/apigateway/{prefix}-api",
    ]
    for group in groups:
        [found] = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
        assert found["retentionInDays"] == days


def test_alarms_and_dashboard_are_there(deployment: Deployment) -> None:
    cloudwatch, prefix = deployment.client("cloudwatch"), f"ev-swap-{deployment.environment}"
    alarms = {
        alarm["AlarmName"]: alarm
        for alarm in cloudwatch.describe_alarms(AlarmNamePrefix=prefix)["MetricAlarms"]
    }
    silence = {f"{prefix}-archive-age", f"{prefix}-nothing-arrives"}
    assert set(alarms) - (silence if "TF_VAR_silence_alarm_minutes" in os.environ else set()) == {
        f"{prefix}-dead-letters",
        f"{prefix}-queue-age",
        *([f"{prefix}-stream-age"] if deployment.outputs.telemetry_stream_name else []),
        f"{prefix}-telemetry-handler-errors",
        f"{prefix}-api-handler-errors",
        *(
            f"{prefix}-rule-{rule}-{metric}"
            for rule in ("telemetry", "presence")
            for metric in ("Failure", "ErrorActionFailure", "throttled")
        ),
    }
    assert all(alarm["AlarmActions"] for alarm in alarms.values())
    body = cloudwatch.get_dashboard(DashboardName=prefix)["DashboardBody"]
    assert len(json.loads(body)["widgets"]) == (8 if deployment.outputs.telemetry_stream_name else 6)


def test_each_function_has_a_role_of_its_own_without_wildcards(deployment: Deployment) -> None:
    iam, prefix = deployment.client("iam"), f"ev-swap-{deployment.environment}"
    for role in ("telemetry-handler", "api-handler", "iot-rules"):
        document = iam.get_role_policy(RoleName=f"{prefix}-{role}", PolicyName=role)["PolicyDocument"]
        for statement in document["Statement"]:
            if statement.get("Sid") in ("Traces", "FindJobs"):
                continue  # X-Ray and ListJobs have no resources to name
            actions, resources = statement["Action"], statement["Resource"]
            for action in [actions] if isinstance(actions, str) else actions:
                assert "*" not in action
            for resource in [resources] if isinstance(resources, str) else resources:
                assert resource != "*"


def test_the_setup_guides_commands_answer(deployment: Deployment, connect: Connect, name: str) -> None:
    """describe-endpoint, describe-certificate, list-attached-policies, get-topic-rule, lambda invoke, logs."""
    iot, lambda_ = deployment.client("iot"), deployment.client("lambda")
    assert connect(name).connected()
    assert iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"]
    identity = certificate_id((deployment.certificates / f"{name}.crt").read_bytes())
    certificate = iot.describe_certificate(certificateId=identity)["certificateDescription"]
    assert certificate["status"] == "ACTIVE"
    policies = iot.list_attached_policies(target=certificate["certificateArn"])["policies"]
    assert [policy["policyName"] for policy in policies] == [deployment.outputs.iot_policy_name]
    rule = iot.get_topic_rule(ruleName=deployment.outputs.telemetry_rule_name)["rule"]
    assert rule["ruleDisabled"] is False
    assert "sqs" in rule["errorAction"]

    telemetry = {"station_id": name, "battery_available": 10, "timestamp": now()}
    invoked = lambda_.invoke(
        FunctionName=deployment.outputs.telemetry_function_name, Payload=json.dumps(telemetry).encode()
    )
    assert "FunctionError" not in invoked
    assert wait_for(lambda: station_in_api(deployment, name))
    listed = lambda_.invoke(
        FunctionName=deployment.outputs.api_function_name,
        Payload=json.dumps({"httpMethod": "GET", "path": "/stations"}).encode(),
    )
    assert json.loads(listed["Payload"].read())["statusCode"] == 200
    group = f"/aws/lambda/{deployment.outputs.telemetry_function_name}"
    assert wait_for(
        lambda: deployment.client("logs").filter_log_events(logGroupName=group, limit=1)["events"]
    )


def test_a_second_up_changes_nothing(deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    if deployment.target == "aws":
        pytest.skip("on AWS a second `up` plans anew; a person reads that plan")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DEPLOYMENT", deployment.name)
        environment.setenv("ENGINE", deployment.cloud_name)
        settings = lifecycle.Settings.from_environment()
    again = lifecycle.up(settings, print, lambda _: True)
    assert "Already up" in capsys.readouterr().out
    assert again.processes == deployment.processes
    assert isinstance(again.place, Place)
