"""A script that is called in a fresh clone makes the environment that it needs."""

import os
import subprocess
from pathlib import Path

import pytest

from testbed.paths import REPOSITORY

SCRIPTS = sorted(path.name for path in (REPOSITORY / "scripts").iterdir() if os.access(path, os.X_OK))


@pytest.mark.parametrize("name", [name for name in SCRIPTS if name != "bootstrap"])
def test_a_script_makes_its_environment_first(name: str, tmp_path: Path) -> None:
    """With a bootstrap in place of ours that says it was called, and fails: nothing else is done."""
    scripts = tmp_path / "clone" / "scripts"
    scripts.mkdir(parents=True)
    script, bootstrap = scripts / name, scripts / "bootstrap"
    script.write_text((REPOSITORY / "scripts" / name).read_text())
    bootstrap.write_text('#!/bin/sh\necho "bootstrap $*" >&2\nexit 3\n')
    for program in (script, bootstrap):
        program.chmod(0o755)
    done = subprocess.run([script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stderr == "bootstrap --if-needed\n"


def test_what_is_installed_already_costs_nothing(tmp_path: Path) -> None:
    """With the lock's installation newer than the lock, bootstrap starts no Python."""
    clone = tmp_path / "clone"
    (clone / "scripts").mkdir(parents=True)
    (clone / ".venv").mkdir()
    script = clone / "scripts" / "bootstrap"
    script.write_text((REPOSITORY / "scripts" / "bootstrap").read_text())
    script.chmod(0o755)
    (clone / "uv.lock").touch()
    installed = clone / ".venv" / ".installed"
    installed.touch()
    for age, path in ((30, clone / "uv.lock"), (20, script), (10, installed)):
        os.utime(path, (1e9 - age, 1e9 - age))
    nothing = os.environ | {"PYTHON": "/nonexistent/python"}
    assert subprocess.run([script, "--if-needed"], env=nothing, check=False).returncode == 0
    os.utime(clone / "uv.lock", (1e9, 1e9))
    done = subprocess.run([script, "--if-needed"], env=nothing, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed" in done.stderr
