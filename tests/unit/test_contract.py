"""The contract by the newest SDK (tests/contract): whole, and each of its calls is one that who deploys may make."""

import re
from collections.abc import Iterator

import pytest

from testbed.deploy import policies
from testbed.drills.rehearsal import rights
from testbed.paths import REPOSITORY, TERRAFORM
from tests import newest_sdk

SOURCES = "".join(path.read_text() for path in sorted((REPOSITORY / "tests" / "contract").glob("*.go")))

# Go packages whose service has another name in IAM.
SERVICES = {
    "applicationautoscaling": "application-autoscaling",
    "cloudwatchlogs": "logs",
    "eventbridge": "events",
}

# Calls whose action has another name (Service Authorization Reference: "Actions defined by Amazon S3", and others).
NAMES = {
    "cloudfront:CreateDistributionWithTags": "cloudfront:CreateDistribution",
    "s3:DeleteBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:DeleteBucketLifecycle": "s3:PutLifecycleConfiguration",
    "s3:DeletePublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "s3:GetBucketAccelerateConfiguration": "s3:GetAccelerateConfiguration",
    "s3:GetBucketCors": "s3:GetBucketCORS",
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3:GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "s3:GetBucketReplication": "s3:GetReplicationConfiguration",
    "s3:GetObjectLockConfiguration": "s3:GetBucketObjectLockConfiguration",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
    "s3:PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
}
# API Gateway's actions are the verbs of HTTP; a budget's are two.
VERBS = {"Create": "POST", "Delete": "DELETE", "Get": "GET", "Put": "PUT", "Update": "PATCH"}

NOT_GRANTED = {
    "sts:GetCallerIdentity": "AWS asks for no right to it",
    "iam:CreatePolicy": "an administrator makes the boundary",
    "iam:DeletePolicy": "an administrator makes the boundary",
    "iam:DeleteRolePermissionsBoundary": "the deployer would be administrator",
}
# Reads that come before a change or a delete.
NOT_PLANNED = {
    "iam:ListInstanceProfilesForRole": "asked before a role is deleted",
    "iot:ListPolicyVersions": "asked before a policy is deleted, or its oldest version",
    "s3:ListBucketVersions": "asked before a bucket is emptied",
}


def calls() -> Iterator[str]:
    """Yield IAM's action of each call that the program's sources make."""
    for package, operation in set(re.findall(r"&(\w+)\.(\w+)Input\{", SOURCES)):
        if package.endswith("types"):
            continue
        if package == "apigateway":
            yield "apigateway:" + next(verb for prefix, verb in VERBS.items() if operation.startswith(prefix))
        elif package == "budgets":
            yield "budgets:ViewBudget" if operation.startswith("Describe") else "budgets:ModifyBudget"
        else:
            call = f"{SERVICES.get(package, package)}:{operation}"
            yield NAMES.get(call, call)


def granted(user: str) -> set[str]:
    """Return what a user's policies grant."""
    return rights.actions(
        policies.render(name, project="battery-net", account="123456789012")
        for name in rights.DOCUMENTS[user]
    )


def test_every_resource_type_of_the_configuration_is_in_the_contract() -> None:
    text = "".join(path.read_text() for path in TERRAFORM.glob("*.tf"))
    wanted = set(re.findall(r'^resource "(\w+)"', text, re.MULTILINE))
    listed = set(re.findall(r'^\s*\{"(aws_\w+)", \w+\},$', SOURCES, re.MULTILINE))
    assert listed == wanted - set(newest_sdk.LEFT_OUT)


def test_the_deployer_may_make_each_call_of_the_contract() -> None:
    """Or a first apply on AWS ends in the middle: a rehearsal has an older provider, which calls less."""
    assert set(calls()) - granted("deployer") == set(NOT_GRANTED)


def test_the_planner_may_make_each_call_of_the_contract_that_reads() -> None:
    reads = {call for call in calls() if re.search(r":(Get|List|Describe|Head|GET|View)", call)}
    assert reads - granted("planner") - set(NOT_GRANTED) == set(NOT_PLANNED)


@pytest.mark.parametrize(
    "call", ["kinesis:IncreaseStreamRetentionPeriod", "application-autoscaling:PutScalingPolicy"]
)
def test_the_calls_of_what_is_off_by_default_are_among_them(call: str) -> None:
    assert call in set(calls())
