"""Start processes that outlive the command that started them, and find them again; containers likewise."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypeVar

import msgspec
import psutil

from testbed.errors import TestbedError
from testbed.host import containers

# For programs that work with an emulator: no profile, file or role of the user's real account is read.
NO_ACCOUNT = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}

# SIGTERM first: the emulator saves its state and the bridge finishes what is in flight.
STOP_SECONDS = 15.0

_Found = TypeVar("_Found")


class _Process(msgspec.Struct, frozen=True, tag_field="kind"):
    """What runs for a deployment, whoever runs it."""

    name: str

    def alive(self) -> bool:
        """Return whether it runs."""
        raise NotImplementedError

    @property
    def where(self) -> str:
        """Where its log is: a file, or the command that prints it."""
        raise NotImplementedError

    def last_lines(self, lines: int) -> list[str]:
        """Return the newest lines of its log."""
        raise NotImplementedError

    def family(self) -> list[psutil.Process]:
        """Return what it is on this machine, its descendants first; nothing for a container, or if it is gone."""
        raise NotImplementedError

    def suspend(self) -> None:
        """Stand it still: it accepts connections and answers nothing; do nothing if it is gone."""
        raise NotImplementedError

    def resume(self) -> None:
        """Have it go on where it stood still."""
        raise NotImplementedError

    def kill_functions(self) -> None:
        """Kill by SIGKILL whatever runs functions for it, which plays AWS, in the middle of what it does."""
        raise NotImplementedError

    def resident_bytes(self) -> int:
        """Return the memory that it holds."""
        raise NotImplementedError

    def stop(self, *, kill: bool = False, seconds: float = STOP_SECONDS) -> None:
        """End it; do nothing if it is gone.

        Args:
            kill: without asking first.
            seconds: how long it may take to end by itself.
        """
        raise NotImplementedError


class ChildProcess(_Process, frozen=True, tag="process"):
    """A process that we started: its id alone could by now be somebody else's, so its start time goes with it."""

    pid: int
    started_at: float
    log: str

    @classmethod
    def of(cls, name: str, pid: int, log: Path) -> Self:
        """Return the running process with this id."""
        return cls(name, pid, _born(psutil.Process(pid)), str(log))

    def alive(self) -> bool:
        """Return whether this very process still runs."""
        return self._find() is not None

    @property
    def where(self) -> str:
        """The file with its output."""
        return self.log

    def last_lines(self, lines: int) -> list[str]:
        """Return the newest lines of its output."""
        path = Path(self.log)
        return path.read_text(errors="replace").splitlines()[-lines:] if path.is_file() else []

    def family(self) -> list[psutil.Process]:
        """Return its descendants, and it last; nothing if it is gone."""
        return family(self.pid) if self.alive() else []

    def suspend(self) -> None:
        """Stop it and its descendants, the process first: it shall not see its children stand still."""
        for member in reversed(self.family()):
            unless_gone(member.suspend, None)

    def resume(self) -> None:
        """Have those that stand still go on."""
        for member in self.family():
            unless_gone(member.resume, None)

    def kill_functions(self) -> None:
        """Kill its children that are workers; DynamoDB Local, a Java process, is none."""
        for child in self.family()[:-1]:
            # One that ends meanwhile is none that could be killed.
            command = " ".join(unless_gone(child.cmdline, []))
            if "worker" in command and "java" not in command:
                unless_gone(child.kill, None)

    def resident_bytes(self) -> int:
        """Return the memory that it and its descendants hold."""
        return resident_bytes(self.pid) if self.alive() else 0

    def stop(self, *, kill: bool = False, seconds: float = STOP_SECONDS) -> None:
        """End it by SIGTERM, and by SIGKILL what is left of it and of its descendants."""
        members = self.family()
        if not members:
            return
        if not kill:
            unless_gone(members[-1].terminate, None)
            psutil.wait_procs(members[-1:], timeout=seconds)
        for member in members:
            unless_gone(member.kill, None)
        psutil.wait_procs(members, timeout=STOP_SECONDS)

    def _find(self) -> psutil.Process | None:
        try:
            found = psutil.Process(self.pid)
            if abs(_born(found) - self.started_at) > 1 or found.status() == psutil.STATUS_ZOMBIE:
                return None
        except psutil.NoSuchProcess:
            return None
        return found


