"""Both functions as Lambda starts them: a process of their own, settings from the environment."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import REGION, AwsEmulator
from tests.integration.functions.conftest import Cloud
from tests.unit.functions.samples import envelope, payload, sqs_event, telemetry

FUNCTIONS = Path(__file__).parents[3] / "functions"

# What Lambda's runtime does, with the answer and the loaded modules behind a mark.
_RUNTIME = """
import importlib, json, sys
class Context:
    function_name, memory_limit_in_mb, aws_request_id = "function", 512, "request-1"
    invoked_function_arn = "arn:aws:lambda:eu-central-1:000000000000:function:function"
    def get_remaining_time_in_millis(self):
        return 30_000
handler = importlib.import_module(sys.argv[1]).handler
for event in json.load(sys.stdin):
    print("ANSWER", json.dumps(handler(event, Context())))
print("MODULES", json.dumps(sorted(sys.modules)))
"""


class Run:
    """What a function's process wrote."""

    def __init__(self, output: str) -> None:
        lines = output.splitlines()
        self.answers = [json.loads(line[7:]) for line in lines if line.startswith("ANSWER ")]
        self.modules = {
            name for line in lines if line.startswith("MODULES ") for name in json.loads(line[8:])
        }
        logged = [json.loads(line) for line in lines if line.startswith("{")]
        self.metrics = [line for line in logged if "_aws" in line]
        self.log = [line for line in logged if "_aws" not in line]
        self.output = output


def environment(cloud: Cloud, emulator: AwsEmulator) -> dict[str, str]:
    """Set what Terraform and Lambda set."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(FUNCTIONS),
        "AWS_ENDPOINT_URL": emulator.url,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "STATIONS_TABLE": cloud.name,
        "HISTORY_TABLE": cloud.history_name,
        "OPERATIONS_TABLE": cloud.operations_name,
        "STATION_PREFIX": "station-",
        "TOPIC_ROOT": "ev-swap/stations",
        "COMMANDS_ROLE_ARN": "arn:aws:iam::000000000000:role/commands",
        "HISTORY_RESOLUTION_SECONDS": "60",
        "HISTORY_HOURS": "24",
        "TELEMETRY_BUCKET": cloud.name,
        "DEAD_LETTER_QUEUE_URL": cloud.queue_url,
        "TELEMETRY_QUEUE_URL": cloud.queue_url,
        "ALARM_PREFIX": cloud.alarm_prefix,
        "JOB_PREFIX": "job-",
        "LOG_LEVEL": "INFO",
        "POWERTOOLS_SERVICE_NAME": "function",
        "POWERTOOLS_METRICS_NAMESPACE": "EvSwap",
    }


def run(module: str, settings: dict[str, str], *events: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", _RUNTIME, module],
        input=json.dumps(events),
        env=settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def ran(module: str, settings: dict[str, str], *events: Any) -> Run:
    done = run(module, settings, *events)
    assert done.returncode == 0, done.stderr
    return Run(done.stdout)


def test_the_telemetry_handler(cloud: Cloud, aws_emulator: AwsEmulator) -> None:
    """A batch is stored; one summary line, one line a refusal without its payload, and the metrics."""
    event = sqs_event(
        envelope(payload()), envelope(payload()), envelope(payload(status=["s3cret"])), envelope(b"s3cret")
    )
    done = ran("telemetry_handler.app", environment(cloud, aws_emulator), event)
    assert done.answers == [{"batchItemFailures": []}]
    assert cloud.archived_ids() == ["station-01-run-7"]

    (summary,) = (line for line in done.log if line["level"] == "INFO")
    assert summary["refused"] == {"wrong_type": 1, "not_json": 1}
    assert (summary["records"], summary["stored"], summary["duplicates"], summary["failed"]) == (4, 2, 1, 0)
    warnings = [line for line in done.log if line["level"] == "WARNING"]
    assert [line["reason"]["code"] for line in warnings] == ["wrong_type", "not_json"]
    assert len(done.log) == 3
    assert "s3cret" not in done.output

    (metrics,) = done.metrics
    assert metrics["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "EvSwap"
    counted = {name: value[0] for name, value in metrics.items() if isinstance(value, list)}
    assert counted == {
        "Records": 4,
        "Stored": 2,
        "Duplicates": 1,
        "Stale": 0,
        "Presence": 0,
        "Refused": 2,
        "Failed": 0,
        "Refused.wrong_type": 1,
        "Refused.not_json": 1,
    }


def test_the_telemetry_handlers_direct_invocation(cloud: Cloud, aws_emulator: AwsEmulator) -> None:
    """A hand-made telemetry object, and one with NaN, as Lambda's runtime parses it."""
    done = ran(
        "telemetry_handler.app",
        environment(cloud, aws_emulator),
        telemetry("direct"),
        telemetry("direct", power_kw=float("nan")),
    )
    stored, refused = done.answers
    assert stored["stored"] is True
    assert refused["stored"] is False
    assert refused["reason"]["code"] == "not_finite"


