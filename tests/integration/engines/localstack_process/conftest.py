"""LocalStack without Docker, once for this folder.

Only with ENGINE=localstack: it needs Java, Maven and a minute.
"""

import contextlib
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from testbed.engines.localstack_process import server
from testbed.engines.localstack_process.install import install
from testbed.host import ports, processes
from testbed.host.processes import Process

REGION = "eu-central-1"
ROLE = "arn:aws:iam::000000000000:role/tests"


# Another engine's suite does not collect these; who names a file runs it.
collect_ignore_glob = [] if os.environ.get("ENGINE") == "localstack" else ["test_*.py"]


@dataclass(frozen=True)
class LocalStack:
    """A running LocalStack."""

    url: str
    process: Process

    def client(self, service: str) -> Any:
        """Make a client that does not retry, so a test sees each failure."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}, read_timeout=60),
        )

    def function(self, name: str, source: str, **settings: Any) -> Callable[[Any], tuple[Any, str | None]]:
        """Make a function of ``source`` (its handler is ``handler``); returns what invokes it."""
        client = self.client("lambda")
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as zipped:
            zipped.writestr("app.py", source)
        client.create_function(
            **{
                "FunctionName": name,
                "Runtime": "python3.13",
                "Role": ROLE,
                "Handler": "app.handler",
                "Timeout": 10,
                "Code": {"ZipFile": archive.getvalue()},
            }
            | settings
        )
        client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})

        def invoke(event: Any) -> tuple[Any, str | None]:
            answer = client.invoke(FunctionName=name, Payload=json.dumps(event))
            return json.loads(answer["Payload"].read()), answer.get("FunctionError")

        return invoke

    def log_lines(self, name: str) -> list[str]:
        """Read all lines of a function's log; none before its first."""
        logs = self.client("logs")
        try:
            answer = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")
        except logs.exceptions.ResourceNotFoundException:
            return []
        return [event["message"].rstrip("\n") for event in answer["events"]]

    def wait_for_log(self, name: str, text: str) -> list[str]:
        """Return the lines, once one holds ``text``."""
        found: list[str] = []

        def there() -> bool:
            found[:] = self.log_lines(name)
            return any(text in line for line in found)

        processes.wait_until(there, what=f"'{text}' in the log of {name}", seconds=20)
        return found


@contextlib.contextmanager
def running(folder: Path) -> Iterator[LocalStack]:
    """Run a LocalStack on a free port, stopped at the end."""
    port = ports.choose(None, what="LocalStack")
    process = server.start(install(), port=port, data_dir=folder, log_file=folder / "localstack.log")
    try:
        server.wait_ready(process, port=port, region=REGION)
        yield LocalStack(f"http://127.0.0.1:{port}", process)
    finally:
        process.stop()


@pytest.fixture(scope="session")
def localstack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Provide the LocalStack that these tests share; each has names of its own."""
    with running(tmp_path_factory.mktemp("localstack")) as started:
        yield started
