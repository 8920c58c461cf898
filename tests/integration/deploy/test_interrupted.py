"""Ctrl-C in `up` leaves nothing behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from testbed.paths import REPOSITORY


def test_ctrl_c_while_terraform_applies_stops_all_that_was_started() -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    # The environments that are made once stay where they are: only the deployment is this test's own.
    settings = {"DEPLOYMENT": f"interrupted-{os.getpid()}", "ENGINE": "embedded", "NO_COLOR": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "testbed", "up"],
        cwd=REPOSITORY,
        env=clean | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as up:
        assert up.stdout
        begun = any(line.startswith("Terraform: 0 of ") for line in up.stdout)
        assert begun, up.stderr and up.stderr.read()
        family = psutil.Process(up.pid).children(recursive=True)
        up.send_signal(signal.SIGINT)
        said, _ = up.communicate(timeout=120)
    assert up.returncode == 130
    assert f"make down DEPLOYMENT={settings['DEPLOYMENT']} ENGINE=embedded removes what is left" in said
    try:
        status = [sys.executable, "-m", "testbed", "status"]
        half = subprocess.run(
            status, cwd=REPOSITORY, env=clean | settings, capture_output=True, text=True, check=False
        )
        assert "An `up` was not finished." in half.stderr
        left = [each.cmdline() for each in _ours(settings["DEPLOYMENT"])]
        assert not left
        assert not [each for each in family if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
    finally:
        down = [sys.executable, "-m", "testbed", "down"]
        subprocess.run(down, cwd=REPOSITORY, env=clean | settings, check=True, capture_output=True)


def _ours(name: str) -> list[psutil.Process]:
    """Find the processes that work in the deployment's folder: they outlive whoever started them."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).name == f"local-embedded-{name}":
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found
