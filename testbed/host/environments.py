"""Python environments beside our own, each from a lock: an engine's packages may clash with ours.

``python -m testbed.host.environments NAME LOCK`` prints the folder, for scripts.
"""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

from testbed.errors import TestbedError
from testbed.host import locks
from testbed.paths import state_root


def environment(name: str, requirements: Path, *, python: str = sys.executable) -> Path:
    """Make the environment ``name`` with exactly the packages of a hashed lock, where it is not there or differs.

    Returns:
        Its folder; programs are in ``bin/``.

    Raises:
        TestbedError: the packages could not be installed.
    """
    # The interpreter itself: it has many names, and an environment that is made anew is taken from those who use it.
    python = str(Path(python).resolve())
    folder = state_root() / "venvs" / name
    stamp = folder / "installed"
    key = hashlib.sha256(requirements.read_bytes() + python.encode()).hexdigest()
    with locks.exclusive(f"venv-{name}"):
        if stamp.is_file() and stamp.read_text() == key:
            return folder
        uv("venv", "--quiet", "--clear", "--python", python, str(folder))
        uv(
            "pip",
            "install",
            "--quiet",
            "--require-hashes",
            "--no-deps",
            "--python",
            str(folder / "bin" / "python"),
            "-r",
            str(requirements),
        )
        stamp.write_text(key)
    return folder


def unpack(requirements: Path, folder: str | Path) -> None:
    """Put the wheels of a hashed lock, unpacked, into a plain folder.

    Raises:
        TestbedError: one could not be had, or there is no wheel of it for this machine.
    """
    wheels_only = ("--no-deps", "--only-binary", ":all:")
    uv(
        "pip",
        "install",
        "--quiet",
        "--require-hashes",
        *wheels_only,
        "--target",
        str(folder),
        "-r",
        str(requirements),
    )


def locked_version(requirements: Path, package: str) -> str:
    """Return the version of a package in a lock; empty if it is not in there."""
    found = re.search(rf"^{re.escape(package)}==([^ ;\\\n]+)", requirements.read_text(), re.MULTILINE)
    return found[1] if found else ""


def _cache() -> dict[str, str]:
    """Return where uv shall keep its downloads, if it cannot where it wants to: a home may be read-only."""
    if os.environ.get("UV_CACHE_DIR"):
        return {}
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "uv"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return {"UV_CACHE_DIR": str(state_root() / "cache" / "uv")}
    return {} if os.access(folder, os.W_OK) else {"UV_CACHE_DIR": str(state_root() / "cache" / "uv")}


def uv(*arguments: str) -> None:
    """Run the project's uv.

    Raises:
        TestbedError: it failed; with its last line.
    """
    done = subprocess.run(
        [sys.executable, "-m", "uv", *arguments],
        env=os.environ | _cache(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["no message"]
        raise TestbedError(
            f"uv {arguments[0]} failed: {said[-1].strip()}",
            "A package registry must be reachable; `--debug` shows all of the output."
            if "--debug" not in sys.argv
            else done.stderr,
        )


if __name__ == "__main__":
    print(environment(sys.argv[1], Path(sys.argv[2])))
