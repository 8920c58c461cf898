"""Sets by the AWS API what the old provider cannot: one function for each thing that `derive` drops."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import boto3

from testbed.errors import TestbedError

# What the `terraform_data` are called that carry what was dropped.
DROPPED = "air_gapped_dropped"

Json = dict[str, Any]
Finisher = Callable[[boto3.Session, str | None, Json], None]


def dropped(state: Json) -> list[Json]:
    """Return what was dropped, of Terraform's state: ``{"type", "name", "argument" or null, "value"}``.

    What an argument is of is named by ``id``.
    """
    return [
        instance["attributes"]["input"]["value"]
        for resource in state.get("resources", [])
        if resource["type"] == "terraform_data" and resource["name"].startswith(DROPPED)
        for instance in resource["instances"]
    ]


def finish(session: boto3.Session, endpoint: str | None, state: Json) -> None:
    """Set everything that was dropped.

    Args:
        session: credentials and region.
        endpoint: the engine's URL.
        state: Terraform's, after an apply.

    Raises:
        botocore.exceptions.ClientError: the engine refused one.
    """
    # What is whole first, in the order of `FINISHERS`: an argument may be its id.
    order = list(FINISHERS)
    for drop in sorted(dropped(state), key=lambda drop: order.index((drop["type"], drop["argument"]))):
        FINISHERS[drop["type"], drop["argument"]](session, endpoint, drop)


def withdraw(session: boto3.Session, endpoint: str | None, state: Json) -> None:
    """After ``terraform destroy``, remove what `finish` made and Terraform does not know, if it is there."""
    for drop in dropped(state):
        if (remove := _REMOVERS.get(drop["type"])) and not drop["argument"]:
            remove(session, endpoint, drop)


def _bucket_lifecycle(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    value = drop["value"]
    rules: list[Any] = []
    for rule in value["rule"]:
        known = {
            "ID": rule["id"],
            "Status": rule["status"],
            "Filter": {"Prefix": rule["filter"][0]["prefix"]},
        }
        for transition in rule.get("transition", []):
            known.setdefault("Transitions", []).append(
                {"Days": int(transition["days"]), "StorageClass": transition["storage_class"]}
            )
        for expiration in rule.get("expiration", []):
            known["Expiration"] = {"Days": int(expiration["days"])}
        for abort in rule.get("abort_incomplete_multipart_upload", []):
            known["AbortIncompleteMultipartUpload"] = {
                "DaysAfterInitiation": int(abort["days_after_initiation"])
            }
        rules.append(known)
    session.client("s3", endpoint_url=endpoint).put_bucket_lifecycle_configuration(
        Bucket=value["bucket"], LifecycleConfiguration={"Rules": rules}
    )


def _bucket_encryption(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    value = drop["value"]
    rules: list[Any] = [
        {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": default["sse_algorithm"]}}
        for rule in value["rule"]
        for default in rule["apply_server_side_encryption_by_default"]
    ]
    session.client("s3", endpoint_url=endpoint).put_bucket_encryption(
        Bucket=value["bucket"], ServerSideEncryptionConfiguration={"Rules": rules}
    )


def _bucket_acl(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    session.client("s3", endpoint_url=endpoint).put_bucket_acl(
        Bucket=drop["value"]["bucket"], ACL=drop["value"]["acl"]
    )


def _bucket_versioning(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    [versioning] = drop["value"]["versioning_configuration"]
    session.client("s3", endpoint_url=endpoint).put_bucket_versioning(
        Bucket=drop["value"]["bucket"], VersioningConfiguration={"Status": versioning["status"]}
    )


def _bucket_cors(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    rules: list[Any] = [_camel(rule, upper=True) for rule in drop["value"]["cors_rule"]]
    session.client("s3", endpoint_url=endpoint).put_bucket_cors(
        Bucket=drop["value"]["bucket"], CORSConfiguration={"CORSRules": rules}
    )


def _camel(value: Any, *, upper: bool = False) -> Any:
    """Return what Terraform calls ``log_group_name`` under AWS's name of it, ``logGroupName`` or ``LogGroupName``."""
    if isinstance(value, list):
        return [_camel(part, upper=upper) for part in value]
    if not isinstance(value, dict):
        return value
    named = {}
    for name, part in value.items():
        first, *others = name.split("_")
        word = "".join([first.capitalize() if upper else first, *(each.capitalize() for each in others)])
        named[word.replace("Id", "ID") if upper else word] = _camel(part, upper=upper)
    return named


