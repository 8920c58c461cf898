"""A fault run survives its own tools: what ends while it is looked at, and what cannot be injected."""

import random
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from testbed.drills.faults import runner
from testbed.drills.faults.catalogue import Fault, catalogue
from testbed.drills.faults.parts import Parts
from testbed.host import processes

# Two children, of which one has ended and is a zombie for as long as nobody waits for it.
_PARENT = """
import subprocess, sys, time
gone = subprocess.Popen([sys.executable, "-c", "", "worker"])
alive = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "worker"])
print(gone.pid, alive.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def emulator(tmp_path: Path) -> Any:
    """Start a process with a zombie and a living worker."""
    started = processes.start(
        "emulator",
        [sys.executable, "-c", _PARENT],
        log=tmp_path / "log",
        environment=processes.clean_environment(),
        folder=tmp_path,
    )
    try:
        processes.wait_until(lambda: len((tmp_path / "log").read_text().split()) == 2, what="it", seconds=30)
        gone, alive = (psutil.Process(int(word)) for word in (tmp_path / "log").read_text().split())
        processes.wait_until(lambda: gone.status() == psutil.STATUS_ZOMBIE, what="a zombie", seconds=30)
        yield SimpleNamespace(process=started, gone=gone, alive=alive)
    finally:
        started.stop(kill=True)


@pytest.fixture
def parts(emulator: Any, monkeypatch: pytest.MonkeyPatch) -> Parts:
    monkeypatch.setattr(Parts, "_cloud", emulator.process)
    deployment: Any = SimpleNamespace(processes={"broker": emulator.process}, local_engine=None)
    return Parts(deployment, SimpleNamespace(), frozen_seconds=0)  # type: ignore[arg-type]


def test_workers_are_killed_beside_one_that_ended_while_it_was_looked_at(parts: Parts, emulator: Any) -> None:
    with pytest.raises(psutil.ZombieProcess):
        emulator.gone.cmdline()
    parts.kill_lambda_workers()
    processes.wait_until(lambda: emulator.alive.status() == psutil.STATUS_ZOMBIE, what="the end", seconds=30)


def test_what_was_frozen_goes_on_though_a_child_has_ended(parts: Parts, emulator: Any) -> None:
    parts.freeze_broker()
    assert emulator.alive.status() != psutil.STATUS_STOPPED
    assert processes.resident_bytes(emulator.process.pid) > 0


def test_functions_in_containers_are_not_killed_at_a_call(parts: Parts) -> None:
    """Their processes are not this machine's to signal; all else breaks there, too."""
    anything: Any = SimpleNamespace(
        send_poison=None, send_with_wrong_clock=None, replay=None, send_past_last=None
    )

    def names(*, signals_callers: bool) -> set[str]:
        here = {"restarts_cloud": True, "has_stream": True, "signals_callers": signals_callers}
        return {fault.name for fault in catalogue(parts, anything, anything, random.Random(1), **here)}

    assert {
        name.partition(" ")[0] for name in names(signals_callers=True) - names(signals_callers=False)
    } == {"Lambda"}
    assert "Lambda workers killed" in names(signals_callers=False)


def test_a_fault_that_cannot_be_injected_is_told_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_PAUSE_SECONDS", (0.0, 0.01))
    place = SimpleNamespace(log=lambda name: tmp_path / f"{name}.log")
    deployment: Any = SimpleNamespace(path=tmp_path, place=place)
    said: list[str] = []
    drill = runner._Drill(deployment, said.append, random.Random(1), "faults-", 2)

    def breaks() -> None:
        raise psutil.ZombieProcess(1)

    done: list[str] = []
    faults = [Fault("broken", breaks), Fault("good", lambda: done.append("good"))]
    with pytest.raises(psutil.ZombieProcess):  # before the fleet has begun there is nothing to audit
        drill.inject(faults[0])
    drill.begun = True
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as fleet:
        drill.break_until_done(faults, fleet, time.monotonic() + 0.5)
        fleet.kill()
    assert done
    assert drill.injected == {"good": len(done)}
    assert {(failed.what, failed.why.partition(":")[0]) for failed in drill.failed} == {
        ("broken", "ZombieProcess")
    }
    assert "ZombieProcess" in (tmp_path / "faults-errors.log").read_text()
    assert any("broken: failed" in line for line in said)


def test_a_fleet_that_fails_is_told(tmp_path: Path) -> None:
    with pytest.raises(runner.TestbedError, match="ended with 3"):
        runner._run_fleet([sys.executable, "-c", "raise SystemExit(3)"], tmp_path / "log", lambda _: None)


def test_ctrl_c_ends_the_fleet_and_not_the_drill(tmp_path: Path) -> None:
    fleets = []

    def interrupted(fleet: "subprocess.Popen[bytes]") -> None:
        fleets.append(fleet)
        raise KeyboardInterrupt

    with pytest.raises(runner.TestbedError, match="by hand"):
        runner._run_fleet(
            [sys.executable, "-c", "import time; time.sleep(600)"], tmp_path / "log", interrupted
        )
    assert fleets[0].poll() is not None
