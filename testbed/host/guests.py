"""Processes that work on a deployment without being part of it: a simulator, the door of the page.

Whoever starts one ends it. `make down` ends those that are left where somebody was killed before he could.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from testbed.host.processes import ChildProcess

_FOLDER = "guests"


@contextmanager
def listed(deployment: Path, process: ChildProcess) -> Iterator[ChildProcess]:
    """List a process in a deployment's folder while the context lasts."""
    file = deployment / _FOLDER / f"{process.pid}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.encode(process))
    try:
        yield process
    finally:
        file.unlink(missing_ok=True)


def stop_all(deployment: Path) -> list[str]:
    """Stop every listed process that still runs.

    Returns:
        Their names.
    """
    stopped = []
    for file in sorted((deployment / _FOLDER).glob("*.json")):
        process = msgspec.json.decode(file.read_bytes(), type=ChildProcess)
        if process.alive():
            process.stop()
            stopped.append(process.name)
        file.unlink(missing_ok=True)
    return stopped
