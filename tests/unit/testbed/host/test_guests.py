"""What somebody left running on a deployment is stopped with it."""

import subprocess
import sys
from pathlib import Path

import pytest

from testbed.deploy import lifecycle
from testbed.deploy.deployment import Deployment
from testbed.deploy.settings import Settings
from testbed.engines.base import Ports
from testbed.host import guests
from testbed.host.processes import ChildProcess


def test_down_stops_a_simulator_whose_starter_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TESTBED_HOME", str(tmp_path))
    monkeypatch.setenv("ENGINE", "embedded")
    monkeypatch.setenv("DEPLOYMENT", "guests")
    folder = Settings.from_environment().folder("embedded")
    Deployment(
        target="local",
        engine_name="embedded",
        name="guests",
        region="eu-central-1",
        environment="dev",
        folder=str(folder),
        air_gapped=True,
        ports=Ports(1, 2, 3),
    ).save()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as left:
        # As listed by a program that has been killed since: nobody takes it off the list.
        listed = guests.listed(folder, ChildProcess.of("simulator", left.pid, tmp_path / "log"))
        listed.__enter__()
        said: list[str] = []
        lifecycle.down(Settings.from_environment(), said.append, lambda _: True)
        left.wait(timeout=30)  # it would sleep for a minute
    assert said == ["Stopped simulator, which somebody left running", "Down: embedded"]


def test_one_that_its_starter_ended_is_not_listed(tmp_path: Path) -> None:
    with (
        subprocess.Popen([sys.executable, "-c", "pass"]) as ended,
        guests.listed(tmp_path, ChildProcess.of("simulator", ended.pid, tmp_path)),
    ):
        ended.wait()
    assert guests.stop_all(tmp_path) == []
