"""One program at a time: what several would make in the same place, the first makes and the others find."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from testbed.paths import state_root


@contextmanager
def exclusive(name: str) -> Iterator[None]:
    """Wait until no other program or thread holds ``name``, and hold it meanwhile; a dead program holds nothing."""
    folder = state_root() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
