"""The services that the backend is made of answer, with what Terraform sets on them."""

import json
import urllib.error
import urllib.request

import pytest

from .conftest import REGION, LocalStack


def test_a_rest_api_reaches_its_function(localstack: LocalStack) -> None:
    """API Gateway's Lambda proxy passes method, path and query on, and the answer's status and body back."""
    source = """
import json
def handler(event, context):
    what = [event["httpMethod"], event["pathParameters"], event["queryStringParameters"]]
    return {"statusCode": 418, "headers": {"x-kind": "tea"}, "body": json.dumps(what)}
"""
    localstack.function("proxied", source)
    gateway = localstack.client("apigateway")
    api = gateway.create_rest_api(name="proxied")["id"]
    root = gateway.get_resources(restApiId=api)["items"][0]["id"]
    resource = gateway.create_resource(restApiId=api, parentId=root, pathPart="{proxy+}")["id"]
    gateway.put_method(restApiId=api, resourceId=resource, httpMethod="GET", authorizationType="NONE")
    function = f"arn:aws:lambda:{REGION}:000000000000:function:proxied"
    gateway.put_integration(
        restApiId=api,
        resourceId=resource,
        httpMethod="GET",
        type="AWS_PROXY",
        integrationHttpMethod="POST",
        uri=f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{function}/invocations",
    )
    gateway.create_deployment(restApiId=api, stageName="dev")
    url = f"{localstack.url}/_aws/execute-api/{api}/dev/stations/one?limit=2"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url, timeout=30)  # loopback
    assert refused.value.code == 418
    assert refused.value.headers["x-kind"] == "tea"
    assert json.load(refused.value) == ["GET", {"proxy": "stations/one"}, {"limit": "2"}]
    refused.value.close()


def test_a_bucket_keeps_its_settings(localstack: LocalStack) -> None:
    """Life cycle, encryption, policy, versions and public access come back as they were set."""
    s3 = localstack.client("s3")
    s3.create_bucket(Bucket="settings", CreateBucketConfiguration={"LocationConstraint": REGION})
    rule = {
        "ID": "old",
        "Status": "Enabled",
        "Filter": {"Prefix": "telemetry/"},
        "Transitions": [{"Days": 30, "StorageClass": "STANDARD_IA"}],
        "Expiration": {"Days": 365},
    }
    s3.put_bucket_lifecycle_configuration(Bucket="settings", LifecycleConfiguration={"Rules": [rule]})
    [kept] = s3.get_bucket_lifecycle_configuration(Bucket="settings")["Rules"]
    assert kept == rule
    s3.put_bucket_encryption(
        Bucket="settings",
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
        },
    )
    found = s3.get_bucket_encryption(Bucket="settings")["ServerSideEncryptionConfiguration"]["Rules"]
    assert found[0]["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": "arn:aws:s3:::settings/*",
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ],
    }
    s3.put_bucket_policy(Bucket="settings", Policy=json.dumps(policy))
    assert json.loads(s3.get_bucket_policy(Bucket="settings")["Policy"]) == policy
    # Free LocalStack keeps policies and does not enforce them: this goes over plain HTTP.
    s3.put_object(Bucket="settings", Key="telemetry/one", Body=b"1")
    assert s3.get_object(Bucket="settings", Key="telemetry/one")["Body"].read() == b"1"


def test_a_table_writes_conditionally_and_keeps_its_recovery_setting(localstack: LocalStack) -> None:
    """A conditional write that must not happen does not; point-in-time recovery is kept."""
    dynamodb = localstack.client("dynamodb")
    dynamodb.create_table(
        TableName="stations",
        KeySchema=[{"AttributeName": "station_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "station_id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.update_continuous_backups(
        TableName="stations", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    found = dynamodb.describe_continuous_backups(TableName="stations")["ContinuousBackupsDescription"]
    assert found["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
    item = {"station_id": {"S": "one"}, "sequence": {"N": "2"}}
    dynamodb.put_item(TableName="stations", Item=item)
    with pytest.raises(dynamodb.exceptions.ConditionalCheckFailedException):
        dynamodb.put_item(
            TableName="stations",
            Item=item | {"sequence": {"N": "1"}},
            ConditionExpression="#s < :s",
            ExpressionAttributeNames={"#s": "sequence"},
            ExpressionAttributeValues={":s": {"N": "1"}},
        )
    assert dynamodb.get_item(TableName="stations", Key={"station_id": {"S": "one"}})["Item"] == item


def test_alarms_dashboards_and_retention_are_kept(localstack: LocalStack) -> None:
    """What monitoring.tf makes is there when it is read back."""
    cloudwatch = localstack.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName="dead letters",
        Namespace="AWS/SQS",
        MetricName="ApproximateNumberOfMessagesVisible",
        Dimensions=[{"Name": "QueueName", "Value": "dlq"}],
        Statistic="Maximum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0,
        ComparisonOperator="GreaterThanThreshold",
    )
    [alarm] = cloudwatch.describe_alarms(AlarmNames=["dead letters"])["MetricAlarms"]
    assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
    body = json.dumps({"widgets": []})
    cloudwatch.put_dashboard(DashboardName="fleet", DashboardBody=body)
    assert cloudwatch.get_dashboard(DashboardName="fleet")["DashboardBody"] == body
    logs = localstack.client("logs")
    logs.create_log_group(logGroupName="/aws/lambda/kept")
    logs.put_retention_policy(logGroupName="/aws/lambda/kept", retentionInDays=14)
    [group] = logs.describe_log_groups(logGroupNamePrefix="/aws/lambda/kept")["logGroups"]
    assert group["retentionInDays"] == 14
