"""`make bench WHAT=fleet`, in short: every generator that needs no other registry than PyPI, on a real Mosquitto."""

from pathlib import Path

import pytest

from bench.fleet import runner
from bench.fleet.command import ratios
from bench.fleet.generators import MosquittoPub, Ours
from bench.fleet.load import Cost, Load, run
from bench.fleet.runner import Publishing, Scale
from testbed.engines.mosquitto import ensure_clients, ensure_mosquitto
from testbed.errors import TestbedError


@pytest.fixture(scope="module", autouse=True)
def mosquitto() -> None:
    """Install the broker and its clients where they are missing."""
    try:
        ensure_mosquitto()
        ensure_clients()
    except TestbedError as error:
        pytest.skip(str(error))


def test_all_scenarios_give_figures(tmp_path: Path) -> None:
    """Publishing over TCP and mutual TLS, connections and the fan-in, where all that was published arrives."""
    scale = Scale(
        messages=20_000,
        rounds=1,
        connections=25,
        mtls_connections=25,
        ramp=100,
        hold=0.5,
        fan_in=20,
        fan_in_seconds=2,
    )
    report = runner.run([Ours(tmp_path), MosquittoPub(tmp_path)], scale, tmp_path, lambda _: None)
    assert report.left_out == {}
    for published in (report.publish_tcp, report.publish_mtls):
        assert [one.name for one in published] == ["simulator", "mosquitto_pub"]
        assert all(one.a_core > 0 for one in published)
    for connected in (report.connect_tcp, report.connect_mtls):
        assert [one.connected for one in connected] == [25]
    [fan_in] = report.fan_in
    assert fan_in.published == fan_in.received == 40


def test_a_generator_that_fails_is_said_and_the_others_go_on(tmp_path: Path) -> None:
    """One broken generator costs its own figures only."""

    class Broken(MosquittoPub):
        name = "broken"

        def prepare(self) -> None:
            raise TestbedError("It cannot be had.")

    said: list[str] = []
    scale = Scale(messages=20_000, rounds=1, connections=0, mtls_connections=0, fan_in=0)
    report = runner.run([Broken(tmp_path), MosquittoPub(tmp_path)], scale, tmp_path, said.append)
    assert set(report.left_out) == {"broken"}
    assert [one.name for one in report.publish_tcp] == ["mosquitto_pub"]
    assert any("broken is left out" in line for line in said)


def test_ratios_are_with_the_best_peer() -> None:
    """The peers are those of Python, and of all languages; our own second row is no peer."""
    published = [
        Publishing("simulator", "Python", 1, 10, 1),
        Publishing("simulator, telemetry", "Python", 1, 1, 1),
        Publishing("slow", "Python", 1, 40, 1),
        Publishing("better", "Python", 1, 25, 1),
        Publishing("c", "C", 1, 5, 1),
    ]
    assert ratios(published) == "2.50 times better's, the best in Python; 0.50 times c's, the best of all"


def test_a_generator_that_does_not_get_there_is_ended_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for 25 connections it makes one and stays: the broker has seen one, and the run goes on."""
    monkeypatch.setattr(runner, "_START_SECONDS", 1.0)

    class OneConnection(MosquittoPub):
        name, connections = "one connection", True

        def run(self, load: Load) -> Cost:
            command = ["mosquitto_sub", "-h", load.host, "-p", str(load.port), "-t", "nothing"]
            if len(load.names) < 25:
                command += ["-W", "1", "-E"]
            return run(command, log=self.log, load=load)

    scale = Scale(messages=0, connections=25, mtls_connections=0, ramp=100, hold=1, fan_in=0)
    report = runner.run([OneConnection(tmp_path)], scale, tmp_path, lambda _: None)
    [found] = report.connect_tcp
    assert (found.asked, found.connected) == (25, 1)
    assert "was ended" in found.failed
