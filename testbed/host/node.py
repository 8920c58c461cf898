"""Packages of npm, each set from a lock with hashes, in a folder of its own beside our environments."""

import hashlib
import shutil
import subprocess
from pathlib import Path

from testbed.errors import TestbedError
from testbed.host import locks
from testbed.paths import state_root


def packages(name: str, locked: Path) -> Path:
    """Install what the lock in ``locked`` names, where it is not there or differs.

    Args:
        name: of the folder to install into.
        locked: a folder with ``package.json`` and ``package-lock.json``.

    Returns:
        The folder; the packages are in its ``node_modules``.

    Raises:
        TestbedError: npm is missing, or no registry gave them.
    """
    folder = state_root() / "node" / name
    lock, stamp = locked / "package-lock.json", folder / "installed"
    key = hashlib.sha256(lock.read_bytes()).hexdigest()
    with locks.exclusive(f"node-{name}"):
        if stamp.is_file() and stamp.read_text() == key:
            return folder
        if not shutil.which("npm"):
            raise TestbedError(
                "npm is not installed.", "Install it (Debian: sudo apt-get install nodejs npm)."
            )
        folder.mkdir(parents=True, exist_ok=True)
        for file in (lock, lock.with_name("package.json")):
            shutil.copy(file, folder)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise TestbedError(f"npm ci failed: {said}.", "A package registry must be reachable.")
        stamp.write_text(key)
    return folder
