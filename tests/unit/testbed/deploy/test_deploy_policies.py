"""The policies of who deploys: whole, small enough for IAM, and no way round them."""

import json
import re

import pytest

from testbed.deploy import policies
from testbed.errors import TestbedError
from testbed.paths import TERRAFORM

FILLED = {"project": "battery-net", "account": "123456789012", "repository": "owner/name"}


def statements(name: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = policies.render(name, **FILLED)["Statement"]
    return found


def actions(statement: dict[str, object]) -> list[str]:
    value = statement["Action"]
    return [value] if isinstance(value, str) else list(value)  # type: ignore[call-overload]


@pytest.mark.parametrize("name", policies.names())
def test_each_policy_is_filled_in_and_fits_into_iam(name: str) -> None:
    """IAM user guide, "IAM and AWS STS quotas": 6,144 characters of a managed policy, 2,048 of a trust policy."""
    document = policies.render(name, **FILLED)
    text = json.dumps(document, separators=(",", ":"))
    assert len(text) <= (2048 if name.startswith("trust-") else policies.MOST_CHARACTERS)
    assert "ev-swap" not in text
    assert not re.search(r"\$\{(project|account|repository)\}", text)


def test_the_deployer_cannot_make_itself_more_than_it_is() -> None:
    """IAM user guide, "Permissions boundaries for IAM entities": delegating without a way to more rights."""
    boundary = policies.boundary_arn(FILLED["project"], FILLED["account"])
    for statement in statements("deploy"):
        for action in actions(statement):
            if action in ("iam:CreateRole", "iam:PutRolePolicy", "iam:PutRolePermissionsBoundary"):
                assert statement["Condition"] == {"StringEquals": {"iam:PermissionsBoundary": boundary}}, (
                    action
                )
            if action == "iam:PassRole":
                assert "iam:PassedToService" in statement["Condition"]["StringEquals"]  # type: ignore[index]
            if action.startswith("iam:") and not action.startswith(("iam:List", "iam:Simulate")):
                assert statement["Resource"] != "*", action
            assert action not in (
                "iam:*",
                "iam:AttachRolePolicy",
                "iam:CreatePolicyVersion",
                "iam:CreatePolicy",
                "iam:DeleteRolePermissionsBoundary",
                "iam:SetDefaultPolicyVersion",
                "iam:CreateUser",
                "iam:CreateAccessKey",
            )


def test_data_services_are_granted_by_the_projects_names_alone() -> None:
    for statement in statements("deploy"):
        wide = [
            action for action in actions(statement) if action in ("s3:*", "dynamodb:*", "lambda:*", "sqs:*")
        ]
        if wide:
            for resource in statement["Resource"]:  # type: ignore[attr-defined]
                service = resource.split(":")[2]
                if service in ("s3", "dynamodb", "sqs", "sns") or ":function:" in resource:
                    assert "battery-net-" in resource


def test_the_boundary_covers_every_action_that_terraform_grants() -> None:
    """Or a role would be refused what its policy allows."""
    text = "".join(path.read_text() for path in TERRAFORM.glob("*.tf"))
    granted = set(re.findall(r'"((?:dynamodb|s3|sqs|kinesis|logs|xray|cloudwatch|iot|ecr):[A-Z]\w+)"', text))
    allowed = {action for statement in statements("boundary") for action in actions(statement)}
    assert granted - allowed == set()
    assert allowed.isdisjoint({"iam:PassRole", "lambda:InvokeFunction"})
    # One role may be assumed, by the API's handler; it has this boundary itself.
    assuming = [statement for statement in statements("boundary") if "sts:AssumeRole" in actions(statement)]
    assert [statement["Resource"] for statement in assuming] == [
        f"arn:aws:iam::{FILLED['account']}:role/{FILLED['project']}-*-commands"
    ]


def test_the_planner_writes_nothing_but_the_lock() -> None:
    for statement in statements("plan"):
        for action in actions(statement):
            verb = action.split(":")[1]
            if not verb.startswith(("Get", "List", "Describe", "GET", "View", "Simulate")):
                assert statement["Resource"].endswith("*.tfstate.tflock")  # type: ignore[attr-defined]


def test_a_role_is_for_the_jobs_of_one_repositorys_environments() -> None:
    """GitHub: the subject of a job with an environment is repo:OWNER/NAME:environment:NAME."""
    [deploy], [plan] = statements("trust-deploy"), statements("trust-plan")
    key = "token.actions.githubusercontent.com:sub"
    assert deploy["Condition"]["StringEquals"][key] == [  # type: ignore[index]
        "repo:owner/name:environment:dev",
        "repo:owner/name:environment:prod",
    ]
    assert plan["Condition"]["StringEquals"][key] == "repo:owner/name:environment:planning"  # type: ignore[index]
    with pytest.raises(TestbedError, match="one repository"):
        policies.render("trust-plan", project="p", account="1", repository="")
