"""A program that is told to end cleans up first."""

import signal
import subprocess
import sys

import pytest

from testbed.paths import REPOSITORY

_PROGRAM = """
import sys, time
from testbed.cli.console import main
from typer import Typer
app = Typer()
@app.command()
def wait() -> None:
    try:
        print("started", flush=True)
        time.sleep(60)
    finally:
        print("cleaned up", flush=True)
main(app)
"""


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]
)
def test_each_signal_that_ends_a_command_lets_it_clean_up(number: signal.Signals, status: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout
        assert child.stdout.readline() == "started\n"
        child.send_signal(number)
        said, errors = child.communicate(timeout=60)
    assert said == "cleaned up\n"
    assert "Traceback" not in errors
    assert child.returncode == status