def _function_setting(name: str) -> Finisher:
    """Return what sets a block of a function's configuration."""

    def finisher(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
        [block] = drop["value"]
        client = session.client("lambda", endpoint_url=endpoint)
        client.update_function_configuration(FunctionName=drop["id"], **{name: _camel(block, upper=True)})
        client.get_waiter("function_updated_v2").wait(FunctionName=drop["id"], WaiterConfig={"Delay": 1})

    return finisher


def _rule_action(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    """Add an action that is newer than the provider to a topic rule, or set it as the error action.

    Names and shapes: AWS IoT API reference, "Action", and Terraform's aws_iot_topic_rule.
    """
    plural = {"header": "headers", "dimension": "dimensions", "httpHeader": "headers"}
    iot = session.client("iot", endpoint_url=endpoint)
    rule: Any = iot.get_topic_rule(ruleName=drop["id"])["rule"]
    payload: Any = {
        name: rule[name]
        for name in ("sql", "description", "actions", "ruleDisabled", "awsIotSqlVersion", "errorAction")
        if rule.get(name) is not None
    }
    name = drop["argument"].rpartition(".")[2]
    for block in drop["value"]:
        body = {plural.get(word, word): value for word, value in _camel(block).items() if value is not None}
        if isinstance(stamp := body.get("timestamp"), list):
            [body["timestamp"]] = stamp
        action = {_ACTIONS[name]: body}
        if drop["argument"].startswith("error_action"):
            payload["errorAction"] = action
        elif action not in payload["actions"]:
            payload["actions"].append(action)
    iot.replace_topic_rule(ruleName=drop["id"], topicRulePayload=payload)


# Terraform's name of an action and AWS's, of those that are newer than the provider.
_ACTIONS = {"cloudwatch_logs": "cloudwatchLogs", "http": "http", "kafka": "kafka", "timestream": "timestream"}


def _thing_group(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    value, iot = drop["value"], session.client("iot", endpoint_url=endpoint)
    properties = _camel((value.get("properties") or [{}])[0])
    for attributes in properties.pop("attributePayload", []):
        properties["attributePayload"] = attributes
    parent = {"parentGroupName": value["parent_group_name"]} if value.get("parent_group_name") else {}
    with suppress(iot.exceptions.ResourceAlreadyExistsException):
        iot.create_thing_group(thingGroupName=value["name"], thingGroupProperties=properties, **parent)


def _remove_thing_group(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    session.client("iot", endpoint_url=endpoint).delete_thing_group(thingGroupName=drop["value"]["name"])


def _thing_group_member(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    value = drop["value"]
    session.client("iot", endpoint_url=endpoint).add_thing_to_thing_group(
        thingGroupName=value["thing_group_name"], thingName=value["thing_name"]
    )


def _redrive(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    value = drop["value"]
    [(name, policy)] = [(name, policy) for name, policy in value.items() if name != "queue_url"]
    attribute: Any = {"redrive_policy": "RedrivePolicy", "redrive_allow_policy": "RedriveAllowPolicy"}[name]
    session.client("sqs", endpoint_url=endpoint).set_queue_attributes(
        QueueUrl=value["queue_url"], Attributes={attribute: policy}
    )


def _table_protection(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    session.client("dynamodb", endpoint_url=endpoint).update_table(
        TableName=drop["id"], DeletionProtectionEnabled=bool(drop["value"])
    )


def _kept_group(session: boto3.Session, endpoint: str | None, drop: Json) -> None:  # noqa: ARG001
    if drop["value"]:
        raise TestbedError(
            f"The air-gapped mode cannot keep {drop['id']} at a destroy (skip_destroy).", "Leave it out."
        )


def _function_runtime(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    client = session.client("lambda", endpoint_url=endpoint)
    client.update_function_configuration(FunctionName=drop["id"], Runtime=drop["value"])
    client.get_waiter("function_updated_v2").wait(FunctionName=drop["id"], WaiterConfig={"Delay": 1})


def _response_types(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    session.client("lambda", endpoint_url=endpoint).update_event_source_mapping(
        UUID=drop["id"], FunctionResponseTypes=drop["value"]
    )


def _scaling(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    session.client("lambda", endpoint_url=endpoint).update_event_source_mapping(
        UUID=drop["id"], ScalingConfig={"MaximumConcurrency": int(drop["value"][0]["maximum_concurrency"])}
    )


def _stream_mode(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    kinesis, [mode] = session.client("kinesis", endpoint_url=endpoint), drop["value"]
    found = kinesis.describe_stream_summary(StreamName=drop["id"].rpartition("/")[2])[
        "StreamDescriptionSummary"
    ]
    if found["StreamModeDetails"]["StreamMode"] != mode["stream_mode"]:
        kinesis.update_stream_mode(
            StreamARN=found["StreamARN"], StreamModeDetails={"StreamMode": mode["stream_mode"]}
        )


def _queue_encryption(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    session.client("sqs", endpoint_url=endpoint).set_queue_attributes(
        QueueUrl=drop["id"], Attributes={"SqsManagedSseEnabled": str(drop["value"]).lower()}
    )


# CloudFront. The distribution has in its comment the name of what it uses: terraform/dashboard.tf says so.


def _origin_access_control(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    cloudfront, value = session.client("cloudfront", endpoint_url=endpoint), drop["value"]
    wanted: Any = {
        "Name": value["name"],
        "Description": value["description"],
        "OriginAccessControlOriginType": value["origin_access_control_origin_type"],
        "SigningBehavior": value["signing_behavior"],
        "SigningProtocol": value["signing_protocol"],
    }
    if found := _find_access_control(cloudfront, value["name"]):
        tag = cloudfront.get_origin_access_control(Id=found)["ETag"]
        cloudfront.update_origin_access_control(Id=found, IfMatch=tag, OriginAccessControlConfig=wanted)
    else:
        cloudfront.create_origin_access_control(OriginAccessControlConfig=wanted)


def _remove_origin_access_control(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    cloudfront = session.client("cloudfront", endpoint_url=endpoint)
    if found := _find_access_control(cloudfront, drop["value"]["name"]):
        tag = cloudfront.get_origin_access_control(Id=found)["ETag"]
        cloudfront.delete_origin_access_control(Id=found, IfMatch=tag)


def _find_access_control(cloudfront: Any, name: str) -> str | None:
    for page in cloudfront.get_paginator("list_origin_access_controls").paginate():
        for item in page["OriginAccessControlList"].get("Items", []):
            if item["Name"] == name:
                return str(item["Id"])
    return None


def _response_headers_policy(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    cloudfront, value = session.client("cloudfront", endpoint_url=endpoint), drop["value"]
    [security] = value["security_headers_config"]
    [content], [types], [frames], [referrer], [transport] = (
        security[name]
        for name in (
            "content_security_policy",
            "content_type_options",
            "frame_options",
            "referrer_policy",
            "strict_transport_security",
        )
    )
    own = [
        {"Header": item["header"], "Value": item["value"], "Override": item["override"]}
        for block in value.get("custom_headers_config", [])
        for item in block["items"]
    ]
    wanted: Any = {
        "Name": value["name"],
        "Comment": value["comment"],
        "SecurityHeadersConfig": {
            "ContentSecurityPolicy": {
                "ContentSecurityPolicy": content["content_security_policy"],
                "Override": content["override"],
            },
            "ContentTypeOptions": {"Override": types["override"]},
            "FrameOptions": {"FrameOption": frames["frame_option"], "Override": frames["override"]},
            "ReferrerPolicy": {
                "ReferrerPolicy": referrer["referrer_policy"],
                "Override": referrer["override"],
            },
            "StrictTransportSecurity": {
                "AccessControlMaxAgeSec": int(transport["access_control_max_age_sec"]),
                "IncludeSubdomains": transport["include_subdomains"],
                "Override": transport["override"],
            },
        },
        "CustomHeadersConfig": {"Quantity": len(own), "Items": own},
    }
    if found := _find_headers_policy(cloudfront, value["name"]):
        tag = cloudfront.get_response_headers_policy(Id=found)["ETag"]
        cloudfront.update_response_headers_policy(Id=found, IfMatch=tag, ResponseHeadersPolicyConfig=wanted)
    else:
        cloudfront.create_response_headers_policy(ResponseHeadersPolicyConfig=wanted)


def _remove_response_headers_policy(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    cloudfront = session.client("cloudfront", endpoint_url=endpoint)
    if found := _find_headers_policy(cloudfront, drop["value"]["name"]):
        tag = cloudfront.get_response_headers_policy(Id=found)["ETag"]
        cloudfront.delete_response_headers_policy(Id=found, IfMatch=tag)


def _find_headers_policy(cloudfront: Any, name: str) -> str | None:
    # No paginator knows it; an account has 20 of its own at most.
    listed = cloudfront.list_response_headers_policies(Type="custom")["ResponseHeadersPolicyList"]
    for item in listed.get("Items", []):
        policy = item["ResponseHeadersPolicy"]
        if policy["ResponseHeadersPolicyConfig"]["Name"] == name:
            return str(policy["Id"])
    return None


def _distribution_reads_its_bucket(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    cloudfront = session.client("cloudfront", endpoint_url=endpoint)
    answer = cloudfront.get_distribution_config(Id=drop["id"])
    wanted: Any = answer["DistributionConfig"]
    for origin in wanted["Origins"]["Items"]:
        origin["OriginAccessControlId"] = _find_access_control(cloudfront, wanted["Comment"])
    cloudfront.update_distribution(Id=drop["id"], IfMatch=answer["ETag"], DistributionConfig=wanted)


def _distribution_sends_headers(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    cloudfront = session.client("cloudfront", endpoint_url=endpoint)
    answer = cloudfront.get_distribution_config(Id=drop["id"])
    wanted: Any = answer["DistributionConfig"]
    wanted["DefaultCacheBehavior"]["ResponseHeadersPolicyId"] = _find_headers_policy(
        cloudfront, wanted["Comment"]
    )
    cloudfront.update_distribution(Id=drop["id"], IfMatch=answer["ETag"], DistributionConfig=wanted)


def _nothing(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    """Leave it: what no local engine has a use for."""


# (resource type, argument) -> what sets it; None for a whole resource, "block.argument" for one in a block.
FINISHERS: dict[tuple[str, str | None], Finisher] = {
    ("aws_s3_bucket_lifecycle_configuration", None): _bucket_lifecycle,
    ("aws_s3_bucket_server_side_encryption_configuration", None): _bucket_encryption,
    ("aws_s3_bucket_acl", None): _bucket_acl,
    ("aws_s3_bucket_versioning", None): _bucket_versioning,
    ("aws_s3_bucket_cors_configuration", None): _bucket_cors,
    ("aws_iot_thing_group", None): _thing_group,
    ("aws_iot_thing_group_membership", None): _thing_group_member,
    **{("aws_iot_topic_rule", name): _rule_action for name in _ACTIONS},
    **{("aws_iot_topic_rule", f"error_action.{name}"): _rule_action for name in _ACTIONS},
    ("aws_sqs_queue_redrive_policy", None): _redrive,
    ("aws_sqs_queue_redrive_allow_policy", None): _redrive,
    ("aws_dynamodb_table", "deletion_protection_enabled"): _table_protection,
    # No local target has a replica.
    ("aws_dynamodb_table", "replica.propagate_tags"): _nothing,
    ("aws_dynamodb_table", "replica.point_in_time_recovery"): _nothing,
    ("aws_cloudwatch_log_group", "skip_destroy"): _kept_group,
    ("aws_lambda_function", "ephemeral_storage"): _function_setting("EphemeralStorage"),
    ("aws_lambda_function", "logging_config"): _function_setting("LoggingConfig"),
    ("aws_lambda_function", "snap_start"): _function_setting("SnapStart"),
    ("aws_lambda_function", "runtime"): _function_runtime,
    # A function runs as a process of this machine, whatever processor it is meant for (docs/limitations.md).
    ("aws_lambda_function", "architectures"): _nothing,
    ("aws_lambda_event_source_mapping", "function_response_types"): _response_types,
    ("aws_lambda_event_source_mapping", "scaling_config"): _scaling,
    ("aws_kinesis_stream", "stream_mode_details"): _stream_mode,
    # Of a Metrics Insights query, which none answers.
    ("aws_cloudwatch_metric_alarm", "metric_query.period"): _nothing,
    ("aws_sqs_queue", "sqs_managed_sse_enabled"): _queue_encryption,
    ("aws_cloudfront_origin_access_control", None): _origin_access_control,
    ("aws_cloudfront_response_headers_policy", None): _response_headers_policy,
    ("aws_cloudfront_distribution", "origin.origin_access_control_id"): _distribution_reads_its_bucket,
    ("aws_cloudfront_distribution", "default_cache_behavior.response_headers_policy_id"): (
        _distribution_sends_headers
    ),
}

# Those whose finisher finds the value by itself: it may be the id of what the provider does not know.
VALUELESS = {
    ("aws_dynamodb_table", "replica.propagate_tags"),
    ("aws_dynamodb_table", "replica.point_in_time_recovery"),
    ("aws_cloudwatch_metric_alarm", "metric_query.period"),
    ("aws_cloudfront_distribution", "origin.origin_access_control_id"),
    ("aws_cloudfront_distribution", "default_cache_behavior.response_headers_policy_id"),
}

# What is made by a finisher, and is not a setting of something that Terraform removes.
_REMOVERS: dict[str, Finisher] = {
    "aws_iot_thing_group": _remove_thing_group,
    "aws_cloudfront_origin_access_control": _remove_origin_access_control,
    "aws_cloudfront_response_headers_policy": _remove_response_headers_policy,
}
