"""The short form of `make bench`: both paths carry a burst and a steady rate, and what is counted is what was sent."""

import os
from pathlib import Path

import pytest

from bench.pipeline import growth, native
from bench.pipeline.paths import Pipeline, burst, steady
from bench.pipeline.publishers import Publishers
from testbed.deploy.deployment import Deployment
from testbed.identity.enrolment import Enrolment
from testbed.proofs.audit import audit
from tests.e2e.conftest import PATIENCE_SECONDS


@pytest.mark.skipif(os.environ.get("TARGET") == "aws", reason="the other path is an emulator's")
def test_both_paths_store_what_is_sent(
    deployment: Deployment, enrolment: Enrolment, name: str, tmp_path: Path
) -> None:
    enrolment.enrol([name])
    ledger = tmp_path / "ledger.ndjson"
    publishers = Publishers(
        deployment.mqtt_host,
        deployment.mqtt_port,
        ca=deployment.server_ca,
        certificates=deployment.certificates,
        names=[name],
        ledger=ledger,
    )
    try:
        with native.running(tmp_path, [name]) as theirs:
            for path in (Pipeline(deployment, publishers, 1), theirs):
                assert burst(path, 50).stored == 50, path.name
                assert steady(path, 20, 2).stored == 40, path.name
    finally:
        publishers.close()
        enrolment.remove([name])
    found = audit(deployment, [ledger], wait_seconds=PATIENCE_SECONDS)
    assert (found.acknowledged_archived, found.missing_count) == (90, 0)


@pytest.mark.skipif(os.environ.get("TARGET") == "aws", reason="what AWS's parts cost cannot be seen")
def test_growth_counts_what_a_fleet_sent(deployment: Deployment, name: str) -> None:
    """`make bench WHAT=growth` in short: a fleet's messages are stored, timed and audited; parts have a cost."""
    scale = growth.GrowthScale(sizes=(3,), interval=0.5, seconds=2, ramp=50)
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
