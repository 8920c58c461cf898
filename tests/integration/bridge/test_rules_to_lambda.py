"""A rule straight to a Lambda function: each message is executed, whatever the function's concurrency."""

import base64
import io
import json
import os
import re
import shutil
import time
import zipfile
from typing import Any

import psutil
import pytest

from testbed.paths import REPOSITORY
from tests.integration.bridge.conftest import (
    ONE_RULES_ENGINE,
    PATIENCE_SECONDS,
    MakeDevice,
    Rules,
    Stack,
    wait_for,
)

# The long form: LAMBDA_MESSAGES=2000.
MESSAGES = int(os.environ.get("LAMBDA_MESSAGES", "60"))
# The broker discards what a connection publishes above its rate, as AWS IoT does; a burst of so many passes.
MOST_OF_A_DEVICE = 400

_HANDLER = """
import boto3
table = boto3.resource("dynamodb").Table("%s")
def handler(event, context):
    table.put_item(Item={"id": str(event["n"])})
"""


def _function(stack: Stack, name: str, reserved: int | None) -> str:
    stack.emulator.client("dynamodb").create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("stores.py", _HANDLER % name)
    lambda_ = stack.emulator.client("lambda")
    arn: str = lambda_.create_function(
        FunctionName=name,
        Runtime="python3.12",
        Handler="stores.handler",
        Timeout=30,
        Role="arn:aws:iam::000000000000:role/stores",
        Code={"ZipFile": package.getvalue()},
    )["FunctionArn"]
    if reserved is not None:
        lambda_.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=reserved)
    return arn


def _processor_seconds(stack: Stack) -> float:
    """Return what the emulator, its functions' processes, the broker and the bridge have used."""
    emulator = psutil.Process(stack.emulator.pid)
    members = [emulator, *emulator.children(recursive=True)]
    members += [psutil.Process(stack.processes[name].pid) for name in ("broker", "bridge")]
    return sum(times.user + times.system for times in (member.cpu_times() for member in members))


@ONE_RULES_ENGINE
@pytest.mark.parametrize("reserved", [None, 4])
def test_each_message_of_a_burst_is_executed(
    stack: Stack, device: MakeDevice, rules: Rules, name: str, reserved: int | None
) -> None:
    """AWS queues what a function has no room for, and so does what stands in for it here."""
    rule = name.replace("-", "_")
    action: dict[str, Any] = {"lambda": {"functionArn": _function(stack, name, reserved)}}
    rules.add(rule, f"SELECT n FROM 't/+/{name}'", action)
    senders = [device(f"{name}-{number}") for number in range(0, MESSAGES, MOST_OF_A_DEVICE)]
    begun, used = time.monotonic(), _processor_seconds(stack)
    for number in range(MESSAGES):
        sender = senders[number % len(senders)]
        sender.publish(f"t/{sender.name}/{name}", {"n": number})
    table = stack.emulator.client("dynamodb")

    def stored() -> int:
        return int(table.scan(TableName=name, Select="COUNT")["Count"])

    assert wait_for(lambda: stored() == MESSAGES, seconds=PATIENCE_SECONDS + MESSAGES / 5), (
        f"{stored()} of {MESSAGES}"
    )
    took, used = time.monotonic() - begun, _processor_seconds(stack) - used
    print(f"{MESSAGES} messages, reserved {reserved}: {took:.1f} s, {used:.1f} s of processor")


@ONE_RULES_ENGINE
@pytest.mark.skipif(shutil.which("node") is None, reason="a Node.js function: node is not on PATH")
def test_a_node_function_runs_by_the_node_on_path(stack: Stack, name: str) -> None:
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.write(REPOSITORY / "examples" / "doorbell" / "function" / "index.mjs", "index.mjs")
    lambda_ = stack.emulator.client("lambda")
    lambda_.create_function(
        FunctionName=name,
        Runtime="nodejs22.x",
        Handler="index.handler",
        Role="arn:aws:iam::000000000000:role/doorbell",
        Code={"ZipFile": package.getvalue()},
    )
    answer = lambda_.invoke(FunctionName=name, Payload=b'{"door": "front"}')
    assert json.loads(answer["Payload"].read())["door"] == "front"
    refused = lambda_.invoke(FunctionName=name, Payload=b"{}")
    assert refused["FunctionError"]
    assert "a ring without a door" in json.loads(refused["Payload"].read())["errorMessage"]


@ONE_RULES_ENGINE
def test_a_python_function_finds_the_logger_of_awss_runtime(stack: Stack, name: str) -> None:
    """It sets a level and no handler, as most functions do."""
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr(
            "logs.py",
            "import logging\nlogging.getLogger().setLevel('INFO')\n"
            "def handler(event, context):\n    logging.getLogger(__name__).info('too warm')\n",
        )
    lambda_ = stack.emulator.client("lambda")
    lambda_.create_function(
        FunctionName=name,
        Runtime="python3.12",
        Handler="logs.handler",
        Role="arn:aws:iam::000000000000:role/logs",
        Code={"ZipFile": package.getvalue()},
    )
    answer = lambda_.invoke(FunctionName=name, LogType="Tail")
    tail = base64.b64decode(answer["LogResult"]).decode()
    assert re.search(r"\[INFO\]\t[\dT:.-]+Z\t[0-9a-f-]{36}\ttoo warm", tail), tail


@ONE_RULES_ENGINE
def test_a_function_that_chose_json_logs_as_awss_runtime_does_from_its_level_on(
    stack: Stack, name: str
) -> None:
    """Fields as awslambdaric's `JsonFormatter` writes them."""
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr(
            "logs.py",
            "import logging\nlog = logging.getLogger('door')\ndef handler(event, context):\n"
            "    log.debug('not said')\n    log.info('too %s', 'warm', extra={'station': 's1'})\n"
            "    try:\n        1 / 0\n    except ZeroDivisionError:\n        log.exception('broken')\n",
        )
    lambda_ = stack.emulator.client("lambda")
    lambda_.create_function(
        FunctionName=name,
        Runtime="python3.12",
        Handler="logs.handler",
        Role="arn:aws:iam::000000000000:role/logs",
        Code={"ZipFile": package.getvalue()},
        LoggingConfig={"LogFormat": "JSON"},
    )
    answer = lambda_.invoke(FunctionName=name, LogType="Tail")
    tail = base64.b64decode(answer["LogResult"]).decode()
    warm, broken = (json.loads(line) for line in tail.splitlines() if line.startswith("{"))
    assert re.fullmatch(r"[\dT:.-]+\.\d{3}Z", warm.pop("timestamp"))
    assert re.fullmatch(r"[0-9a-f-]{36}", warm.pop("requestId"))
    assert warm == {"level": "INFO", "message": "too warm", "logger": "door", "station": "s1"}
    assert (broken["errorType"], broken["errorMessage"]) == ("ZeroDivisionError", "division by zero")
    assert "location" in broken
    assert broken["stackTrace"]
