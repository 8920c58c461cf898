"""Actions as AWS documents them, on real services: targets from templates, batches, failures, calls to services."""

import io
import json
import time
import zipfile
from typing import Any

from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.integration.bridge.conftest import ONE_RULES_ENGINE, MakeDevice, Rules, Stack, drain, sqs, wait_for
from tests.integration.conftest import REGION

ROLE = "arn:aws:iam::000000000000:role/r"


def arrived(stack: Stack, queue_url: str, count: int) -> list[Any]:
    """Return what a queue has got, once there is that much."""
    found: list[Any] = []
    assert wait_for(lambda: found.extend(drain(stack, queue_url)) or len(found) >= count), found
    return found


def make_function(stack: Stack, name: str, code: str) -> str:
    """Create a function of this source, and return its ARN."""
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("handler.py", code)
    made: str = stack.emulator.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.12",
        Handler="handler.handler",
        Role=ROLE,
        Timeout=30,
        Code={"ZipFile": package.getvalue()},
    )["FunctionArn"]
    return made


def make_table(stack: Stack, name: str) -> None:
    stack.emulator.client("dynamodb").create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )


@ONE_RULES_ENGINE
def test_targets_come_from_templates(
    stack: Stack, device: MakeDevice, rules: Rules, queue: str, name: str
) -> None:
    """queueUrl, targetArn, functionArn, bucketName, streamName, deliveryStreamName, tableName, payloadField."""
    aws = stack.emulator
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    make_table(stack, name)
    aws.client("kinesis").create_stream(StreamName=name, ShardCount=1)
    aws.client("firehose").create_delivery_stream(
        DeliveryStreamName=name,
        ExtendedS3DestinationConfiguration={
            "RoleARN": ROLE,
            "BucketARN": f"arn:aws:s3:::{name}",
            "Prefix": "stream/",
            "BufferingHints": {"IntervalInSeconds": 0, "SizeInMBs": 1},
        },
    )
    topic = aws.client("sns").create_topic(Name=name)["TopicArn"]
    queue_arn = aws.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])[
        "Attributes"
    ]
    aws.client("sns").subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=queue_arn["QueueArn"],
        Attributes={"RawMessageDelivery": "true"},
    )
    code = f"""
import boto3, json
def handler(event, context):
    boto3.client("s3").put_object(Bucket="{name}", Key="function", Body=json.dumps(event).encode())
    print("done")
"""
    function = make_function(stack, name, code)
    last = "${topic(2)}"
    rules.add(
        "templated",
        f"SELECT x FROM 't/{name}/in'",
        sqs(queue.replace(name, last)),
        {"sns": {"targetArn": topic.replace(name, last), "messageFormat": "RAW", "roleArn": ROLE}},
        {"lambda": {"functionArn": function.replace(name, last)}},
        {"s3": {"bucketName": last, "key": "object", "roleArn": ROLE}},
        {"kinesis": {"streamName": last, "partitionKey": last, "roleArn": ROLE}},
        {"firehose": {"deliveryStreamName": last, "roleArn": ROLE}},
        {
            "dynamoDB": {
                "tableName": last,
                "hashKeyField": "${field}",
                "hashKeyValue": "${topic(3)}",
                "payloadField": "${column}",
                "operation": "${operation}",
                "roleArn": ROLE,
            }
        },
    )
    sent = {"x": 1, "field": "id", "column": "body", "operation": "INSERT"}
    device(name).publish(f"t/{name}/in", sent)
    assert arrived(stack, queue, 2) == [{"x": 1}, {"x": 1}]

    def keys() -> set[str]:
        listed = s3.list_objects_v2(Bucket=name).get("Contents", [])
        return {"stream" if entry["Key"].startswith("stream/") else entry["Key"] for entry in listed}

    assert wait_for(lambda: keys() == {"function", "object", "stream"}), keys()
    items = aws.client("dynamodb")
    assert wait_for(lambda: items.scan(TableName=name)["Items"])
    assert items.scan(TableName=name)["Items"] == [{"id": {"S": "in"}, "body": {"M": {"x": {"N": "1"}}}}]


