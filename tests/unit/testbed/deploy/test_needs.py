"""What preflight asks an account for is what Terraform makes, by names that the deployer's policies know."""

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from testbed.deploy import policies
from testbed.deploy.design import replica_regions, switches
from testbed.deploy.enforced_iam import as_list
from testbed.deploy.needs import SWITCHED, Need, Site, needs
from testbed.paths import TERRAFORM

ACCOUNT = "123456789012"
SITE = Site(ACCOUNT, "eu-central-1", "battery-net", "dev", policies.boundary_arn("battery-net", ACCOUNT))
ALL = list(needs(SWITCHED))

# A resource type's first word, where boto3 calls the service otherwise; None: every region has it, or none.
SERVICES = {
    "api": "apigateway",
    "appautoscaling": "application-autoscaling",
    "budgets": None,
    "cloudfront": None,
    "iam": None,
    "security": "ec2",
}
_BEFORE = {"aws_cloudwatch_log": "logs", "aws_cloudwatch_event": "events"}


def granting(need: Need) -> list[dict[str, Any]]:
    """Return the deployer's statements that allow a need at its own resource."""
    return [
        statement
        for name in ("deploy", "options", "operate")
        for statement in policies.render(name, project=SITE.project, account=ACCOUNT)["Statement"]
        if need.action in as_list(statement["Action"])
        and any(fnmatchcase(SITE.arn(need), pattern) for pattern in as_list(statement["Resource"]))
    ]


@pytest.mark.parametrize("need", ALL, ids=lambda need: need.action)
def test_the_deployer_has_what_preflight_asks_for(need: Need) -> None:
    """Or who has our own policy would be told that it fails."""
    [statement] = granting(need)
    conditions = statement.get("Condition", {}).get("StringEquals", {})
    assert set(conditions) <= set(need.context)
    for key, value in need.context.items():
        assert (value or SITE.boundary) in as_list(conditions[key])


def test_each_service_of_the_configuration_is_asked_for() -> None:
    wanted = set()
    for path in TERRAFORM.glob("*.tf"):
        for kind in re.findall(r'^resource "(\w+)"', path.read_text(), re.MULTILINE):
            special = [service for prefix, service in _BEFORE.items() if kind.startswith(prefix)]
            word = kind.split("_")[1]
            wanted.add(special[0] if special else SERVICES.get(word, word))
    assert {need.service for need in ALL if need.service} == wanted - {None}


def test_what_is_switched_on_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in SWITCHED:
        monkeypatch.delenv(f"TF_VAR_{name}", raising=False)
    defaults = tmp_path / "dev.tfvars"
    defaults.write_text('monthly_budget_usd = 50\ningest = "sqs"\nreplica_regions = []\n')
    assert switches(defaults) == {"analytics", "monthly_budget_usd"}
    monkeypatch.setenv("TF_VAR_ingest", "kinesis")
    monkeypatch.setenv("TF_VAR_analytics", "false")
    monkeypatch.setenv("TF_VAR_replica_regions", '["eu-west-1"]')
    assert switches(defaults) == {"ingest", "monthly_budget_usd", "replica_regions"}
    monkeypatch.delenv("TF_VAR_replica_regions")
    defaults.write_text('replica_regions = ["eu-west-1"]\n')
    assert "replica_regions" in switches(defaults)
    assert replica_regions(defaults) == ["eu-west-1"]
    monkeypatch.setenv("TF_VAR_replica_regions", '["us-east-1", "ap-southeast-2"]')
    assert replica_regions(defaults) == ["us-east-1", "ap-southeast-2"], "each is told in the bill"
    assert switches(TERRAFORM / "environments" / "prod.tfvars") >= {"enable_waf", "ingest"}
