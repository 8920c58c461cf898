"""Programs of the operating system: found, or installed by apt where we are root."""

import os
import shutil
import subprocess
from pathlib import Path

from testbed.errors import TestbedError
from testbed.host import locks


def find(names: tuple[str, ...], elsewhere: tuple[str, ...] = ()) -> Path | None:
    """Return the first of ``names`` on PATH, or in the folders ``elsewhere``."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *elsewhere])
    return next((Path(found) for name in names if (found := shutil.which(name, path=path))), None)


def ensure(names: tuple[str, ...], package: str, remedy: str, elsewhere: tuple[str, ...] = ()) -> Path:
    """Return the program; apt installs it where we are root and it is missing.

    Args:
        names: what it may be called.
        package: Debian's.
        remedy: what to do where it cannot be installed from here.
        elsewhere: folders to look in beside PATH.

    Raises:
        TestbedError: it is not there, and cannot be installed from here.
    """
    if found := find(names, elsewhere):
        return found
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        raise TestbedError(f"{package.capitalize()} is not installed.", remedy)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    # Two at once would be in each other's way.
    with locks.exclusive("apt"):
        if found := find(names, elsewhere):
            return found
        for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", package]):
            done = subprocess.run(
                [apt, *command], env=environment, capture_output=True, text=True, check=False
            )
    if found := find(names, elsewhere):
        return found
    said = done.stderr.strip().splitlines() or ["no message"]
    raise TestbedError(f"apt-get cannot install {package}: {said[-1]}", remedy)