@ONE_RULES_ENGINE
def test_batch_mode_makes_a_record_of_each_element(
    stack: Stack, device: MakeDevice, rules: Rules, name: str
) -> None:
    """kinesis-firehose-rule-action and cloudwatch-logs-rule-action."""
    aws = stack.emulator
    s3, logs = aws.client("s3"), aws.client("logs")
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    aws.client("firehose").create_delivery_stream(
        DeliveryStreamName=name,
        ExtendedS3DestinationConfiguration={
            "RoleARN": ROLE,
            "BucketARN": f"arn:aws:s3:::{name}",
            "BufferingHints": {"IntervalInSeconds": 0, "SizeInMBs": 1},
        },
    )
    logs.create_log_group(logGroupName=name)
    rules.add(
        "batches",
        f"SELECT * FROM 't/{name}/in'",
        {"firehose": {"deliveryStreamName": name, "separator": "\n", "batchMode": True, "roleArn": ROLE}},
        {"cloudwatchLogs": {"logGroupName": name, "batchMode": True, "roleArn": ROLE}},
    )
    now = int(time.time() * 1000)
    sent = [{"timestamp": now + number, "message": f"line {number}"} for number in range(3)]
    device(name).publish(f"t/{name}/in", sent)

    def lines() -> list[Any]:
        listed = s3.list_objects_v2(Bucket=name).get("Contents", [])
        bodies = [s3.get_object(Bucket=name, Key=entry["Key"])["Body"].read() for entry in listed]
        return [json.loads(line) for body in bodies for line in body.decode().splitlines()]

    assert wait_for(lambda: len(lines()) == 3)
    assert sorted(lines(), key=lambda line: line["timestamp"]) == sent

    def events() -> list[Any]:
        return logs.filter_log_events(logGroupName=name)["events"]

    assert wait_for(lambda: len(events()) == 3)
    assert [event["message"] for event in events()] == ["line 0", "line 1", "line 2"]
    assert [event["timestamp"] for event in events()] == [record["timestamp"] for record in sent]


@ONE_RULES_ENGINE
def test_an_alarm_is_set_and_a_state_machine_started(
    stack: Stack, device: MakeDevice, rules: Rules, name: str
) -> None:
    aws = stack.emulator
    cloudwatch, states = aws.client("cloudwatch"), aws.client("stepfunctions")
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        MetricName="m",
        Namespace="n",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    definition = {"StartAt": "End", "States": {"End": {"Type": "Pass", "End": True}}}
    machine = states.create_state_machine(name=name, definition=json.dumps(definition), roleArn=ROLE)
    rules.add(
        "alarming",
        f"SELECT state FROM 't/{name}/in'",
        {
            "cloudwatchAlarm": {
                "alarmName": "${topic(2)}",
                "stateReason": "said ${why}",
                "stateValue": "${state}",
                "roleArn": ROLE,
            }
        },
        {"stepFunctions": {"stateMachineName": "${topic(2)}", "executionNamePrefix": "x-", "roleArn": ROLE}},
    )
    device(name).publish(f"t/{name}/in", {"state": "ALARM", "why": "so"})

    def state() -> Any:
        return cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]

    assert wait_for(lambda: state()["StateValue"] == "ALARM")
    assert state()["StateReason"] == "said so"
    arn = machine["stateMachineArn"]
    assert wait_for(lambda: states.list_executions(stateMachineArn=arn)["executions"])
    [execution] = states.list_executions(stateMachineArn=arn)["executions"]
    assert execution["name"].startswith("x-")
    described = states.describe_execution(executionArn=execution["executionArn"])
    assert json.loads(described["input"]) == {"state": "ALARM"}


@ONE_RULES_ENGINE
def test_all_failed_actions_of_a_message_make_one_error_document(
    stack: Stack, device: MakeDevice, rules: Rules, queue: str, name: str
) -> None:
    """rule-error-handling: "A single message is generated per rule and message"."""
    missing = f"arn:aws:lambda:{REGION}:000000000000:function:{name}-missing"
    rules.add(
        "twofold",
        f"SELECT * FROM 't/{name}/in'",
        {"lambda": {"functionArn": missing}},
        {"s3": {"bucketName": "${topic(2)}-missing", "key": "k", "roleArn": ROLE}},
        sqs(queue),
        error_action=sqs(queue),
    )
    device(name).publish(f"t/{name}/in", {"x": 1})
    taken, error = sorted(arrived(stack, queue, 2), key=len)
    assert taken == {"x": 1}
    assert {(one["failedAction"], one["failedResource"]) for one in error["failures"]} == {
        ("LambdaAction", missing),
        ("S3Action", f"{name}-missing"),
    }
    messages = " ".join(one["errorMessage"] for one in error["failures"])
    assert "ResourceNotFoundException" in messages
    assert "NoSuchBucket" in messages


