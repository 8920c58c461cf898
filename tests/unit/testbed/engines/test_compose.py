"""docker-compose.yml keeps its promises, and the engine is chosen by what answers."""

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed.engines import choice, compose
from testbed.engines.base import EngineName, Place, Ports
from testbed.engines.bridge import REQUIRED, TRUSTED
from testbed.errors import TestbedError
from testbed.host import containers
from testbed.host.processes import Container
from testbed.paths import REPOSITORY

SERVICES: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())["services"]


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - {"simulator"}))
def test_a_service_is_reachable_from_this_machine_alone_and_proves_that_it_works(name: str) -> None:
    service = SERVICES[name]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    # A call, and not only an open port.
    assert re.search(r"curl|urlopen", " ".join(service["healthcheck"]["test"]))
    assert service["image"].rpartition(":")[2] not in ("", "latest")


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - {"localstack"}))
def test_our_containers_run_without_root_and_cannot_write_but_where_they_must(name: str) -> None:
    service = SERVICES[name]
    assert service["user"] == "${TESTBED_USER:-10001:10001}"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert all(volume.endswith((":/state", "/shard", ":ro")) for volume in service["volumes"])


def test_shards_of_a_fleet_start_only_when_told_and_are_not_started_again() -> None:
    """Otherwise `docker compose up` would load the broker, and a shard whose time is over would begin anew."""
    shard = SERVICES["simulator"]
    assert shard["profiles"] == ["load"]
    assert shard["restart"] == "no"
    assert "ports" not in shard


def test_the_bridges_container_cannot_sign_certificates() -> None:
    """Each service has a folder of its own; the authority's key is in the broker's."""
    mounted = {
        name: [volume for volume in SERVICES[name]["volumes"] if volume.endswith(":/certs:ro")]
        for name in ("broker", "bridge")
    }
    assert all(volumes[0].endswith(f"/{name}:/certs:ro") for name, volumes in mounted.items())
    assert not any("ca.key" in argument for argument in SERVICES["bridge"]["command"])


def test_the_broker_in_a_container_trusts_the_names_that_it_trusts_elsewhere() -> None:
    said = SERVICES["broker"]["command"]
    assert {word.removeprefix("--trusted=") for word in said if word.startswith("--trusted=")} == {*TRUSTED}


@pytest.mark.parametrize("name", REQUIRED)
def test_nothing_but_the_engines_takes_the_certificate_of_a_client_with_a_session(name: str) -> None:
    """Mosquitto gives a client its certificate's name for its id: whoever has the bridge's ends the bridge's session.

    That happened: a bench lifted the broker's limits with it, by a clean session, and what waited in the bridge's
    was gone.
    """
    constant = name.upper().replace("-", "_")
    users = [
        path
        for folder in ("bench", "simulator", "testbed", "tests/e2e", "tests/faults")
        for path in (REPOSITORY / folder).rglob("*.py")
        if path.parent != REPOSITORY / "testbed" / "engines"
        and re.search(rf"client_certificate\([^)]*\b{constant}\b|{name}\.(crt|key)", path.read_text())
    ]
    assert not users


def test_the_bridge_in_a_container_calls_aws_where_it_is_told(tmp_path: Path) -> None:
    """The fault proxy, while `make drills WHAT=faults` runs."""
    assert "--aws-endpoint-url=${BRIDGE_CALLS:-http://localstack:4566}" in SERVICES["bridge"]["command"]
    place = Place(tmp_path, Ports(aws=1, mqtt=2, metrics=3), "eu-central-1", bridge_calls="http://proxy:5")
    assert compose._environment(place)["BRIDGE_CALLS"] == "http://proxy:5"
    assert compose._environment(replace(place, bridge_calls=""))["BRIDGE_CALLS"] == "http://localstack:4566"


@pytest.fixture
def no_daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Name a Docker daemon that is asked for, and is not there."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    containers.forget_daemon()
    yield
    containers.forget_daemon()


@pytest.mark.usefixtures("no_daemon")
@pytest.mark.parametrize(
    ("wanted", "chosen"), [(None, "embedded"), ("embedded", "embedded"), ("localstack", "localstack")]
)
def test_without_a_docker_daemon_the_engine_needs_none(wanted: EngineName | None, chosen: EngineName) -> None:
    name, why = choice.choose(wanted)
    assert name == chosen
    assert why


@pytest.mark.usefixtures("no_daemon")
def test_of_a_container_nothing_is_known_without_its_daemon() -> None:
    """It may well run: what says that it died would have `make up` start all of it anew."""
    container = Container("broker", "ev-swap-broker-1")
    with pytest.raises(TestbedError, match="does not answer"):
        container.alive()
    assert container.where == "docker logs ev-swap-broker-1"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the daemon is in a virtual machine")
def test_localstack_is_given_the_socket_of_the_daemon_that_we_talk_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DOCKER_SOCKET", raising=False)
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    assert containers.socket_path() == "/var/run/docker.sock"
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/user/1000/docker.sock")
    assert containers.socket_path() == "/run/user/1000/docker.sock"
    monkeypatch.setenv("DOCKER_SOCKET", "/elsewhere.sock")
    assert containers.socket_path() == "/elsewhere.sock"
