"""What `make up` starts again when something has died."""

import os
import sys
import threading
from pathlib import Path

import pytest

from testbed.deploy import local
from testbed.deploy.deployment import Deployment
from testbed.deploy.settings import _UNCHANGEABLE, Settings
from testbed.engines.base import Place, Ports
from testbed.engines.embedded import EmbeddedEngine
from testbed.engines.localstack import LocalStackEngine
from testbed.errors import TestbedError
from testbed.host import containers, ports, processes
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


def test_up_tells_the_versions_of_all_that_it_stands_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here of Compose: a daemon's, and a program's that stands in for the plugin."""
    program = tmp_path / "docker-compose"
    program.write_text("#!/bin/sh\necho 5.6.1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(containers, "daemon_version", lambda: "20.10.24")
    up = deployment(tmp_path)
    up.aws_url = f"http://127.0.0.1:{ports.choose(None, what='nobody')}"
    told = local._engine_versions(up)
    assert told.startswith("compose says nothing of its version, localstack 4.14.0, our images ")
    assert ", docker 20.10.24, compose 5.6.1, Python 3." in told


def test_a_cloud_runs_on_without_its_broker(tmp_path: Path) -> None:
    talk = frozenset({"broker", "bridge", "data-plane"})
    assert local._alive(deployment(tmp_path, cloud=ALIVE, broker=DEAD), but=talk)
    assert not local._alive(deployment(tmp_path, cloud=DEAD, broker=ALIVE), but=talk)
    assert not local._alive(deployment(tmp_path), but=talk)


def test_what_runs_is_found_again_by_its_kind(tmp_path: Path) -> None:
    saved = deployment(tmp_path, cloud=Container("cloud", "ev-swap-test-cloud-1"), broker=ALIVE)
    saved.save()
    loaded = Deployment.load(tmp_path)
    assert loaded is not None
    assert loaded.processes == saved.processes
    assert loaded.processes["broker"].family()[-1].pid == os.getpid()
    assert not loaded.processes["cloud"].family()


def made(folder: Path, engine: str) -> Deployment:
    """Make a deployment whose cloud has ended, with ledgers, certificates, Terraform's state and data of each part."""
    found = deployment(folder, cloud=DEAD)
    found.engine_name = engine  # type: ignore[assignment]  # one of the names
    found.ports = Ports(aws=1, mqtt=2, metrics=3)
    found.save()
    for name in (
        "terraform/terraform.tfstate",
        "certs/authority/ca.crt",
        "certs/stations/station-01.crt",
        "data/ministack-state/sqs.json",
        "data/broker/session.json",
        "ledgers/run.ndjson",
        "api-key",
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
        os.utime(path, (1000, 1000))
    return found


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("engine", [EmbeddedEngine(), LocalStackEngine()], ids=["embedded", "localstack"])
def test_a_cloud_that_forgot_is_deployed_anew_and_the_ledgers_stay(
    engine: EmbeddedEngine | LocalStackEngine, tmp_path: Path
) -> None:
    """ministack was killed after its last start: its files are older. LocalStack has none in any case."""
    ended, said = made(tmp_path, engine.name), list[str]()
    (tmp_path / "cloud-started").touch()
    local._begin_anew_if_forgotten(ended, engine, said.append)
    left = files(tmp_path)
    assert {"certs/authority/ca.crt", "data/broker/session.json", "api-key"} <= left
    assert not {"terraform/terraform.tfstate", "certs/stations/station-01.crt"} & left
    (ledger,) = (name for name in left if name.endswith("run.ndjson"))
    assert ledger.startswith("ledgers/lost-")
    (line,) = said
    for word in ("deploys anew", "archive", "1 stations", "1 ledgers"):
        assert word in line
    again = Deployment.load(tmp_path)
    assert again
    assert (again.applied, again.processes, again.fingerprint) == (None, {}, "")


def test_a_cloud_that_saved_what_it_held_goes_on_with_it(tmp_path: Path) -> None:
    ended, said = made(tmp_path, "embedded"), list[str]()
    (tmp_path / "cloud-started").touch()
    os.utime(tmp_path / "cloud-started", (900, 900))
    before = files(tmp_path)
    local._begin_anew_if_forgotten(ended, EmbeddedEngine(), said.append)
    assert files(tmp_path) == before
    assert not said


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ENVIRONMENT", "prod"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_PORT", "5566"),
        ("MQTT_PORT", "5566"),
        ("METRICS_PORT", "5566"),
        ("ENFORCE_IAM", "1"),
    ],
)
def test_a_setting_that_cannot_change_in_place_is_refused(
    variable: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in _UNCHANGEABLE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DEPLOYMENT", "test")
    up = made(tmp_path, "embedded")
    local.check_unchanged(Settings.from_environment(), up)
    monkeypatch.setenv(variable, value)
    with pytest.raises(TestbedError, match=f"{variable}=.* cannot become {value} in place") as error:
        local.check_unchanged(Settings.from_environment(), up)
    assert "make down" in error.value.remedy
    assert "DEPLOYMENT=test-2" in error.value.remedy


def test_a_default_is_no_setting_that_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`make up` after `make up AWS_PORT=5566`, under the name that has fixed ports by default."""
    for name in (*_UNCHANGEABLE, "DEPLOYMENT"):
        monkeypatch.delenv(name, raising=False)
    local.check_unchanged(Settings.from_environment(), made(tmp_path, "embedded"))


class NoBroker(EmbeddedEngine):
    """Has a bridge that never gets ready, a data plane that does, and a broker that cannot start."""

    def __init__(self) -> None:
        self.begun = threading.Event()

    def start_broker(self, place: Place) -> ChildProcess:  # noqa: ARG002
        assert self.begun.wait(60)
        raise TestbedError("the port is taken")

    def start_bridge(self, place: Place) -> ChildProcess:
        self.bridge = processes.start(
            "bridge",
            [sys.executable, "-c", "import time; time.sleep(600)"],
            log=place.log("bridge"),
            environment={},
            folder=place.folder,
        )
        self.begun.set()
        processes.wait_until(lambda: False, what="The bridge", seconds=600, process=self.bridge)
        return self.bridge

    def start_data_plane(self, place: Place) -> ChildProcess:  # noqa: ARG002
        return ALIVE


def test_where_the_broker_cannot_start_nobody_waits_for_the_bridge(tmp_path: Path) -> None:
    """The three start at once; the bridge would try to connect for a minute."""
    half, engine = deployment(tmp_path), NoBroker()
    half.ports = Ports(aws=1, mqtt=2, metrics=3)
    with pytest.raises(TestbedError, match="the port is taken"):
        local._start_talk(half, engine)
    assert not engine.bridge.alive()
    assert not half.processes
