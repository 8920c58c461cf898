"""Packages are installed on machines whose home cannot be written, too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.host import environments
from testbed.paths import REPOSITORY

# Not even root can make a folder there.
READ_ONLY = "/proc"


def test_uv_keeps_its_downloads_beside_the_deployments_where_the_home_is_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", READ_ONLY)
    monkeypatch.setenv("TESTBED_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("UV_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    environments.uv("venv", "--quiet", str(tmp_path / "made"))
    assert (tmp_path / "made" / "bin" / "python").exists()
    assert (tmp_path / "state" / "cache" / "uv").is_dir()


def test_an_environment_is_not_made_anew_for_another_name_of_the_same_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who else has it in use would find it empty."""
    monkeypatch.setenv("TESTBED_HOME", str(tmp_path / "state"))
    lock = tmp_path / "lock.txt"
    lock.write_text("# no package\n")
    folder = environments.environment("one", lock)
    (folder / "in-use").touch()
    other = tmp_path / "python"
    other.symlink_to(sys.executable)
    assert environments.environment("one", lock, python=str(other)) == folder
    assert (folder / "in-use").exists()


def test_bootstrap_names_the_cache_that_it_takes_instead_of_a_read_only_home(tmp_path: Path) -> None:
    copy = tmp_path / "clone"
    (copy / "scripts").mkdir(parents=True)
    script = copy / "scripts" / "bootstrap"
    script.write_text((REPOSITORY / "scripts" / "bootstrap").read_text())
    # A Python that fails at making an environment, and tells what it was given.
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\n[ "$1" = -c ] || { echo "$UV_CACHE_DIR" >&3; exit 1; }\n')
    for program in (script, python):
        program.chmod(0o755)
    told = tmp_path / "told"
    clean = {
        name: value for name, value in os.environ.items() if name not in ("UV_CACHE_DIR", "XDG_CACHE_HOME")
    }
    done = subprocess.run(
        ["sh", "-c", f"exec 3>{told}; exec {script}"],
        env=clean | {"HOME": READ_ONLY, "PYTHON": str(python)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "cannot be written" in done.stderr
    assert "UV_CACHE_DIR" in done.stderr
    assert told.read_text().strip() == str(copy / ".testbed" / "cache" / "uv")