class Container(_Process, frozen=True, tag="container"):
    """A container of the Docker daemon; ``container`` is its name there."""

    container: str

    def alive(self) -> bool:
        """Return whether it runs."""
        return containers.running(self.container)

    @property
    def where(self) -> str:
        """The command that prints its output."""
        return f"docker logs {self.container}"

    def last_lines(self, lines: int) -> list[str]:
        """Return the newest lines of its output."""
        return containers.log_lines(self.container, lines)

    def family(self) -> list[psutil.Process]:
        """Return nothing: the daemon may be on another machine."""
        return []

    def suspend(self) -> None:
        """Pause it."""
        containers.pause(self.container)

    def resume(self) -> None:
        """Have it go on."""
        containers.pause(self.container, again=True)

    def kill_functions(self) -> None:
        """Kill the containers of functions, which LocalStack names after its own."""
        containers.remove(f"{self.container}-lambda-")

    def resident_bytes(self) -> int:
        """Return the memory that it holds, without files that are merely cached."""
        return containers.resident_bytes(self.container)

    def stop(self, *, kill: bool = False, seconds: float = STOP_SECONDS) -> None:
        """End it; the daemon kills what does not end within ``seconds``."""
        containers.stop(self.container, kill=kill, seconds=seconds)


Process = ChildProcess | Container


def _born(process: psutil.Process) -> float:
    """Return when it started, in seconds: the same for as long as it lives, though somebody may set the clock.

    Linux counts from the machine's start, and psutil adds the time of that by today's clock: take it off again.
    """
    return process.create_time() - psutil.boot_time() if psutil.LINUX else process.create_time()


def family(pid: int) -> list[psutil.Process]:
    """Return a process and all that descends from it, the process itself last; empty if it is gone.

    Each of them may end while it is looked at: ask it by `unless_gone`.
    """
    try:
        process = psutil.Process(pid)
        return [*process.children(recursive=True), process]
    except psutil.NoSuchProcess:
        return []


def unless_gone(look: Callable[[], _Found], otherwise: _Found) -> _Found:
    """Return what ``look`` says of a process, or ``otherwise`` if that process has ended (a zombie has, too)."""
    try:
        return look()
    except psutil.NoSuchProcess:
        return otherwise


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process and all that descends from it, in bytes."""
    known = (unless_gone(member.memory_info, None) for member in family(pid))
    return sum(int(memory.rss) for memory in known if memory)


_collecting: list[list[Process]] = []


@contextmanager
def stopped_on_failure() -> Iterator[None]:
    """Stop every process started inside, if what is inside fails: half a cloud must not stay behind."""
    started: list[Process] = []
    _collecting.append(started)
    try:
        yield
    except BaseException:
        for process in reversed(started):
            process.stop()
        raise
    finally:
        _collecting.remove(started)


def start(
    name: str, command: Sequence[str], *, log: Path, environment: Mapping[str, str], folder: Path
) -> ChildProcess:
    """Start ``command`` in a session of its own, with its output in ``log``.

    Raises:
        TestbedError: the program cannot be started.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        try:
            child = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=folder,
                start_new_session=True,
            )
        except OSError as error:
            raise TestbedError(f"Cannot start {name}: {error}.", f"See {log}.") from error
    # It outlives us: nobody here waits for it, and Popen need not warn of that.
    child.returncode = 0
    started = ChildProcess.of(name, child.pid, log)
    collect(started)
    return started


def collect(process: Process) -> None:
    """Have `stopped_on_failure` know of a process, however it is started."""
    for started in _collecting:
        started.append(process)


def wait_until(
    ready: Callable[[], bool], *, what: str, seconds: float, process: ChildProcess | None = None
) -> None:
    """Wait until ``ready()``; an exception in it means "not yet".

    Raises:
        TestbedError: ``process`` died meanwhile, or the time ran out; with the log's last line.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            if ready():
                return
        except Exception:  # noqa: S110  # whatever it is, it is not ready yet
            pass
        if process is not None and not process.alive():
            raise TestbedError(f"{process.name} died: {last_line(process.log)}", f"See {process.log}.")
        if time.monotonic() > deadline:
            where = f"See {process.log}." if process else ""
            raise TestbedError(f"{what} was not ready within {seconds:.0f} s.", where)
        time.sleep(0.05)


def last_line(log: str | Path) -> str:
    """Return the last line of a log that says something, or a word that there is none."""
    try:
        lines = [line for line in Path(log).read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    return lines[-1].strip() if lines else "it wrote no log"


def clean_environment(**extra: str) -> dict[str, str]:
    """Return our environment without what belongs to the user's real account, plus ``extra``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_"))}
    return kept | NO_ACCOUNT | extra
