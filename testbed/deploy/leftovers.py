"""What of a deployment is still in the account: by its tags, and by its names where AWS lists no tags.

The Resource Groups Tagging API lists most of what Terraform tags; roles, alarms of a name, dashboards, IoT policies and
API Gateway's usage plans are asked for directly. Something may be found twice, under its ARN and its name.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import boto3
from botocore.exceptions import ClientError

# What is asked for by name instead: inactive task definitions keep their tags, and on ministack 1.5.33 so do
# distributions.
_TAGGED_WHEN_GONE = re.compile(r"^arn:aws:cloudfront:|:task-definition/")

# The tagging API goes on listing what is deleted, for hours ("GetResources", Resource Groups Tagging API reference: it
# returns "all the tagged or previously tagged resources"). So each ARN is looked up where the resource itself is:
# pattern, service, operation and its arguments from the pattern's groups.
_LOOK_UP: tuple[tuple[str, str, str, Callable[[re.Match[str]], dict[str, Any]]], ...] = (
    (r":sqs:[^:]+:(\d+):(.+)", "sqs", "get_queue_url", lambda m: {"QueueName": m[2], "QueueOwnerAWSAccountId": m[1]}),
    (r":kinesis:[^:]+:\d+:stream/(.+)", "kinesis", "describe_stream_summary", lambda m: {"StreamName": m[1]}),
    (r":sns:[^:]+:\d+:[^:]+$", "sns", "get_topic_attributes", lambda m: {"TopicArn": m.string}),
    (r":dynamodb:[^:]+:\d+:table/([^/]+)$", "dynamodb", "describe_table", lambda m: {"TableName": m[1]}),
    (r":lambda:[^:]+:\d+:function:(.+)", "lambda", "get_function", lambda m: {"FunctionName": m[1]}),
    (r":lambda:[^:]+:\d+:event-source-mapping:(.+)", "lambda", "get_event_source_mapping", lambda m: {"UUID": m[1]}),
    (r":s3:::([^/]+)$", "s3", "head_bucket", lambda m: {"Bucket": m[1]}),
    (r":iam::\d+:role/(?:.*/)?([^/]+)$", "iam", "get_role", lambda m: {"RoleName": m[1]}),
    (r":logs:[^:]+:\d+:log-group:([^:]+)", "logs", "list_tags_for_resource",
     lambda m: {"resourceArn": m.string.removesuffix(":*")}),
    (r":cloudwatch:[^:]+:\d+:alarm:", "cloudwatch", "list_tags_for_resource", lambda m: {"ResourceARN": m.string}),
    (r":apigateway:[^:]+::/restapis/([^/]+)$", "apigateway", "get_rest_api", lambda m: {"restApiId": m[1]}),
    (r":apigateway:[^:]+::/restapis/([^/]+)/stages/([^/]+)$", "apigateway", "get_stage",
     lambda m: {"restApiId": m[1], "stageName": m[2]}),
    (r":apigateway:[^:]+::/apikeys/([^/]+)$", "apigateway", "get_api_key", lambda m: {"apiKey": m[1]}),
    (r":apigateway:[^:]+::/usageplans/([^/]+)$", "apigateway", "get_usage_plan", lambda m: {"usagePlanId": m[1]}),
    (r":iot:[^:]+:\d+:policy/(.+)", "iot", "get_policy", lambda m: {"policyName": m[1]}),
    (r":iot:[^:]+:\d+:rule/(.+)", "iot", "get_topic_rule", lambda m: {"ruleName": m[1]}),
    (r":events:[^:]+:\d+:rule/([^/]+)$", "events", "describe_rule", lambda m: {"Name": m[1]}),
    (r":glue:[^:]+:\d+:database/(.+)", "glue", "get_database", lambda m: {"Name": m[1]}),
    (r":athena:[^:]+:\d+:workgroup/(.+)", "athena", "get_work_group", lambda m: {"WorkGroup": m[1]}),
    (r":wafv2:[^:]+:\d+:regional/webacl/([^/]+)/(.+)", "wafv2", "get_web_acl",
     lambda m: {"Name": m[1], "Id": m[2], "Scope": "REGIONAL"}),
)  # fmt: skip

# What the services say of what is not there; AWS IoT refuses to tell whether a rule is there, and Athena calls a
# workgroup that is gone an invalid request.
_GONE = re.compile(r"NotFound|NoSuch|NonExistent|Nonexistent|DoesNotExist|^404$")
_GONE_IN = {"get_topic_rule": "UnauthorizedException", "get_work_group": "InvalidRequestException"}


def leftovers(session: boto3.Session, project: str, environment: str) -> list[str]:
    """Everything that is left, sorted; an empty list is the proof that nothing is."""
    prefix = f"{project}-{environment}"
    found = set(_tagged(session, project, environment))
    for names in _LISTS:
        found |= set(names(session, prefix))
    return sorted(found)


def _tagged(session: boto3.Session, project: str, environment: str) -> Iterator[str]:
    filters = [{"Key": "Project", "Values": [project]}, {"Key": "Environment", "Values": [environment]}]
    for page in _pages(session, "resourcegroupstaggingapi", "get_resources", TagFilters=filters):
        arns = (resource["ResourceARN"] for resource in page["ResourceTagMappingList"])
        yield from (arn for arn in arns if not _TAGGED_WHEN_GONE.search(arn) and _is_there(session, arn))


def _is_there(session: boto3.Session, arn: str) -> bool:
    """Return whether a tagged resource still is; what nobody here knows how to ask for is said to be."""
    for pattern, service, operation, arguments in _LOOK_UP:
        if match := re.search(pattern, arn):
            client: Any = session.client(service)  # type: ignore[call-overload]
            try:
                getattr(client, operation)(**arguments(match))
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if _GONE.search(code) or _GONE_IN.get(operation) == code:
                    return False
                raise
            return True
    return True


def _pages(
    session: boto3.Session, service: str, operation: str, **arguments: Any
) -> Iterator[dict[str, Any]]:
    client: Any = session.client(service)  # type: ignore[call-overload]
    if client.can_paginate(operation):
        yield from client.get_paginator(operation).paginate(**arguments)
    else:
        yield getattr(client, operation)(**arguments)


def _named(
    label: str, service: str, operation: str, items: str, name: str, *, underscores: bool = False
) -> Callable[[boto3.Session, str], Iterator[str]]:
    """Return a list of what begins with the prefix: ``name`` of each of ``items`` in the answers of ``operation``."""

    def names(session: boto3.Session, prefix: str) -> Iterator[str]:
        # Whole words: ev-swap-dev is not ev-swap-dev2.
        wanted = f"{prefix}-".replace("-", "_") if underscores else f"{prefix}-"
        for page in _pages(session, service, operation):
            for item in page.get(items, []):
                value = item if isinstance(item, str) else item[name]
                # Of a queue's URL and of a log group's path the last part is the name.
                own = value.rsplit("/", 1)[-1]
                if own == prefix or own.startswith(wanted):
                    yield f"{label} {value}"

    return names


def _cloudfront(session: boto3.Session, prefix: str) -> Iterator[str]:
    """CloudFront is of no region, so that a region's tagging API may not know it; all of it has one name."""
    wanted = f"{prefix}-dashboard"
    for page in _pages(session, "cloudfront", "list_distributions"):
        for item in page["DistributionList"].get("Items", []):
            if item["Comment"] == wanted:
                yield f"distribution {item['Id']} ({wanted})"
    for page in _pages(session, "cloudfront", "list_origin_access_controls"):
        for item in page["OriginAccessControlList"].get("Items", []):
            if item["Name"] == wanted:
                yield f"origin access control {wanted}"
    for page in _pages(session, "cloudfront", "list_response_headers_policies", Type="custom"):
        for item in page["ResponseHeadersPolicyList"].get("Items", []):
            if item["ResponseHeadersPolicy"]["ResponseHeadersPolicyConfig"]["Name"] == wanted:
                yield f"response headers policy {wanted}"


