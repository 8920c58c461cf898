"""Functions as child processes: what a function sees, and what its caller gets, are what AWS gives."""

import concurrent.futures
import json
import re
from pathlib import Path

import psutil
import pytest

from testbed.host import processes

from .conftest import LocalStack, running

SURROUNDINGS = """
import importlib.util, os, sys, boto3
count = 0
def handler(event, context):
    global count
    count += 1
    print("hello from", context.function_name)
    return {
        "count": count, "pid": os.getpid(), "names": sorted(os.environ), "path": sys.path,
        "localstack": importlib.util.find_spec("localstack") is not None,
        "queues": boto3.client("sqs").list_queues()["ResponseMetadata"]["HTTPStatusCode"],
        "left": context.get_remaining_time_in_millis(), "arn": context.invoked_function_arn,
        "setting": os.environ["SETTING"],
    }
"""


def test_a_function_has_boto3_and_its_endpoint_and_nothing_of_localstack(localstack: LocalStack) -> None:
    """A function finds the emulator through AWS_ENDPOINT_URL, and none of LocalStack's packages or settings."""
    invoke = localstack.function("surroundings", SURROUNDINGS, Environment={"Variables": {"SETTING": "mine"}})
    first, error = invoke({})
    assert error is None
    assert first["queues"] == 200
    assert first["setting"] == "mine"
    assert not first["localstack"]
    assert {"AWS_ENDPOINT_URL", "AWS_REGION", "LAMBDA_TASK_ROOT", "_HANDLER"} <= set(first["names"])
    assert not [name for name in first["names"] if name.startswith(("LOCALSTACK", "SQS_", "FILESYSTEM"))]
    assert 0 < first["left"] <= 10_000
    assert first["arn"].endswith(":function:surroundings")
    second, _ = invoke({})
    assert (second["pid"], second["count"]) == (first["pid"], 2), "the environment is kept warm"


def test_the_log_has_the_lines_that_aws_writes(localstack: LocalStack) -> None:
    """CloudWatch Logs has START, the function's output, END and REPORT, all with the request's id."""
    invoke = localstack.function(
        "logs",
        "import logging, os\ndef handler(e, c):\n    logging.warning('a\\nb')\n    os.system('echo child')",
    )
    assert invoke({}) == (None, None)
    lines = localstack.wait_for_log("logs", "REPORT")
    kinds = [line.split()[0] for line in lines]
    assert kinds == ["INIT_START", "START", "[WARNING]", "child", "END", "REPORT"]
    assert "a\rb" in lines[2], "a record with a line break stays one event"
    assert re.fullmatch(
        r"REPORT RequestId: [0-9a-f-]{36}\tDuration: [\d.]+ ms\tBilled Duration: \d+ ms\tMemory Size: 128 MB"
        r"\tMax Memory Used: [1-9]\d* MB\tInit Duration: [\d.]+ ms",
        lines[5].rstrip(),
    )


@pytest.mark.parametrize(
    ("name", "source", "kind", "message"),
    [
        ("raises", "def handler(e, c): raise ValueError('bad')", "ValueError", "bad"),
        ("missing", "import nowhere", "Runtime.ImportModuleError", "Unable to import module 'app'"),
        ("nameless", "x = 1", "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'app'"),
        ("exits", "import os\ndef handler(e, c): os._exit(3)", "Runtime.ExitError", "exit status 3"),
        (
            "killed",
            "import os\ndef handler(e, c): os.kill(os.getpid(), 9)",
            "Runtime.ExitError",
            "signal: kill",
        ),
        ("exits-at-start", "import os; os._exit(4)", "Runtime.ExitError", "exit status 4"),
        ("unmarshalled", "def handler(e, c): return {1, 2}", "Runtime.MarshalError", "not JSON serializable"),
        (
            "huge",
            "def handler(e, c): return 'x' * 7000000",
            "Function.ResponseSizeTooLarge",
            "exceeded maximum",
        ),
    ],
)
def test_errors_have_the_shape_of_aws(
    localstack: LocalStack, name: str, source: str, kind: str, message: str
) -> None:
    """Whatever goes wrong in a function, its caller gets AWS's error object, and so it is again the next time."""
    invoke = localstack.function(name, source)
    for _ in range(2):
        answer, error = invoke({})
        assert error == "Unhandled"
        assert answer["errorType"] == kind
        assert message in answer["errorMessage"]
    if kind == "ValueError":
        assert "in handler" in answer["stackTrace"][-1]


def test_a_timeout_kills_the_function_and_what_it_started_but_not_its_successor(
    localstack: LocalStack,
) -> None:
    """After Timeout seconds the process group is gone, the caller knows, and the next invocation works."""
    source = """
import subprocess, sys, time
def handler(event, context):
    if event.get("sleep"):
        child = subprocess.Popen(["sleep", "300"])
        print("child", child.pid, flush=True)
        time.sleep(300)
    return "fine"
"""
    invoke = localstack.function("slow", source, Timeout=1)
    answer, error = invoke({"sleep": True})
    assert error == "Unhandled"
    assert answer["errorType"] == "Sandbox.Timedout"
    assert answer["errorMessage"].endswith("Error: Task timed out after 1.00 seconds")
    lines = localstack.wait_for_log("slow", "REPORT")
    [child] = [int(line.split()[1]) for line in lines if line.startswith("child ")]
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE
    assert any("Task timed out after 1.00 seconds" in line for line in lines)
    assert invoke({}) == ("fine", None)


