"""Finds Mosquitto, or installs it."""

import os
import shutil
import subprocess
from pathlib import Path

from testbed.errors import TestbedError

# Where Debian puts it; not on every user's PATH.
_ELSEWHERE = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")
_REMEDY = "Install it (Debian: sudo apt-get install mosquitto; macOS: brew install mosquitto)."


def find_mosquitto() -> Path | None:
    """The broker's program, if it is installed."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_ELSEWHERE])
    found = shutil.which("mosquitto", path=path)
    return Path(found) if found else None


def ensure_mosquitto() -> Path:
    """The broker's program; installed by apt where we are root and it is missing.

    Raises:
        TestbedError: it is not there, and cannot be installed from here.
    """
    if found := find_mosquitto():
        return found
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        raise TestbedError("Mosquitto is not installed.", _REMEDY)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", "mosquitto"]):
        done = subprocess.run([apt, *command], env=environment, capture_output=True, text=True, check=False)
    found = find_mosquitto()
    if found is None:
        said = done.stderr.strip().splitlines() or ["no message"]
        raise TestbedError(f"apt-get cannot install Mosquitto: {said[-1]}", _REMEDY)
    return found