def test_a_rule_fires_once_whatever_other_rules_match(
    stack: Stack, device: MakeDevice, rules: Rules, queue: str, name: str
) -> None:
    """Filters that overlap are several subscriptions of one client; each rule gets each message once."""
    for number, topic_filter in enumerate((f"t/{name}/a", f"t/{name}/+", f"t/{name}/#", "t/+/a")):
        rules.add(f"once{number}", f"SELECT {number} AS rule, x FROM '{topic_filter}'", sqs(queue))
    sender = device(name)
    for x in range(5):
        sender.publish(f"t/{name}/a", {"x": x})
    sender.publish(f"t/{name}/last", {"x": 99})
    found = arrived(stack, queue, 22)
    assert sorted((one["rule"], one["x"]) for one in found) == sorted(
        [(rule, x) for rule in range(4) for x in range(5)] + [(1, 99), (2, 99)]
    )


@ONE_RULES_ENGINE
def test_functions_ask_other_services(
    stack: Stack, device: MakeDevice, rules: Rules, queue: str, name: str
) -> None:
    """aws_lambda, get_dynamodb, get_secret, get_registry_data; what is not there gives Undefined."""
    aws = stack.emulator
    make_table(stack, name)
    aws.client("dynamodb").put_item(
        TableName=name,
        Item={"id": {"S": "one"}, "place": {"S": "north"}, "levels": {"L": [{"N": "1"}, {"N": "2.5"}]}},
    )
    secrets = aws.client("secretsmanager")
    secrets.create_secret(Name=name, SecretString=json.dumps({"key": "hush"}))
    function = make_function(
        stack,
        name,
        "def handler(event, context):\n    print('called')\n    return {'twice': 2 * event['x']}\n",
    )
    # Started before: a first call on a busy machine may take longer than the two seconds that a rule waits.
    aws.client("lambda").invoke(FunctionName=function, Payload=b'{"x": 0}')
    sql = (
        f"SELECT aws_lambda('{function}', {{'x': x}}).twice AS twice,"
        f" get_dynamodb('{name}', 'id', id, '{ROLE}') AS item,"
        f" get_secret('{name}', 'SecretString', 'key', '{ROLE}') AS told,"
        f" get_secret('{name}', 'SecretString', '{ROLE}') AS whole,"
        f" get_registry_data('DescribeThing', topic(2), '{ROLE}').thingName AS thing,"
        f" get_registry_data('DescribeThing', 'nobody', '{ROLE}') AS nobody,"
        f" aws_lambda('{function}-missing', *) AS missing"
        f" FROM 't/{name}/in'"
    )
    rules.add("asking", sql, sqs(queue), error_action=sqs(queue))
    device(name).publish(f"t/{name}/in", {"x": 21, "id": "one"})
    assert arrived(stack, queue, 1) == [
        {
            "twice": 42,
            "item": {"id": "one", "place": "north", "levels": [1, 2.5]},
            "told": "hush",
            "whole": {"key": "hush"},
            "thing": name,
        }
    ]


@ONE_RULES_ENGINE
def test_a_secret_that_is_not_there_fails_the_rule(
    stack: Stack, device: MakeDevice, rules: Rules, queue: str, name: str
) -> None:
    """iot-sql-functions: "this function fails with an exception"."""
    sql = f"SELECT get_secret('{name}', 'SecretString', '{ROLE}') AS x FROM 't/{name}/in'"
    rules.add("hushed", sql, sqs(queue), error_action=sqs(queue))
    device(name).publish(f"t/{name}/in", {})
    [error] = arrived(stack, queue, 1)
    assert "get_secret()" in error["failures"][0]["errorMessage"]


@ONE_RULES_ENGINE
def test_a_rule_that_asks_a_slow_function_does_not_hold_up_the_others(
    stack: Stack, device: MakeDevice, rules: Rules, queue: str, name: str
) -> None:
    """The function takes longer than AWS's two seconds: its value is Undefined, and the neighbour came first."""
    function = make_function(
        stack,
        name,
        "import time\ndef handler(event, context):\n    print('called')\n    time.sleep(4)\n    return {}\n",
    )
    slow = f"SELECT 'slow' AS rule, aws_lambda('{function}', *) AS answer FROM 't/{name}/in'"
    rules.add("aslow", slow, sqs(queue))
    rules.add("bquick", f"SELECT 'quick' AS rule FROM 't/{name}/in'", sqs(queue))
    device(name).publish(f"t/{name}/in", {})
    assert arrived(stack, queue, 2) == [{"rule": "quick"}, {"rule": "slow"}]


