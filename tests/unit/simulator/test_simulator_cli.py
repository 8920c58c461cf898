"""What the command line refuses, it refuses with the remedy."""

import subprocess
import sys
from pathlib import Path

import pytest

from bridge.authority import Authority


def run(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [
        sys.executable,
        "-m",
        "simulator",
        "--endpoint",
        "127.0.0.1",
        "--port",
        "1",
        "--ca",
        str(folder / "ca.crt"),
        "--certs",
        str(folder),
        *options,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--shard", "17/16"], "--shard 17/16 is no part of a whole"),
        (["--start", "yesterday"], "--start yesterday is no time"),
        (["--start", "2026-03-02T08:00:00"], "end it with Z"),
    ],
)
def test_a_bad_option_is_named(tmp_path: Path, options: list[str], words: str) -> None:
    """The option, what is wrong, and an example; no traceback."""
    done = run(tmp_path, *options)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


def test_missing_certificates_are_named_at_once(tmp_path: Path) -> None:
    """The first missing file, how many more, and how stations are enrolled."""
    authority = Authority.load_or_create(tmp_path, name="test")
    authority.client("station-01").write(tmp_path / "station-01.crt", tmp_path / "station-01.key")
    done = run(tmp_path, "--num-stations", "3")
    assert done.returncode == 1
    assert "station-02.crt (and 3 more) is missing" in done.stderr
    assert "make simulate" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broker_that_is_not_there_is_said(tmp_path: Path) -> None:
    """It is tried again until the time is over, the reason is told, and the exit code is not zero."""
    authority = Authority.load_or_create(tmp_path, name="test")
    authority.client("station-01").write(tmp_path / "station-01.crt", tmp_path / "station-01.key")
    done = run(tmp_path, "--num-stations", "1", "--duration", "0.5")
    assert "station-01 cannot connect" in done.stdout
    assert done.returncode == 1
    assert "no station could connect to 127.0.0.1:1" in done.stderr
