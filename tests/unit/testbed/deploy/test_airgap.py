"""The air-gapped mode drops nothing in silence."""

from pathlib import Path
from typing import Any

import pytest

from testbed.deploy.airgap import provider
from testbed.deploy.airgap.derive import derive, provider_block
from testbed.deploy.airgap.finish import DROPPED_OUTPUT
from testbed.errors import TestbedError

SCHEMA: dict[str, Any] = {
    "provider": {
        "block": {
            "attributes": {"region": {}},
            "block_types": {
                "endpoints": {"block": {"attributes": {"sqs": {}, "iot": {}, "cloudwatchlogs": {}}}}
            },
        }
    },
    "resource_schemas": {
        "aws_sqs_queue": {"block": {"attributes": {"name": {}}}},
        "aws_lambda_function": {"block": {"attributes": {"function_name": {}, "runtime": {}}}},
        "aws_s3_bucket_object": {"block": {"attributes": {"key": {}}}},
        "aws_cloudfront_distribution": {
            "block": {
                "attributes": {"comment": {}},
                "block_types": {"origin": {"block": {"attributes": {"domain_name": {}}}}},
            }
        },
        "aws_iot_topic_rule": {
            "block": {"block_types": {"sqs": {"block": {"attributes": {"queue_url": {}}}}}}
        },
    },
}
HEAD = 'terraform {\n  required_version = ">= 1.5"\n}\nvariable "x" {\n  type = map(string)\n}\n'


def derived(folder: Path, text: str) -> tuple[dict[str, Any], list[str]]:
    (folder / "main.tf").write_text(HEAD + text)
    return derive(folder, SCHEMA)


def test_an_unknown_argument_becomes_an_output_for_the_api(tmp_path: Path) -> None:
    configuration, dropped = derived(
        tmp_path, 'resource "aws_sqs_queue" "q" {\n  name = "n"\n  sqs_managed_sse_enabled = true\n}\n'
    )
    assert dropped == ["aws_sqs_queue.q.sqs_managed_sse_enabled"]
    assert configuration["resource"] == [{"aws_sqs_queue": {"q": {"name": "n"}}}]
    [output] = [block[DROPPED_OUTPUT] for block in configuration["output"]]
    [drop] = output["value"]
    assert drop["value"] is True
    assert drop["id"] == "${one(aws_sqs_queue.q[*].id)}"


def test_an_unknown_resource_leaves_no_reference_behind(tmp_path: Path) -> None:
    lifecycle = "aws_s3_bucket_lifecycle_configuration"
    configuration, dropped = derived(
        tmp_path,
        f'resource "{lifecycle}" "l" {{\n  bucket = "b"\n}}\n'
        f'resource "aws_sqs_queue" "q" {{\n  name = "n"\n  depends_on = [{lifecycle}.l]\n}}\n',
    )
    assert dropped == [f"{lifecycle}.l"]
    assert configuration["resource"] == [{"aws_sqs_queue": {"q": {"name": "n", "depends_on": []}}}]


def test_what_a_switch_leaves_out_leaves_no_reference_to_it(tmp_path: Path) -> None:
    """Terraform works the value out all the same: `x[0]` of what is not there would be an error."""
    encryption = "aws_s3_bucket_server_side_encryption_configuration"
    configuration, _ = derived(
        tmp_path,
        f'resource "{encryption}" "e" {{\n  count = var.x ? 1 : 0\n  bucket = aws_s3_bucket.b[0].id\n}}\n',
    )
    [output] = [block[DROPPED_OUTPUT] for block in configuration["output"]]
    [drop] = output["value"]
    assert drop["value"] == {"bucket": "${one(aws_s3_bucket.b[*].id)}"}
    assert drop["count"] == "${var.x ? 1 : 0}"


