"""What several programs would make in one place is made by one at a time."""

import select
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.host import locks
from testbed.paths import REPOSITORY

HOLDER = """
import sys
from testbed.host import locks
with locks.exclusive("test"):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder() -> "subprocess.Popen[bytes]":
    """Run a program that takes the lock, says so, and keeps it for as long as we let it."""
    command = [sys.executable, "-c", HOLDER]
    return subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_others_wait_and_a_dead_program_holds_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TESTBED_HOME", str(tmp_path))
    with holder() as one, holder() as another:
        streams = {program.stdout: program for program in (one, another)}
        [first], _, _ = select.select(list(streams), [], [], 30)
        assert first.readline() == b"held\n"
        [second] = set(streams) - {first}
        assert not select.select([second], [], [], 0.2)[0], "both hold it"
        streams[first].kill()
        assert second.readline() == b"held\n"
        streams[second].communicate()
    with locks.exclusive("test"):
        pass