@ONE_RULES_ENGINE
def test_statements_that_ministack_cannot_read_reach_the_bridge(
    stack: Stack, device: MakeDevice, rules: Rules, queue: str, name: str
) -> None:
    """WHERE with CASE and a nested SELECT, SET, and a topic filter in double quotes."""
    for number, sql in enumerate(
        [
            f"SELECT 0 AS rule FROM 't/{name}/in' WHERE CASE x WHEN 1 THEN true ELSE false END",
            f"SELECT 1 AS rule FROM 't/{name}/in' WHERE EXISTS (SELECT * FROM list WHERE n > 1)",
            f"SET @y = x + 1 SELECT @y AS y, 2 AS rule FROM 't/{name}/in'",
            f'SELECT 3 AS rule FROM "t/{name}/in"',
        ]
    ):
        rules.add(f"read{number}", sql, sqs(queue))
    device(name).publish(f"t/{name}/in", {"x": 1, "list": [{"n": 1}, {"n": 2}]})
    found = arrived(stack, queue, 4)
    assert sorted(found, key=lambda one: int(one["rule"])) == [
        {"rule": 0},
        {"rule": 1},
        {"y": 2, "rule": 2},
        {"rule": 3},
    ]


def test_mqtt5_properties_reach_rules_and_republished_messages(
    stack: Stack, device: MakeDevice, rules: Rules, queue: str, name: str
) -> None:
    """get_mqtt_property, get_user_properties, and the headers of republish (API reference, MqttHeaders)."""
    rules.add(
        "headers",
        f"SELECT x FROM 't/{name}/in'",
        {
            "republish": {
                "topic": f"t/{name}/out",
                "qos": 1,
                "roleArn": ROLE,
                "headers": {
                    "payloadFormatIndicator": "UTF8_DATA",
                    "contentType": "${get_mqtt_property('content_type')}",
                    "responseTopic": f"t/{name}/answers",
                    "correlationData": "${get_mqtt_property('correlation_data')}",
                    "messageExpiry": "60",
                    "userProperties": [{"key": "color", "value": "${get(get_user_properties('color'), 0)}"}],
                },
            }
        },
    )
    rules.add(
        "properties",
        f"SELECT get_mqtt_property('content_type') AS type, get_mqtt_property('response_topic') AS answers,"
        f" get_mqtt_property('format_indicator') AS format, get_user_properties() AS all,"
        f" get_user_properties('color') AS colors FROM 't/{name}/out'",
        sqs(queue),
    )
    sent = Properties(PacketTypes.PUBLISH)
    sent.ContentType = "text/json"
    sent.CorrelationData = b"\x00\x01"
    sent.UserProperty = [("color", "red"), ("color", "blue")]
    sender = device(name, protocol=MQTTProtocolVersion.MQTTv5)
    sender.client.publish(f"t/{name}/in", b'{"x": 1}', qos=1, properties=sent)
    assert arrived(stack, queue, 1) == [
        {
            "type": "text/json",
            "answers": f"t/{name}/answers",
            "format": "UTF8_DATA",
            "all": [{"color": "red"}],
            "colors": ["red"],
        }
    ]


@ONE_RULES_ENGINE
def test_a_shadow_is_asked_for(stack: Stack, device: MakeDevice, rules: Rules, queue: str, name: str) -> None:
    """get_thing_shadow, classic and named (iot-sql-functions); a thing without that shadow gives Undefined."""
    sender = device(name)
    data = stack.emulator.client("iot-data")
    for shadow, level in ((None, 1), ("config", 2)):
        named = {"shadowName": shadow} if shadow else {}
        document = json.dumps({"state": {"reported": {"level": level}}})
        data.update_thing_shadow(thingName=name, payload=document, **named)
    rules.add(
        "shadows",
        f"SELECT get_thing_shadow(topic(2), '{ROLE}').state.reported.level AS classic,"
        f" get_thing_shadow(topic(2), 'config', '{ROLE}').state.reported.level AS named,"
        f" get_thing_shadow(topic(2), 'none', '{ROLE}').state AS missing FROM 't/{name}/in'",
        sqs(queue),
    )
    sender.publish(f"t/{name}/in", {})
    assert arrived(stack, queue, 1) == [{"classic": 1, "named": 2}]


@ONE_RULES_ENGINE
def test_a_rule_reads_what_the_shadow_service_says(
    stack: Stack, device: MakeDevice, rules: Rules, queue: str, name: str
) -> None:
    """A public project's rule on the documents topic, its filter in double quotes."""
    device(name)
    rules.add(
        "documents",
        "SELECT current.state.reported AS reported, topic(3) AS thing"
        f" FROM \"$aws/things/+/shadow/update/documents\" WHERE topic(3) = '{name}'",
        sqs(queue),
    )
    document = json.dumps({"state": {"reported": {"level": 7}}})
    stack.emulator.client("iot-data").update_thing_shadow(thingName=name, payload=document)
    assert arrived(stack, queue, 1) == [{"reported": {"level": 7}, "thing": name}]
