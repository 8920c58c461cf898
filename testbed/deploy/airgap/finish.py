"""Sets by the AWS API what the old provider cannot: one function for each thing that `derive` drops."""

from collections.abc import Callable
from typing import Any

import boto3

from testbed.errors import TestbedError

# The Terraform output that carries what was dropped.
DROPPED_OUTPUT = "air_gapped_dropped"

Json = dict[str, Any]
Finisher = Callable[[boto3.Session, str | None, Json], None]


def finish(session: boto3.Session, endpoint: str | None, dropped: list[Json]) -> None:
    """Set everything in ``dropped``, as Terraform's output of it has it.

    Args:
        session: credentials and region.
        endpoint: the engine's URL.
        dropped: of ``{"type", "name", "argument" or null, "value"}``, with the ``id`` of what an argument is of, or
            the ``count`` of a whole resource.

    Raises:
        botocore.exceptions.ClientError: the engine refused one.
    """
    # What is whole first: an argument may be its id.
    for drop in sorted(dropped, key=lambda drop: drop.get("argument") is not None):
        if drop.get("id") is None if drop.get("argument") else int(drop.get("count", 1)) == 0:
            continue  # a switch has left the resource out
        FINISHERS[drop["type"], drop.get("argument")](session, endpoint, drop)


def withdraw(session: boto3.Session, endpoint: str | None, dropped: list[Json]) -> None:
    """After ``terraform destroy``, remove what `finish` made and Terraform does not know, if it is there."""
    for drop in dropped:
        if (remove := _REMOVERS.get(drop["type"])) and not drop.get("argument"):
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


def _function_runtime(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    client = session.client("lambda", endpoint_url=endpoint)
    client.update_function_configuration(FunctionName=drop["id"], Runtime=drop["value"])
    client.get_waiter("function_updated_v2").wait(FunctionName=drop["id"], WaiterConfig={"Delay": 1})


def _function_architectures(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    # The old provider makes x86_64 functions alone, and exists for x86_64 machines alone: nothing to set,
    # but a wish for another processor must not pass unheard.
    client = session.client("lambda", endpoint_url=endpoint)
    deployed = client.get_function_configuration(FunctionName=drop["id"]).get("Architectures", ["x86_64"])
    if deployed != drop["value"]:
        raise TestbedError(
            f"The air-gapped mode deployed {drop['id']} for {deployed[0]}, not {drop['value'][0]}.",
            "Use lambda_architecture=x86_64, or apply where the Terraform registry can be reached.",
        )


def _response_types(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    session.client("lambda", endpoint_url=endpoint).update_event_source_mapping(
        UUID=drop["id"], FunctionResponseTypes=drop["value"]
    )


def _scaling(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    session.client("lambda", endpoint_url=endpoint).update_event_source_mapping(
        UUID=drop["id"], ScalingConfig={"MaximumConcurrency": int(drop["value"][0]["maximum_concurrency"])}
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


# (resource type, argument) -> what sets it; None for a whole resource, "block.argument" for one in a block.
def _nothing(session: boto3.Session, endpoint: str | None, drop: Json) -> None:
    """Leave it: the period of a Metrics Insights query, which no local engine answers."""


FINISHERS: dict[tuple[str, str | None], Finisher] = {
    ("aws_s3_bucket_lifecycle_configuration", None): _bucket_lifecycle,
    ("aws_s3_bucket_server_side_encryption_configuration", None): _bucket_encryption,
    ("aws_lambda_function", "runtime"): _function_runtime,
    ("aws_lambda_function", "architectures"): _function_architectures,
    ("aws_lambda_event_source_mapping", "function_response_types"): _response_types,
    ("aws_lambda_event_source_mapping", "scaling_config"): _scaling,
    ("aws_cloudwatch_metric_alarm", "metric_query.period"): _nothing,
    ("aws_sqs_queue", "sqs_managed_sse_enabled"): _queue_encryption,
    ("aws_cloudfront_origin_access_control", None): _origin_access_control,
    ("aws_cloudfront_response_headers_policy", None): _response_headers_policy,
    ("aws_cloudfront_distribution", "origin.origin_access_control_id"): _distribution_reads_its_bucket,
    ("aws_cloudfront_distribution", "default_cache_behavior.response_headers_policy_id"): (
        _distribution_sends_headers
    ),
}

# What is made by a finisher, and is not a setting of something that Terraform removes.
_REMOVERS: dict[str, Finisher] = {
    "aws_cloudfront_origin_access_control": _remove_origin_access_control,
    "aws_cloudfront_response_headers_policy": _remove_response_headers_policy,
}
