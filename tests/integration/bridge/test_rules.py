"""What rules do with messages, on real services."""

import base64
import io
import json
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.integration.bridge.conftest import ONE_RULES_ENGINE, MakeDevice, Rules, Stack, drain, sqs, wait_for
from tests.integration.conftest import REGION

ROLE = "arn:aws:iam::000000000000:role/r"


@ONE_RULES_ENGINE
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


@ONE_RULES_ENGINE
def test_each_action_takes_the_message(
    stack: Stack, device: MakeDevice, rules: Rules, queue: str, name: str
) -> None:
    """S3, DynamoDB (both), SNS, Kinesis, CloudWatch and republish, of one rule, with templates."""
    aws = stack.emulator
    aws.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    for table in (name, f"{name}-old"):
        aws.client("dynamodb").create_table(
            TableName=table,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        )
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
        {
            "dynamoDB": {
                "tableName": f"{name}-old",
                "hashKeyField": "id",
                "hashKeyValue": "${id}",
                "roleArn": ROLE,
            }
        },
        {"sns": {"targetArn": topic, "messageFormat": "RAW", "roleArn": ROLE}},
        {"kinesis": {"streamName": name, "partitionKey": "${id}", "roleArn": ROLE}},
        {
            "cloudwatchMetric": {
                "metricNamespace": "T",
                "metricName": name,
                "metricValue": "${x}",
                "metricUnit": "None",
                "roleArn": ROLE,
            }
        },
        {"republish": {"topic": f"t/{name}/out", "qos": 1, "roleArn": ROLE}},
    )
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


_FUNCTION = """
import boto3, json, os
def handler(event, context):
    boto3.client("s3").put_object(Bucket=context.function_name, Key=event["id"], Body=json.dumps(event).encode())
    print("done")
"""


@ONE_RULES_ENGINE
def test_lambda_and_firehose_take_the_message(
    stack: Stack, device: MakeDevice, rules: Rules, name: str
) -> None:
    """Both leave an object in S3: the function by itself, the delivery stream as its destination."""
    aws = stack.emulator
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("handler.py", _FUNCTION)
    function = aws.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.12",
        Handler="handler.handler",
        Role=ROLE,
        Timeout=30,
        Code={"ZipFile": package.getvalue()},
    )["FunctionArn"]
    aws.client("firehose").create_delivery_stream(
        DeliveryStreamName=name,
        ExtendedS3DestinationConfiguration={
            "RoleARN": ROLE,
            "BucketARN": f"arn:aws:s3:::{name}",
            "Prefix": "stream/",
            "BufferingHints": {"IntervalInSeconds": 0, "SizeInMBs": 1},
        },
    )
    rules.add(
        "both",
        f"SELECT id, x FROM 't/{name}/in'",
        {"lambda": {"functionArn": function}},
        {"firehose": {"deliveryStreamName": name, "separator": "\n", "roleArn": ROLE}},
    )
    device(name).publish(f"t/{name}/in", {"id": "one", "x": 1})

    def objects() -> dict[str, Any]:
        listed = s3.list_objects_v2(Bucket=name).get("Contents", [])
        return {
            "stream" if entry["Key"].startswith("stream/") else entry["Key"]: json.loads(
                s3.get_object(Bucket=name, Key=entry["Key"])["Body"].read()
            )
            for entry in listed
        }

    assert wait_for(lambda: len(objects()) == 2)
    assert objects() == {"one": {"id": "one", "x": 1}, "stream": {"id": "one", "x": 1}}


@ONE_RULES_ENGINE
def test_http_posts_and_tries_again(
    stack: Stack, device: MakeDevice, rules: Rules, queue: str, name: str
) -> None:
    """A server that is busy once gets the message again; one that refuses it is an error, at once."""
    taken: list[tuple[str, str | None, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken.append((self.path, self.headers["x-station"], body))
            self.send_response(403 if self.path == "/no" else 503 if len(taken) == 1 else 204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    rules.add(
        "posting",
        f"SELECT path, x FROM 't/{name}/in'",
        {"http": {"url": f"{url}/${{path}}", "headers": [{"key": "x-station", "value": "${topic(2)}"}]}},
        error_action=sqs(queue),
    )
    sender = device(name)
    try:
        sender.publish(f"t/{name}/in", {"path": "yes", "x": 1})
        assert wait_for(lambda: len(taken) == 2)
        assert taken == [("/yes", name, b'{"path":"yes","x":1}')] * 2
        sender.publish(f"t/{name}/in", {"path": "no"})
        found: list[Any] = []
        assert wait_for(lambda: found.extend(drain(stack, queue)) or found)
        assert found[0]["failures"][0]["errorMessage"] == "the server answered 403"
        assert len(taken) == 3
    finally:
        server.shutdown()
        server.server_close()


@ONE_RULES_ENGINE
def test_one_bad_message_of_a_batch_does_not_take_its_neighbours_along(
    stack: Stack, device: MakeDevice, rules: Rules, queue: str, name: str
) -> None:
    """SQS refuses a request with a character that it cannot carry; the others of that request arrive."""
    rules.add("neighbours", f"SELECT * FROM 't/{name}/a'", sqs(queue), error_action=sqs(queue))
    sender = device(name)
    for number in range(30):
        sender.publish(f"t/{name}/a", {"n": number})
        if number == 15:
            sender.publish(f"t/{name}/a", b"")
    found: list[Any] = []
    assert wait_for(lambda: found.extend(drain(stack, queue)) or len(found) == 31)
    assert {one["n"] for one in found if "n" in one} == set(range(30))
    assert [one["ruleName"] for one in found if "ruleName" in one] == ["neighbours"]


@ONE_RULES_ENGINE
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


@ONE_RULES_ENGINE
@pytest.mark.parametrize(
    ("sql", "action", "named"),
    [
        ("SELECT * FROM 't/x'", {"iotAnalytics": {"channelName": "c", "roleArn": ROLE}}, "iotAnalytics"),
        (
            "SELECT machinelearning_predict('m', 'r', *) FROM 't/x'",
            {"sqs": {"queueUrl": "u", "roleArn": ROLE}},
            "machinelearning_predict",
        ),
        (
            "SELECT * FROM 't/x'",
            {"http": {"url": "http://127.0.0.1:9/", "enableBatching": True}},
            "enableBatching",
        ),
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
