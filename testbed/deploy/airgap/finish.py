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
        TestbedError: one is written as nothing here knows.
        botocore.exceptions.ClientError: the engine refused one.
    """
    # What is whole first, in the order of `FINISHERS`: an argument may be its id.
    order = {each: number for number, each in enumerate(FINISHERS)}
    for drop in sorted(
        dropped(state), key=lambda drop: order.get((drop["type"], drop["argument"]), len(order))
    ):
        what = drop["type"], drop["argument"]
        # An argument that is null is not set.
        if drop["value"] is None and what not in VALUELESS:
            continue
        if set_it := finisher(*what, has_arn=True):
            try:
                set_it(session, endpoint, drop)
            except (KeyError, TypeError, ValueError) as error:
                address = ".".join(filter(None, (drop["type"], drop["name"], drop["argument"])))
                raise TestbedError(
                    f"The air-gapped mode cannot set {address} as it is written: {error!r}.",
                    f'Leave it out, below [terraform] in testbed.toml: leave_out = ["{address}"]',
                ) from error


def finisher(kind: str, argument: str | None, *, has_arn: bool) -> Finisher | None:
    """Return what sets an argument, or makes a resource; None for what nothing here can set.

    Args:
        kind: the resource's type.
        argument: its name, ``block.argument`` in a block, or None for the whole resource.
        has_arn: whether the old provider gives the resource's ARN.
    """
    return FINISHERS.get((kind, argument)) or (_tags if argument == "tags" and has_arn else None)


def _tags(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    """Tag what the old provider cannot tag."""
    tags = {name: value for name, value in drop["value"].items() if value is not None}
    if not tags:
        return
    if drop["type"].startswith("aws_iot_"):
        session.client("iot", endpoint_url=endpoint).tag_resource(
            resourceArn=drop["arn"], tags=[{"Key": name, "Value": value} for name, value in tags.items()]
        )
        return
    answer = session.client("resourcegroupstaggingapi", endpoint_url=endpoint).tag_resources(
        ResourceARNList=[drop["arn"]], Tags=tags
    )
    if failed := answer.get("FailedResourcesMap"):
        raise TestbedError(
            f"{drop['arn']} could not be tagged: {failed[drop['arn']].get('ErrorMessage', '')}"
        )


def withdraw(session: boto3.Session, endpoint: str | None, state: Json) -> None:
    """After ``terraform destroy``, remove what `finish` made and Terraform does not know, if it is there."""
    for drop in dropped(state):
        if (remove := _REMOVERS.get(drop["type"])) and not drop["argument"]:
            remove(session, endpoint, drop)


def _bucket_lifecycle(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    value = drop["value"]
    client = session.client("s3", endpoint_url=endpoint)
    client.put_bucket_lifecycle_configuration(
        Bucket=value["bucket"],
        LifecycleConfiguration={"Rules": [_lifecycle_rule(rule) for rule in value["rule"]]},
    )


def _lifecycle_rule(rule: Json) -> Any:
    """Return a rule as S3 has it, of Terraform's: names in S3's words, blocks that may be there once as tables."""
    known: dict[str, Any] = {"ID": rule["id"], "Status": rule["status"]}
    [within] = rule.get("filter") or [{}]
    within = dict(within)
    both: Json = dict(*within.pop("and", []))
    # Not in other words: they are the user's.
    tags = [{"Key": name, "Value": value} for name, value in both.pop("tags", {}).items()]
    conditions = _camel({**within, **both}, upper=True)
    tags += conditions.pop("Tag", [])
    if len(conditions) + len(tags) > 1:
        known["Filter"] = {"And": conditions | ({"Tags": tags} if tags else {})}
    else:
        known["Filter"] = conditions | ({"Tag": tags[0]} if tags else {}) or {
            "Prefix": rule.get("prefix") or ""
        }
    for name, blocks in rule.items():
        if name in ("filter", "id", "status", "prefix") or not isinstance(blocks, list):
            continue
        made = [
            {
                word: int(part) if word.endswith(("Days", "DaysAfterInitiation", "Versions")) else part
                for word, part in each.items()
            }
            for each in _camel(blocks, upper=True)
        ]
        if name.endswith("transition"):
            known[f"{_camel({name: 0}, upper=True).popitem()[0]}s"] = made
        else:
            known[_camel({name: 0}, upper=True).popitem()[0]] = made[0]
    return known


def _bucket_encryption(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    value = drop["value"]
    rules: list[Any] = [
        {
            "ApplyServerSideEncryptionByDefault": {
                "SSEAlgorithm": default["sse_algorithm"],
                **({"KMSMasterKeyID": key} if (key := default.get("kms_master_key_id")) else {}),
            },
            "BucketKeyEnabled": bool(rule.get("bucket_key_enabled")),
        }
        for rule in value["rule"]
        for default in rule.get("apply_server_side_encryption_by_default", [])
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
    payload = _rule_payload(rule)
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


def _rule_action_setting(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    """Set an argument that is newer than the provider in those actions of a topic rule that are its block's."""
    iot = session.client("iot", endpoint_url=endpoint)
    rule: Any = iot.get_topic_rule(ruleName=drop["id"])["rule"]
    name, _, argument = drop["argument"].partition(".")
    [word] = _camel({argument: None})
    # What else the block says, for a rule may have several actions of a kind.
    says = {each: value for each, value in _camel(drop.get("beside", {})).items() if value is not None}
    for action in rule["actions"]:
        body = action.get(_camel({name: None}).popitem()[0])
        if body is not None and all(f"{body.get(each)}" == f"{value}" for each, value in says.items()):
            body[word] = drop["value"]
    iot.replace_topic_rule(ruleName=drop["id"], topicRulePayload=_rule_payload(rule))