def test_reserved_concurrency_is_the_number_of_processes(localstack: LocalStack) -> None:
    """With reserved concurrency 2, two invocations run at once in two processes, and a third is throttled."""
    source = "import os, time\ndef handler(e, c):\n    time.sleep(3)\n    return os.getpid()"
    localstack.function("two", source)
    client = localstack.client("lambda")
    client.put_function_concurrency(FunctionName="two", ReservedConcurrentExecutions=2)

    def invoke(_: int) -> str:
        try:
            answer = localstack.client("lambda").invoke(FunctionName="two")
        except client.exceptions.TooManyRequestsException:
            return "throttled"
        return str(json.loads(answer["Payload"].read()))

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(invoke, range(3)))
    assert answers.count("throttled") == 1
    assert len(set(answers)) == 3


def test_what_cannot_run_is_refused_by_name(localstack: LocalStack) -> None:
    """A function in another language does not pretend to be there: it is Failed, with the reason."""
    client = localstack.client("lambda")
    client.create_function(
        FunctionName="other",
        Runtime="nodejs22.x",
        Role="arn:aws:iam::000000000000:role/tests",
        Handler="index.handler",
        Code={"ZipFile": b"PK\x05\x06" + bytes(18)},
    )
    found = {}

    def settled() -> bool:
        found.update(client.get_function_configuration(FunctionName="other"))
        return found["State"] != "Pending"

    processes.wait_until(settled, what="The function", seconds=20)
    assert found["State"] == "Failed"
    assert "Python only" in found["StateReason"]


def test_new_code_is_run_by_new_processes(localstack: LocalStack) -> None:
    """After UpdateFunctionCode no process of the old code answers, and none is left."""
    import io
    import zipfile

    source = "import os\ndef handler(e, c): return [%d, os.getpid()]"
    invoke = localstack.function("renewed", source % 1)
    [one, old], _ = invoke({})
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("app.py", source % 2)
    client = localstack.client("lambda")
    client.update_function_code(FunctionName="renewed", ZipFile=archive.getvalue())
    client.get_waiter("function_updated_v2").wait(FunctionName="renewed", WaiterConfig={"Delay": 1})
    [two, _], _ = invoke({})
    assert (one, two) == (1, 2)
    processes.wait_until(lambda: not psutil.pid_exists(old), what="The end of the old process", seconds=20)


def test_a_batch_is_taken_whole_and_only_its_failures_come_back(localstack: LocalStack) -> None:
    """An event source mapping gives more than ten messages at once, and deletes all but the reported ones."""
    sqs = localstack.client("sqs")
    queue = sqs.create_queue(QueueName="batches", Attributes={"VisibilityTimeout": "2"})["QueueUrl"]
    dead = sqs.create_queue(QueueName="batches-dlq")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sqs.set_queue_attributes(
        QueueUrl=queue,
        Attributes={"RedrivePolicy": json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 2})},
    )
    source = """
def handler(event, context):
    print("batch", len(event["Records"]))
    bad = [r for r in event["Records"] if r["body"].startswith("bad")]
    return {"batchItemFailures": [{"itemIdentifier": r["messageId"]} for r in bad]}
"""
    localstack.function("batches", source)
    for start in range(0, 200, 10):
        sqs.send_message_batch(
            QueueUrl=queue,
            Entries=[
                {"Id": str(n), "MessageBody": f"{'bad' if n in (7, 123) else 'good'} {n}"}
                for n in range(start, start + 10)
            ],
        )
    localstack.client("lambda").create_event_source_mapping(
        FunctionName="batches",
        EventSourceArn="arn:aws:sqs:eu-central-1:000000000000:batches",
        BatchSize=100,
        MaximumBatchingWindowInSeconds=1,
        FunctionResponseTypes=["ReportBatchItemFailures"],
    )
    bodies: list[str] = []

    def both_dead() -> bool:
        bodies.extend(
            m["Body"] for m in sqs.receive_message(QueueUrl=dead, MaxNumberOfMessages=10).get("Messages", [])
        )
        return len(bodies) >= 2

    processes.wait_until(both_dead, what="The dead letters", seconds=60)
    assert sorted(bodies) == ["bad 123", "bad 7"]
    counts = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    assert (counts["ApproximateNumberOfMessages"], counts["ApproximateNumberOfMessagesNotVisible"]) == (
        "0",
        "0",
    )
    sizes = [int(line.split()[1]) for line in localstack.log_lines("batches") if line.startswith("batch ")]
    assert sizes[:2] == [100, 100]


def test_nothing_is_left_when_localstack_dies(tmp_path: Path) -> None:
    """When LocalStack is killed, DynamoDB and idle functions end by themselves, and a busy one after its invocation."""
    source = "import os, time\ndef handler(e, c):\n    time.sleep(e)\n    return os.getpid()"
    with running(tmp_path) as localstack:
        pids = [localstack.function(name, source)(0)[0] for name in ("idle", "busy")]
        localstack.client("lambda").invoke(FunctionName="busy", InvocationType="Event", Payload=b"2")
        supervisor = psutil.Process(localstack.process.pid)
        family = supervisor.children(recursive=True)
        assert set(pids) <= {member.pid for member in family}
        for member in [supervisor, *supervisor.children()]:
            member.kill()
        _, left = psutil.wait_procs(family, timeout=20)
        assert not left
