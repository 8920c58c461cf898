"""A benchmark knows from a fleet's log when it is connected."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.pipeline.simulated import Fleet


@pytest.fixture
def running() -> Iterator["subprocess.Popen[bytes]"]:
    """Run something that does not end by itself."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.communicate()


@pytest.mark.parametrize(
    ("lines", "connected"),
    [
        (["5 s: connected 7/8, sent 0/s", "10 s: connected 8/8, sent 0/s"], True),
        (["shard 1/2, 5 s: connected 4/4, sent 0/s", "shard 1/2, 10 s: connected 4/4, sent 0/s"], False),
        (["shard 1/2, 5 s: connected 4/4, sent 0/s", "shard 2/2, 5 s: connected 3/4, sent 0/s"], False),
        (["shard 2/2, 5 s: connected 4/4, sent 0/s", "shard 1/2, 5 s: connected 4/4, sent 0/s"], True),
        ([], False),
    ],
)
def test_all_processes_of_a_fleet_count(
    lines: list[str], connected: bool, running: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    log = tmp_path / "fleet.log"
    log.write_text("\n".join(f"INFO - {line}" for line in lines))
    assert Fleet(running, log, tmp_path / "summary.json", 8).connected(0.01) is connected
