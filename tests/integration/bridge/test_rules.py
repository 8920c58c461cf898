"""What rules do with messages, on real services."""

import base64
import json
from typing import Any

import pytest

from tests.integration.bridge.conftest import MakeDevice, Rules, Stack, drain, sqs, wait_for
from tests.integration.conftest import REGION

ROLE = "arn:aws:iam::000000000000:role/r"


def test_a_message_is_changed_by_the_rule_and_sent(
    stack: Stack, device: MakeDevice, rules: Rules, queue: str, name: str
) -> None:
    """SELECT, WHERE and the publisher's client id."""
    rules.add("plain", f"SELECT x + 1 AS y, clientid() AS who FROM 't/{name}/#' WHERE x > 1", sqs(queue))
    sender = device(name)
    for x in (1, 2, 3):
        sender.publish(f"t/{name}/a", {"x": x})
    found: list[Any] = []
    assert wait_for(lambda: found.extend(drain(stack, queue)) or len(found) == 2)
    assert sorted(found, key=lambda one: one["y"]) == [{"y": 3, "who": name}, {"y": 4, "who": name}]


def test_basic_ingest_reaches_its_rule_alone(
    stack: Stack, device: MakeDevice, rules: Rules, queue: str, name: str
) -> None:
    rules.add("direct", f"SELECT topic() AS topic FROM 't/{name}/a'", sqs(queue))
    device(name).publish(f"$aws/rules/direct/t/{name}/a", {"x": 1})
    found: list[Any] = []
    assert wait_for(lambda: found.extend(drain(stack, queue)) or found)
    assert found == [{"topic": f"t/{name}/a"}]


def test_each_action_takes_the_message(
    stack: Stack, device: MakeDevice, rules: Rules, queue: str, name: str
) -> None:
    """S3, DynamoDB (both), SNS, Kinesis, CloudWatch and republish, of one rule, with templates."""
    aws = stack.emulator
    aws.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    for table in (name, f"{name}-old"):
        aws.client("dynamodb").create_table(
            TableName=table, BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        )  # fmt: skip
    topic = aws.client("sns").create_topic(Name=name)["TopicArn"]
    arn = aws.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    aws.client("sns").subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"}
    )
    aws.client("kinesis").create_stream(StreamName=name, ShardCount=1)
    rules.add(
        "everything",
        f"SELECT id, x FROM 't/{name}/in'",
        {"s3": {"bucketName": name, "key": "${topic(3)}/${id}.json", "roleArn": ROLE}},
        {"dynamoDBv2": {"putItem": {"tableName": name}, "roleArn": ROLE}},
        {"dynamoDB": {"tableName": f"{name}-old", "hashKeyField": "id", "hashKeyValue": "${id}", "roleArn": ROLE}},
        {"sns": {"targetArn": topic, "messageFormat": "RAW", "roleArn": ROLE}},
        {"kinesis": {"streamName": name, "partitionKey": "${id}", "roleArn": ROLE}},
        {"cloudwatchMetric": {"metricNamespace": "T", "metricName": name, "metricValue": "${x}", "metricUnit": "None",
                              "roleArn": ROLE}},
        {"republish": {"topic": f"t/{name}/out", "qos": 1, "roleArn": ROLE}},
    )  # fmt: skip
    sender = device(name)
    sender.client.subscribe(f"t/{name}/#", qos=1)
    assert wait_for(lambda: sender.subscribed)
    sender.publish(f"t/{name}/in", {"id": "one", "x": 1.5})
    document = {"id": "one", "x": 1.5}

    assert wait_for(lambda: any(topic.endswith("/out") for topic, _ in sender.received))
    assert [json.loads(body) for topic, body in sender.received if topic.endswith("/out")] == [document]
    found: list[Any] = []
    assert wait_for(lambda: found.extend(drain(stack, queue)) or found)
    assert found == [document]
    assert json.loads(aws.client("s3").get_object(Bucket=name, Key="in/one.json")["Body"].read()) == document
    key = {"id": {"S": "one"}}
    assert aws.client("dynamodb").get_item(TableName=name, Key=key)["Item"] == {
        "id": {"S": "one"},
        "x": {"N": "1.5"},
    }
    old = aws.client("dynamodb").get_item(TableName=f"{name}-old", Key=key)["Item"]
    assert old["payload"]["M"]["x"] == {"N": "1.5"}
    kinesis = aws.client("kinesis")
    shard = kinesis.list_shards(StreamName=name)["Shards"][0]["ShardId"]
    place = kinesis.get_shard_iterator(StreamName=name, ShardId=shard, ShardIteratorType="TRIM_HORIZON")[
        "ShardIterator"
    ]
    assert [json.loads(record["Data"]) for record in kinesis.get_records(ShardIterator=place)["Records"]] == [
        document
    ]
    metrics = aws.client("cloudwatch").list_metrics(Namespace="T", MetricName=name)["Metrics"]
    assert len(metrics) == 1