def test_the_api_handler(cloud: Cloud, aws_emulator: AwsEmulator) -> None:
    """A hand-made event is answered and one line logged of it; a fault is logged, and not told."""
    cloud.invoke(sqs_event(envelope(payload())))
    settings = environment(cloud, aws_emulator)
    done = ran("api_handler.app", settings, {"httpMethod": "GET", "path": "/stations"}, None)
    assert [answer["statusCode"] for answer in done.answers] == [200, 400]
    assert [(line["message"], line["status"]) for line in done.log] == [("request", 200), ("request", 400)]

    known = {"REALTIME_ENDPOINT": "wss://endpoint.example/mqtt", "REALTIME_TOPIC_FILTER": "a/+/b"}
    asked = [{"httpMethod": "GET", "path": path} for path in ("/summary", "/realtime")]
    summary, realtime = (
        json.loads(answer["body"])
        for answer in ran(
            "api_handler.app", settings | known | {"AWS_SESSION_TOKEN": "of a role"}, *asked
        ).answers
    )
    assert summary == {"queue": 0, "dead_letters": 0, "dead_letters_by_reason": {}, "alarms": []}
    assert realtime["topics"] == ["a/+/b"]
    assert realtime["url"].endswith("&X-Amz-Security-Token=of%20a%20role")

    event = {"httpMethod": "GET", "path": "/stations"}
    failed = ran("api_handler.app", settings | {"STATIONS_TABLE": "missing-table"}, event)
    assert failed.answers[0]["statusCode"] == 500
    assert "ResourceNotFoundException" in failed.log[0]["exception"]
    assert "ResourceNotFound" not in failed.answers[0]["body"]


@pytest.mark.parametrize("module", ["telemetry_handler.app", "api_handler.app"])
def test_imports_stay_in_budget(cloud: Cloud, aws_emulator: AwsEmulator, module: str) -> None:
    """INIT is billed: what costs most to import is not imported."""
    modules = ran(module, environment(cloud, aws_emulator)).modules
    powertools = "aws_lambda_powertools"
    dear = {
        "pydantic",
        "requests",
        "aws_xray_sdk",
        f"{powertools}.event_handler",
        f"{powertools}.utilities.parser",
        f"{powertools}.utilities.batch",
    }
    assert modules & dear == set()
    assert "botocore" in modules


@pytest.mark.parametrize(
    ("module", "variable"),
    [
        ("telemetry_handler.app", "STATIONS_TABLE"),
        ("telemetry_handler.app", "HISTORY_TABLE"),
        ("telemetry_handler.app", "HISTORY_HOURS"),
        ("telemetry_handler.app", "TELEMETRY_BUCKET"),
        ("telemetry_handler.app", "DEAD_LETTER_QUEUE_URL"),
        ("api_handler.app", "STATIONS_TABLE"),
        ("api_handler.app", "HISTORY_TABLE"),
        ("api_handler.app", "OPERATIONS_TABLE"),
        ("api_handler.app", "TELEMETRY_QUEUE_URL"),
        ("api_handler.app", "ALARM_PREFIX"),
        ("api_handler.app", "JOB_PREFIX"),
    ],
)
def test_a_missing_setting_is_named(
    cloud: Cloud, aws_emulator: AwsEmulator, module: str, variable: str
) -> None:
    """The function does not start, and says what it lacks."""
    settings = environment(cloud, aws_emulator)
    del settings[variable]
    done = run(module, settings)
    assert done.returncode != 0
    assert f"RuntimeError: the environment variable {variable} is not set" in done.stderr


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({}, "got an empty object"),
        ([], "got a list"),
        (None, "got a NoneType"),
        ({"Records": []}, "at least one SQS message"),
        ({"Records": {"body": ""}}, "at least one SQS message"),
        ({"Records": [{"s3": {}}]}, r"Records\[0\] is not an SQS message"),
        ({"Records": [None]}, r"Records\[0\] is not an SQS message"),
        ({"Records": [{"messageId": "1", "body": 5}]}, r"Records\[0\] is not an SQS message"),
    ],
)
def test_an_odd_event_is_one_clear_error(cloud: Cloud, event: Any, said: str) -> None:
    """What is wired to the wrong source says so, instead of losing it."""
    with pytest.raises(ValueError, match=said):
        cloud.invoke(event)
    assert cloud.archive() == {}
