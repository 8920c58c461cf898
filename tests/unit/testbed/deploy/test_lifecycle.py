"""Two programs do not work on one deployment at a time."""

import os
import threading
from pathlib import Path

import pytest

from testbed.deploy import lifecycle
from testbed.deploy.settings import Settings
from testbed.host import locks


def test_the_second_says_whom_it_waits_for_and_then_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TESTBED_HOME", str(tmp_path))
    monkeypatch.setenv("DEPLOYMENT", "twice")
    settings = Settings.from_environment()
    said: list[str] = []
    waits = threading.Event()

    def say(line: str) -> None:
        said.append(line)
        waits.set()

    second = threading.Thread(target=lifecycle.down, args=(settings, say, lambda _: True))
    with locks.exclusive("deployment-local-twice", what="make up"):
        second.start()
        assert waits.wait(60)
        assert said == [f"Waiting for make up (process {os.getpid()}), which works on the same deployment."]
    second.join(60)
    assert said[1:] == ["Nothing is up."]
