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
        dropped: of ``{"type", "name", "argument" or null, "value", "id"}``.

    Raises:
        botocore.exceptions.ClientError: the engine refused one.
    """
    for drop in dropped:
        if drop.get("argument") and drop.get("id") is None:
            continue  # a switch has left the resource out
        FINISHERS[drop["type"], drop.get("argument")](session, endpoint, drop)


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


# (resource type, argument) -> what sets it; None for a whole resource.
FINISHERS: dict[tuple[str, str | None], Finisher] = {
    ("aws_s3_bucket_lifecycle_configuration", None): _bucket_lifecycle,
    ("aws_s3_bucket_server_side_encryption_configuration", None): _bucket_encryption,
    ("aws_lambda_function", "runtime"): _function_runtime,
    ("aws_lambda_function", "architectures"): _function_architectures,
    ("aws_lambda_event_source_mapping", "function_response_types"): _response_types,
    ("aws_lambda_event_source_mapping", "scaling_config"): _scaling,
    ("aws_sqs_queue", "sqs_managed_sse_enabled"): _queue_encryption,
}
