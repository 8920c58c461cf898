"""What a deployment needs on ministack 1.5.33 with IAM enforced (``ENFORCE_IAM=1``), where that differs from AWS.

- The bucket's policy refuses plain HTTP, rightly; and plain HTTP is all that is spoken on loopback. That one
  statement is taken out.
- CloudWatch asks of `DescribeAlarms` by a prefix for the account's ``alarm:*``; ministack asks for ``*``.
- AWS has no action `sqs:SendMessageBatch`: the call wants `sqs:SendMessage` ("Amazon SQS API permissions", developer
  guide). ministack asks for an action by the call's name, so who may send gets that, too.
"""

import json
from collections.abc import Iterator
from typing import Any

from testbed.deploy.deployment import Deployment

_TLS_ONLY = "TlsOnly"
BATCHES = "ministack-sqs-batches"
_ALARMS = "cloudwatch:DescribeAlarms"


def adapt(deployment: Deployment) -> None:
    """Change what was applied; again after every apply."""
    s3, bucket = deployment.client("s3"), deployment.outputs.telemetry_bucket_name
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    kept = [statement for statement in policy["Statement"] if statement.get("Sid") != _TLS_ONLY]
    if kept:
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy | {"Statement": kept}))
    else:
        s3.delete_bucket_policy(Bucket=bucket)
    iam = deployment.client("iam")
    for role in roles(iam, deployment.outputs.stations_table_name.removesuffix("stations")):
        grant_batches(iam, role)


def roles(iam: Any, prefix: str) -> Iterator[str]:
    """Yield the names of the roles that begin with ``prefix``."""
    for page in iam.get_paginator("list_roles").paginate():
        yield from (role["RoleName"] for role in page["Roles"] if role["RoleName"].startswith(prefix))


def policies(iam: Any, role: str) -> dict[str, dict[str, Any]]:
    """Return the role's inline policies by name, without what was added here."""
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    return {
        name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for name in names
        if name != BATCHES
    }


def grant_batches(iam: Any, role: str) -> None:
    """Let the role send batches to the queues that it may send to, and to no other; alarms likewise."""
    documents = policies(iam, role)
    added = batches(documents.values())
    if any(
        _ALARMS in as_list(each["Action"])
        for document in documents.values()
        for each in document["Statement"]
    ):
        added["Statement"].append({"Sid": "Alarms", "Effect": "Allow", "Action": _ALARMS, "Resource": "*"})
    if added["Statement"]:
        iam.put_role_policy(RoleName=role, PolicyName=BATCHES, PolicyDocument=json.dumps(added))
    else:
        withdraw_batches(iam, role)


def withdraw_batches(iam: Any, role: str) -> None:
    """Take what `grant_batches` granted."""
    if BATCHES in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        iam.delete_role_policy(RoleName=role, PolicyName=BATCHES)


def batches(documents: Any) -> dict[str, Any]:
    """Return a policy with `sqs:SendMessageBatch` wherever ``documents`` have `sqs:SendMessage`."""
    statements = [
        statement | {"Sid": f"Batches{number}", "Action": "sqs:SendMessageBatch"}
        for number, statement in enumerate(
            statement for document in documents for statement in document["Statement"]
        )
        if "sqs:SendMessage" in as_list(statement["Action"])
    ]
    return {"Version": "2012-10-17", "Statement": statements}


def as_list(value: Any) -> list[Any]:
    """Return what IAM writes as one or as many."""
    return value if isinstance(value, list) else [value]
