"""Processes are started, found again and stopped by their own id."""

import sys
from pathlib import Path

import psutil
import pytest

from testbed.errors import TestbedError
from testbed.host import ports, processes
from testbed.host.processes import ChildProcess


def start(folder: Path, code: str) -> ChildProcess:
    return processes.start(
        "child", [sys.executable, "-c", code], log=folder / "child.log", environment={}, folder=folder
    )


def test_a_process_that_died_is_named_with_its_last_words(tmp_path: Path) -> None:
    child = start(tmp_path, "import sys; sys.exit('the disk is on fire')")
    with pytest.raises(TestbedError, match="child died: the disk is on fire"):
        processes.wait_until(lambda: False, what="it", seconds=30, process=child)


def test_stop_ends_it_and_its_children(tmp_path: Path) -> None:
    child = start(
        tmp_path,
        "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        "print(p.pid, flush=True); time.sleep(600)",
    )
    processes.wait_until(lambda: (tmp_path / "child.log").read_text().strip() != "", what="it", seconds=30)
    import psutil

    grandchild = int((tmp_path / "child.log").read_text())
    child.stop(kill=True)
    assert not child.alive()
    assert not psutil.pid_exists(grandchild) or psutil.Process(grandchild).status() == psutil.STATUS_ZOMBIE


def test_another_process_with_the_same_id_is_left_alone(tmp_path: Path) -> None:
    child = start(tmp_path, "import time; time.sleep(600)")
    try:
        stranger = ChildProcess(child.name, child.pid, child.started_at - 1000, child.log)
        assert not stranger.alive()
        stranger.stop(kill=True)
        assert child.alive()
    finally:
        child.stop(kill=True)


@pytest.mark.skipif(not psutil.LINUX, reason="elsewhere a process's start is told by the clock of then")
def test_a_process_is_ours_though_the_clock_was_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    child = start(tmp_path, "import time; time.sleep(600)")
    try:
        then = psutil.boot_time()
        # The kernel tells the machine's start by today's clock.
        monkeypatch.setattr("psutil._pslinux.boot_time", lambda: then + 7200)
        assert child.alive()
    finally:
        child.stop(kill=True)
        assert not child.alive()


def test_a_taken_port_is_said_with_the_way_out() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(TestbedError, match=f"Port {port}.*another program") as error:
            ports.choose(port, setting="make up AWS_PORT={}", what="the AWS APIs")
        assert "make up AWS_PORT=" in error.value.remedy


def test_a_chosen_port_is_none_that_the_system_gives_to_clients() -> None:
    """A server that is killed must find it free again, whoever connected to somewhere meanwhile."""
    given = Path("/proc/sys/net/ipv4/ip_local_port_range")
    if not given.is_file():
        pytest.skip("only Linux says which these are")
    least, most = map(int, given.read_text().split())
    chosen = [ports.choose(None, what="a test") for _ in range(20)]
    assert not [port for port in chosen if least <= port <= most]


def test_half_a_start_leaves_nothing_behind(tmp_path: Path) -> None:
    """What started before something failed is stopped; where nothing fails, it stays."""
    started: list[ChildProcess] = []
    with pytest.raises(TestbedError), processes.stopped_on_failure():  # noqa: PT012  # the order is the point
        started.append(start(tmp_path, "import time; time.sleep(600)"))
        raise TestbedError("the second one does not start")
    assert not started[0].alive()
    with processes.stopped_on_failure():
        started.append(start(tmp_path, "import time; time.sleep(600)"))
    assert started[1].alive()
    started[1].stop(kill=True)