def _budgets(session: boto3.Session, prefix: str) -> Iterator[str]:
    account = session.client("sts").get_caller_identity()["Account"]
    try:
        for page in _pages(session, "budgets", "describe_budgets", AccountId=account):
            for budget in page.get("Budgets", []):
                if budget["BudgetName"].startswith(f"{prefix}-"):
                    yield f"budget {budget['BudgetName']}"
    except ClientError as error:
        # An account without any says so in this way.
        if error.response["Error"]["Code"] != "NotFoundException":
            raise


def _task_definitions(session: boto3.Session, prefix: str) -> Iterator[str]:
    # Terraform makes them inactive, and AWS keeps them so: they run nothing and cost nothing.
    for page in _pages(session, "ecs", "list_task_definition_families", status="ACTIVE"):
        yield from (f"task definition {name}" for name in page["families"] if name.startswith(f"{prefix}-"))


_LISTS: tuple[Callable[[boto3.Session, str], Iterator[str]], ...] = (
    _named("function", "lambda", "list_functions", "Functions", "FunctionName"),
    _named("queue", "sqs", "list_queues", "QueueUrls", ""),
    _named("table", "dynamodb", "list_tables", "TableNames", ""),
    _named("bucket", "s3", "list_buckets", "Buckets", "Name"),
    _named("role", "iam", "list_roles", "Roles", "RoleName"),
    _named("log group", "logs", "describe_log_groups", "logGroups", "logGroupName"),
    _named("alarm", "cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
    _named("dashboard", "cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"),
    _named("REST API", "apigateway", "get_rest_apis", "items", "name"),
    _named("API key", "apigateway", "get_api_keys", "items", "name"),
    _named("usage plan", "apigateway", "get_usage_plans", "items", "name"),
    _named("cluster", "ecs", "list_clusters", "clusterArns", ""),
    _task_definitions,
    _named("schedule", "events", "list_rules", "Rules", "Name"),
    _named("IoT policy", "iot", "list_policies", "policies", "policyName"),
    _named("IoT rule", "iot", "list_topic_rules", "rules", "ruleName", underscores=True),
    _cloudfront,
    _budgets,
)
