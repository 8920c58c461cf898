"""One program at a time: what several would make in the same place, the first makes and the others find."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from testbed.paths import state_root


@contextmanager
def exclusive(
    name: str, *, what: str = "", waiting: Callable[[str], None] = lambda _holder: None
) -> Iterator[None]:
    """Wait until no other program or thread holds ``name``, and hold it meanwhile; a dead program holds nothing.

    Args:
        name: of the lock.
        what: this program does, for those that have to wait for it.
        waiting: called with who holds it, before this waits.
    """
    folder = state_root() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            waiting(file.read() or "another program")
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(f"{what or name} (process {os.getpid()})")
        file.flush()
        yield
