"""What integration tests share: a running AWS emulator of their own."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config

from testbed.engines.embedded import ministack_command
from testbed.host import emulated, ports, processes

REGION = "eu-central-1"


@dataclass(frozen=True)
class AwsEmulator:
    """A running emulator; ``url`` is its one endpoint, ``pid`` its process."""

    url: str
    pid: int = 0
    # Where it looks for the data plane, which whoever needs one starts there.
    data_port: int = 0

    def client(self, service: str, **config: Any) -> Any:
        """Make a boto3 client; by default a call is tried once, so that an injected failure is a failure."""
        settings = {"retries": {"total_max_attempts": 1}, "max_pool_connections": 20} | config
        make: Any = emulated.session(REGION).client
        return make(service, endpoint_url=self.url, config=Config(**settings))

    def answers(self) -> bool:
        """Tell whether it answers a real call."""
        self.client("sqs").list_queues()
        return True


def _program() -> list[str]:
    chosen = os.environ.get("EMULATOR_BIN")
    return [chosen] if chosen else ministack_command()


@pytest.fixture(scope="session")
def aws_emulator() -> Iterator[AwsEmulator]:
    """Run ministack on a free port, without state, stopped at the end. ``EMULATOR_BIN`` names another program."""
    # Closed by hand: what the emulator still writes while it stops must not fail the clean-up.
    with tempfile.TemporaryDirectory(prefix="emulator-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        port, data_port = (ports.choose(None, what="the emulator") for _ in range(2))
        log = folder / "ministack.log"
        environment = processes.clean_environment(
            GATEWAY_PORT=str(port),
            BIND_HOST="127.0.0.1",
            MINISTACK_REGION=REGION,
            IOT_MTLS_ENABLED="0",
            DATA_PLANE_URL=f"http://127.0.0.1:{data_port}",
            SFTP_ENABLED="0",
            TMPDIR=name,
            S3_DATA_DIR=str(folder / "s3"),
            STATE_DIR=str(folder / "state"),
        )
        with (
            log.open("wb") as output,
            subprocess.Popen(
                _program(), stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=folder
            ) as child,
        ):
            process = processes.ChildProcess.of("ministack", child.pid, log)
            emulator = AwsEmulator(f"http://127.0.0.1:{port}", child.pid, data_port)
            try:
                processes.wait_until(emulator.answers, what="the emulator", seconds=60, process=process)
                yield emulator
            finally:
                process.stop()