def test_a_failed_action_sends_awss_error_document(
    stack: Stack, device: MakeDevice, rules: Rules, queue: str, name: str
) -> None:
    """No such queue: the error action gets the message at once, whole, with what failed."""
    nowhere = f"{queue}-that-is-not-there"
    rules.add("failing", f"SELECT * FROM 't/{name}/a'", sqs(nowhere), error_action=sqs(queue))
    device(name).publish(f"t/{name}/a", b"\xff not JSON")
    found: list[Any] = []
    assert wait_for(lambda: found.extend(drain(stack, queue)) or found)
    [error] = found
    assert error["ruleName"] == "failing"
    assert error["topic"] == f"t/{name}/a"
    assert error["clientId"] == name
    assert base64.b64decode(error["base64OriginalPayload"]) == b"\xff not JSON"
    [failure] = error["failures"]
    assert failure["failedAction"] == "SqsAction"
    assert failure["failedResource"] == nowhere


@pytest.mark.parametrize(
    ("sql", "action", "named"),
    [
        ("SELECT * FROM 't/x'", {"iotAnalytics": {"channelName": "c", "roleArn": ROLE}}, "iotAnalytics"),
        ("SELECT aws_lambda('f', *) FROM 't/x'", {"sqs": {"queueUrl": "u", "roleArn": ROLE}}, "aws_lambda"),
        ("SELECT no_such(*) FROM 't/x'", {"sqs": {"queueUrl": "u", "roleArn": ROLE}}, "no_such"),
    ],
)
def test_what_cannot_be_run_is_refused_by_name_and_others_go_on(
    stack: Stack, device: MakeDevice, rules: Rules, queue: str, name: str, sql: str, action: Any, named: str
) -> None:
    refused = name.replace("-", "_")
    rules.add(refused, sql, action, refused=True)
    assert named in stack.health()["refused"][refused]
    rules.add("neighbour", f"SELECT * FROM 't/{name}/a'", sqs(queue))
    device(name).publish(f"t/{name}/a", {"x": 1})
    assert wait_for(lambda: drain(stack, queue))


def test_rules_are_followed_without_a_restart(
    stack: Stack, device: MakeDevice, rules: Rules, queue: str, name: str
) -> None:
    """A changed rule does the new thing; a disabled one nothing."""
    iot = stack.emulator.client("iot")
    rules.add("changing", f"SELECT 1 AS version FROM 't/{name}/a'", sqs(queue))
    sender = device(name)
    sender.publish(f"t/{name}/a", {})
    assert wait_for(lambda: drain(stack, queue)) == [{"version": 1}]

    changed = {
        "sql": f"SELECT 2 AS version FROM 't/{name}/a'",
        "actions": [sqs(queue)],
        "awsIotSqlVersion": "2016-03-23",
    }
    iot.replace_topic_rule(ruleName="changing", topicRulePayload=changed)

    def version() -> Any:
        sender.publish(f"t/{name}/a", {})
        return any(found == {"version": 2} for found in drain(stack, queue))

    assert wait_for(version)
    iot.replace_topic_rule(ruleName="changing", topicRulePayload=changed | {"ruleDisabled": True})
    assert wait_for(lambda: "changing" not in stack.health()["rules"])


def test_presence_and_the_last_will(
    stack: Stack, device: MakeDevice, rules: Rules, queue: str, name: str
) -> None:
    """A device that connects, and one that vanishes without a goodbye."""
    rules.add("presence", f"SELECT * FROM '$aws/events/presence/+/{name}'", sqs(queue))
    rules.add("wills", f"SELECT VALUE topic() FROM 't/{name}/will'", sqs(queue))
    vanishing = device(name, will=f"t/{name}/will")
    found: list[Any] = []
    assert wait_for(lambda: found.extend(drain(stack, queue)) or found)
    assert [one["eventType"] for one in found] == ["connected"]
    assert found[0]["clientId"] == name
    assert set(found[0]) >= {
        "timestamp",
        "sessionIdentifier",
        "principalIdentifier",
        "versionNumber",
        "ipAddress",
    }

    found.clear()
    vanishing.client.loop_stop()
    vanishing.client.socket().close()
    assert wait_for(lambda: found.extend(drain(stack, queue)) or len(found) == 2)
    [event] = [one for one in found if isinstance(one, dict)]
    assert event["eventType"] == "disconnected"
    assert event["clientInitiatedDisconnect"] is False
    assert event["disconnectReason"] == "CONNECTION_LOST"
    assert f"t/{name}/will" in found
