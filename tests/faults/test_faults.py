"""The short form of `make drills WHAT=faults`: parts die under load, and the audit is clean."""

import os

import pytest

from testbed.deploy.deployment import Deployment
from testbed.drills.faults import runner


def test_nothing_is_lost_while_parts_die(deployment: Deployment) -> None:
    """FAULT_SEED repeats a failure, FAULT_SECONDS makes it longer, FAULT_ONLY names faults."""
    if deployment.target == "aws":
        pytest.skip("faults are for local deployments")
    seed, seconds = int(os.environ.get("FAULT_SEED", "1")), float(os.environ.get("FAULT_SECONDS", "15"))
    only = list(filter(None, [os.environ.get("FAULT_ONLY")]))
    report = runner.run(deployment, print, seconds=seconds, seed=seed, stations=20, interval=0.5, only=only)
    assert report.failed == []
    assert any(fault.hits for fault in report.injected)
    # Five messages of each station: how many more there are is a matter of the machine.
    assert report.audit.acknowledged > 20 * 5
    assert report.audit.missing == []
    assert report.audit.wrong_state == []
    assert report.audit.wrong_points == []
    assert report.audit.still_queued == 0
    assert (report.lost_poison, report.stored_poison) == ([], [])
    assert report.audit.operations
    assert report.audit.operations.found == []
    # At five stations two operators contend while they are away, and five are sent commands when they are back.
    assert report.operators["changes accepted"] >= 5
    assert report.audit.operations.commands_answered >= 5
