"""The short form of `make drills WHAT=parity`: what is up answers as the record of its own engine says."""

import json

import pytest

from testbed.deploy.deployment import Deployment
from testbed.drills.parity import compare, scenario
from testbed.paths import REPOSITORY


def test_what_is_up_answers_as_its_record(deployment: Deployment) -> None:
    if deployment.target == "aws":
        pytest.skip("no record of AWS is kept")
    name = "embedded" if deployment.local_engine.name == "embedded" else "localstack"
    recorded = json.loads((REPOSITORY / "tests" / "parity" / f"{name}.json").read_text())
    seen = json.loads(json.dumps(scenario.record(deployment, print)))
    found = compare.gaps(recorded, seen, f"{name} {name}")
    assert not [gap for gap in found if not gap.reason], compare.table(found, name, name)