def _rule_payload(rule: Json) -> Any:
    """Return what `replace_topic_rule` takes of what `get_topic_rule` gives."""
    names = ("sql", "description", "actions", "ruleDisabled", "awsIotSqlVersion", "errorAction")
    return {name: rule[name] for name in names if rule.get(name) is not None}


# Arguments of actions that are newer than the provider, and what of its block tells the action.
_ACTION_SETTINGS = {
    "s3.canned_acl": ("bucket_name", "key"),
    "firehose.batch_mode": ("delivery_stream_name",),
    "iot_analytics.batch_mode": ("channel_name",),
    "iot_events.batch_mode": ("input_name",),
}

# Terraform's name of an action and AWS's, of those that are newer than the provider.
_ACTIONS = {"cloudwatch_logs": "cloudwatchLogs", "http": "http", "kafka": "kafka", "timestream": "timestream"}


def _provisioning_template(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    value, iot = drop["value"], session.client("iot", endpoint_url=endpoint)
    wanted: Any = {
        "templateName": value["name"],
        "templateBody": value["template_body"],
        "provisioningRoleArn": value["provisioning_role_arn"],
        "enabled": bool(value.get("enabled")),
    }
    wanted |= {name: value[name] for name in ("description", "type") if value.get(name)}
    for hook in value.get("pre_provisioning_hook", []):
        wanted["preProvisioningHook"] = {"payloadVersion": "2020-04-01"} | _camel(hook)
    with suppress(iot.exceptions.ResourceAlreadyExistsException):
        iot.create_provisioning_template(**wanted)


def _remove_provisioning_template(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    session.client("iot", endpoint_url=endpoint).delete_provisioning_template(
        templateName=drop["value"]["name"]
    )


def _indexing(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    wanted: Any = {
        words: {
            {"customField": "customFields", "managedField": "managedFields"}.get(word, word): value
            for word, value in _camel(drop["value"][name][0]).items()
            if value is not None and word != "filter"
        }
        for name, words in (
            ("thing_indexing_configuration", "thingIndexingConfiguration"),
            ("thing_group_indexing_configuration", "thingGroupIndexingConfiguration"),
        )
        if drop["value"].get(name)
    }
    session.client("iot", endpoint_url=endpoint).update_indexing_configuration(**wanted)


def _events(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    wanted: Any = {
        name: {"Enabled": bool(value)} for name, value in drop["value"]["event_configurations"].items()
    }
    session.client("iot", endpoint_url=endpoint).update_event_configurations(eventConfigurations=wanted)


def _thing_group(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    value, iot = drop["value"], session.client("iot", endpoint_url=endpoint)
    written = dict((value.get("properties") or [{}])[0])
    # Not in other words: the attributes' names are the user's.
    payloads = written.pop("attribute_payload", [])
    properties = _camel(written)
    for each in payloads:
        properties["attributePayload"] = {"attributes": each["attributes"]}
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


def _filters(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    patterns = [each["pattern"] for criteria in drop["value"] for each in criteria.get("filter", [])]
    session.client("lambda", endpoint_url=endpoint).update_event_source_mapping(
        UUID=drop["id"], FilterCriteria={"Filters": [{"Pattern": pattern} for pattern in patterns]}
    )


def _filter_scope(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    session.client("sns", endpoint_url=endpoint).set_subscription_attributes(
        SubscriptionArn=drop["id"], AttributeName="FilterPolicyScope", AttributeValue=drop["value"]
    )


def _metric_filter(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    logs, group = session.client("logs", endpoint_url=endpoint), drop["beside"]["log_group_name"]
    [name] = _camel({drop["argument"].rpartition(".")[2]: None})
    for found in logs.describe_metric_filters(logGroupName=group, filterNamePrefix=drop["id"])[
        "metricFilters"
    ]:
        if found["filterName"] != drop["id"]:
            continue
        transformations: Any = [{**each, name: drop["value"]} for each in found["metricTransformations"]]
        logs.put_metric_filter(
            logGroupName=group,
            filterName=drop["id"],
            filterPattern=found["filterPattern"],
            metricTransformations=transformations,
        )


def _bucket_logging(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    value = drop["value"]
    session.client("s3", endpoint_url=endpoint).put_bucket_logging(
        Bucket=value["bucket"],
        BucketLoggingStatus={
            "LoggingEnabled": {"TargetBucket": value["target_bucket"], "TargetPrefix": value["target_prefix"]}
        },
    )


def _table_class(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    session.client("dynamodb", endpoint_url=endpoint).update_table(
        TableName=drop["id"], TableClass=drop["value"]
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
    """Give an origin its access control; the reference to it is its name, for its id was not known."""
    cloudfront = session.client("cloudfront", endpoint_url=endpoint)
    answer = cloudfront.get_distribution_config(Id=drop["id"])
    wanted: Any = answer["DistributionConfig"]
    for origin in wanted["Origins"]["Items"]:
        if origin["Id"] == drop["beside"]["origin_id"]:
            origin["OriginAccessControlId"] = _find_access_control(cloudfront, drop["value"]) or drop["value"]
    cloudfront.update_distribution(Id=drop["id"], IfMatch=answer["ETag"], DistributionConfig=wanted)


def _distribution_sends_headers(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    """Give the default behaviour its headers; the reference to them is their name, or AWS's own id of a managed one."""
    cloudfront = session.client("cloudfront", endpoint_url=endpoint)
    answer = cloudfront.get_distribution_config(Id=drop["id"])
    wanted: Any = answer["DistributionConfig"]
    wanted["DefaultCacheBehavior"]["ResponseHeadersPolicyId"] = (
        _find_headers_policy(cloudfront, drop["value"]) or drop["value"]
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
    ("aws_iot_provisioning_template", None): _provisioning_template,
    ("aws_iot_indexing_configuration", None): _indexing,
    ("aws_iot_event_configurations", None): _events,
    ("aws_s3_bucket_logging", None): _bucket_logging,
    **{("aws_iot_topic_rule", name): _rule_action for name in _ACTIONS},
    **{("aws_iot_topic_rule", f"error_action.{name}"): _rule_action for name in _ACTIONS},
    **{("aws_iot_topic_rule", argument): _rule_action_setting for argument in _ACTION_SETTINGS},
    ("aws_sqs_queue_redrive_policy", None): _redrive,
    ("aws_sqs_queue_redrive_allow_policy", None): _redrive,
    ("aws_dynamodb_table", "deletion_protection_enabled"): _table_protection,
    # No local target has a replica.
    ("aws_dynamodb_table", "replica.propagate_tags"): _nothing,
    ("aws_dynamodb_table", "replica.point_in_time_recovery"): _nothing,
    ("aws_dynamodb_table", "table_class"): _table_class,
    ("aws_cloudwatch_log_group", "skip_destroy"): _kept_group,
    # A price, and what nobody asks a local log group.
    ("aws_cloudwatch_log_group", "log_group_class"): _nothing,
    ("aws_cloudwatch_log_metric_filter", "metric_transformation.unit"): _metric_filter,
    ("aws_cloudwatch_log_metric_filter", "metric_transformation.dimensions"): _metric_filter,
    # Of rules that AWS itself manages.
    ("aws_cloudwatch_event_rule", "force_destroy"): _nothing,
    ("aws_sns_topic_subscription", "filter_policy_scope"): _filter_scope,
    ("aws_lambda_function", "ephemeral_storage"): _function_setting("EphemeralStorage"),
    ("aws_lambda_function", "logging_config"): _function_setting("LoggingConfig"),
    ("aws_lambda_function", "snap_start"): _function_setting("SnapStart"),
    ("aws_lambda_function", "runtime"): _function_runtime,
    # A function runs as a process of this machine, whatever processor it is meant for (docs/limitations.md).
    ("aws_lambda_function", "architectures"): _nothing,
    ("aws_lambda_event_source_mapping", "function_response_types"): _response_types,
    ("aws_lambda_event_source_mapping", "scaling_config"): _scaling,
    ("aws_lambda_event_source_mapping", "filter_criteria"): _filters,
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
}

# What else of its block, or of the resource, a finisher must know.
BESIDE: dict[tuple[str, str], tuple[str, ...]] = {
    ("aws_cloudfront_distribution", "origin.origin_access_control_id"): ("origin_id",),
    ("aws_cloudwatch_log_metric_filter", "metric_transformation.unit"): ("log_group_name",),
    ("aws_cloudwatch_log_metric_filter", "metric_transformation.dimensions"): ("log_group_name",),
    **{("aws_iot_topic_rule", argument): beside for argument, beside in _ACTION_SETTINGS.items()},
}

# What is made by a finisher, and is not a setting of something that Terraform removes.
_REMOVERS: dict[str, Finisher] = {
    "aws_iot_provisioning_template": _remove_provisioning_template,
    "aws_iot_thing_group": _remove_thing_group,
    "aws_cloudfront_origin_access_control": _remove_origin_access_control,
    "aws_cloudfront_response_headers_policy": _remove_response_headers_policy,
}
