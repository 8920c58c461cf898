"""What `make up` starts again when something has died."""

import os
from pathlib import Path

import pytest

from testbed.deploy import local
from testbed.deploy.deployment import Deployment
from testbed.engines.compose import ComposeEngine
from testbed.engines.embedded import EmbeddedEngine
from testbed.errors import TestbedError
from testbed.host.processes import ChildProcess, Container, Process
from tests.outputs import outputs

ALIVE = ChildProcess.of("cloud", os.getpid(), Path())
DEAD = ChildProcess("broker", 2**22 + 1, 0.0, "")


def deployment(folder: Path, **processes: Process) -> Deployment:
    """Make a local deployment that was applied."""
    return Deployment(
        target="local",
        engine_name="compose",
        name="test",
        region="eu-central-1",
        environment="dev",
        folder=str(folder),
        air_gapped=True,
        processes=processes,
        applied=outputs(),
    )


def test_a_cloud_runs_on_without_its_broker(tmp_path: Path) -> None:
    talk = frozenset({"broker", "bridge", "data-plane"})
    assert local._alive(deployment(tmp_path, cloud=ALIVE, broker=DEAD), but=talk)
    assert not local._alive(deployment(tmp_path, cloud=DEAD, broker=ALIVE), but=talk)
    assert not local._alive(deployment(tmp_path), but=talk)


def test_a_cloud_that_forgets_is_not_applied_to_as_if_it_knew(tmp_path: Path) -> None:
    ended = deployment(tmp_path, cloud=DEAD)
    with pytest.raises(TestbedError, match="all that it held"):
        local._check_not_forgotten(ended, ComposeEngine())
    local._check_not_forgotten(ended, EmbeddedEngine())


def test_what_runs_is_found_again_by_its_kind(tmp_path: Path) -> None:
    saved = deployment(tmp_path, cloud=Container("cloud", "ev-swap-test-cloud-1"), broker=ALIVE)
    saved.save()
    loaded = Deployment.load(tmp_path)
    assert loaded is not None
    assert loaded.processes == saved.processes
    assert loaded.processes["broker"].family()[-1].pid == os.getpid()
    assert not loaded.processes["cloud"].family()