def test_an_argument_of_a_block_is_set_afterwards_without_its_value(tmp_path: Path) -> None:
    """It may be the id of what the old provider does not know."""
    configuration, dropped = derived(
        tmp_path,
        'resource "aws_cloudfront_distribution" "d" {\n  comment = "c"\n  origin {\n    domain_name = "n"\n'
        "    origin_access_control_id = aws_cloudfront_origin_access_control.o.id\n  }\n}\n",
    )
    assert dropped == ["aws_cloudfront_distribution.d.origin.origin_access_control_id"]
    distribution = configuration["resource"][0]["aws_cloudfront_distribution"]["d"]
    assert distribution == {"comment": "c", "origin": [{"domain_name": "n"}]}
    [output] = [block[DROPPED_OUTPUT] for block in configuration["output"]]
    assert output["value"][0]["value"] is None


def test_an_object_of_s3_has_its_old_name(tmp_path: Path) -> None:
    configuration, dropped = derived(tmp_path, 'resource "aws_s3_object" "o" {\n  key = "k"\n}\n')
    assert (dropped, configuration["resource"]) == ([], [{"aws_s3_bucket_object": {"o": {"key": "k"}}}])


def test_a_refused_value_is_replaced_and_not_set_back_by_the_next_apply(tmp_path: Path) -> None:
    configuration, dropped = derived(
        tmp_path, 'resource "aws_lambda_function" "f" {\n  function_name = "n"\n  runtime = "python3.13"\n}\n'
    )
    assert dropped == ["aws_lambda_function.f.runtime"]
    function = configuration["resource"][0]["aws_lambda_function"]["f"]
    assert function["runtime"] == "python3.8"
    assert function["lifecycle"] == [{"ignore_changes": ["runtime"]}]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('resource "aws_sqs_queue" "q" {\n  colour = "red"\n}\n', "aws_sqs_queue.q.colour"),
        ('resource "aws_thing" "t" {\n  a = 1\n}\n', "aws_thing.t"),
        ('resource "aws_iot_topic_rule" "r" {\n  sqs {\n    colour = 1\n  }\n}\n', "sqs.colour"),
        (
            'resource "aws_iot_topic_rule" "r" {\n  sqs {\n    dynamic "colours" {\n      for_each = {}\n'
            "      content {\n        red = 1\n      }\n    }\n  }\n}\n",
            "sqs.colours",
        ),
        (
            'resource "aws_sqs_queue" "q" {\n  for_each = toset([])\n  sqs_managed_sse_enabled = true\n}\n',
            "sqs_managed_sse_enabled",
        ),
    ],
)
def test_what_nobody_could_set_afterwards_stops_the_apply(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(TestbedError, match=named):
        derived(tmp_path, text)


def test_every_endpoint_of_the_old_provider_is_local() -> None:
    """One that tflocal leaves out would be AWS's own."""
    block = provider_block(
        'provider "aws" {\n  s3_use_path_style = true\n  endpoints {\n    sqs = "http://a:1"\n    iot = "http://b:2"\n'
        '    newer = "http://a:1"\n }\n}\n',
        SCHEMA,
    )
    assert 'cloudwatchlogs = "http://a:1"' in block
    assert 'iot = "http://b:2"' in block
    assert "newer" not in block
    assert "s3_force_path_style = true" in block


def test_the_version_is_pinned() -> None:
    assert provider.requirement()["required_providers"]["aws"]["version"] == provider.VERSION


def test_what_needs_the_registry_is_refused_by_name(tmp_path: Path) -> None:
    for text, name in (
        ('module "network" {\n  source = "./network"\n}\n', "module.network"),
        ('resource "random_id" "suffix" {\n  byte_length = 4\n}\n', "random_id.suffix"),
        ('data "archive_file" "code" {\n  type = "zip"\n}\n', "data.archive_file.code"),
    ):
        with pytest.raises(TestbedError, match=f"cannot derive {name}"):
            derived(tmp_path, text)


def test_a_configuration_without_variables_and_terraform_block_is_derived(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text(
        'variable "untyped" {}\nresource "aws_sqs_queue" "q" {\n  name = "n"\n}\n'
    )
    assert derive(tmp_path, SCHEMA)[1] == []
    (tmp_path / "main.tf").write_text('resource "aws_sqs_queue" "q" {\n  name = "n"\n}\n')
    assert derive(tmp_path, SCHEMA)[0]["terraform"] == [provider.requirement()]
