"""Short forms of the benchmarks of a deployment: they run to their end, and what they count is what was sent."""

import json
import os
from pathlib import Path

import pytest

from bench import bridge
from bench.pipeline import connects, growth, handler
from bench.pipeline import run as pipeline
from testbed.deploy.deployment import Deployment
from testbed.errors import TestbedError
from tests.e2e.conftest import PATIENCE_SECONDS

pytestmark = pytest.mark.skipif(
    os.environ.get("TARGET") == "aws", reason="the benchmarks measure what runs on this machine"
)


def test_the_pipeline_and_the_other_path_store_what_is_sent(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "_ROUNDS", 1)
    monkeypatch.setattr(pipeline, "_CLIENTS", 4)
    monkeypatch.setattr(pipeline, "_LATENCY_ROUNDS", 1)
    monkeypatch.setattr(pipeline, "_NATIVE_FIRST_RATE", 20)
    report = tmp_path / "pipeline.json"
    pipeline.run(deployment, pipeline.Scale(50, 1, 1, first_rate=20, most_rates=1), print, report=report)
    figures = json.loads(report.read_text())["figures"]
    assert [each["stored"] for each in figures["bursts"]] == [50, 50]
    assert [each["stored"] for each in figures["steady"]] == [20, 20]
    assert figures["held"]["stored"] == 20
    # What the broker acknowledged: a burst, two steady rates and two rounds of four stations.
    assert figures["audit"]["acknowledged_archived"] == 50 + 20 + 20 + 2 * 4
    assert figures["audit"]["missing_count"] == 0


def test_the_bridge_carries_every_message_to_the_queue(deployment: Deployment, tmp_path: Path) -> None:
    """It counts what came into the queue itself, and fails where one is missing."""
    report = tmp_path / "bridge.json"
    bridge.run(deployment, print, messages=100, minutes=0.01, rate=100, report=report)
    figures = json.loads(report.read_text())
    assert figures["ratio"] > 0
    assert min(figures["memory"][0]["bridge"], figures["memory"][0]["broker"]) > 10


def test_growth_counts_what_a_fleet_sent(deployment: Deployment, name: str) -> None:
    """A fleet's messages are stored, timed and audited; parts have a cost."""
    scale = growth.GrowthScale(sizes=(3,), interval=0.5, seconds=2, ramp=50)
    if "processes of this machine" in deployment.local_engine.lacks.features:
        with pytest.raises(TestbedError):
            growth.run(deployment, scale, print)
        pytest.skip("growth counts processes of this machine, and this engine is in containers")
    found = growth.run(deployment, scale, print, prefix=f"{name[:30]}-")
    [step] = found.steps
    assert (step.connected, step.disconnects) == (3, 0)
    assert step.acknowledged == pytest.approx(6, abs=3)
    # Until when S3 says that the batch was there: LocalStack 4.14.0 says it in whole seconds.
    assert -1 < step.latency_p50 <= step.latency_p99 < PATIENCE_SECONDS
    assert step.cpu.bridge + step.cpu.emulator > 0
    assert min(step.memory.simulator, step.memory.broker, step.memory.functions) > 10
    assert found.audit.clean
    assert found.audit.acknowledged_archived == found.audit.acknowledged > 0


def test_connects_are_weighed_against_bare_handshakes(deployment: Deployment, name: str) -> None:
    """Each of a fleet's connects costs something in broker and simulator, and more than a handshake."""
    scale = connects.ConnectScale(stations=2, ramp=50, idle=0.1, handshakes=2)
    if "processes of this machine" in deployment.local_engine.lacks.features:
        with pytest.raises(TestbedError):
            connects.run(deployment, scale, print)
        return
    for found in connects.run(deployment, scale, print, prefix=f"{name[:30]}-"):
        assert found.handshake > 0
        assert found.ratio > 1
        assert {"broker", "simulator"} < set(found.milliseconds)
