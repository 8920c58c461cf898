"""The air-gapped mode drops nothing in silence."""

import json
import re
from pathlib import Path
from typing import Any

import boto3
import pytest

from testbed.deploy.airgap import finish, provider
from testbed.deploy.airgap.derive import derive, provider_block
from testbed.deploy.airgap.finish import DROPPED
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
                "block_types": {"origin": {"block": {"attributes": {"domain_name": {}, "origin_id": {}}}}},
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
    made = derive(folder, SCHEMA)
    return made.folders[Path()], made.dropped


def carried(configuration: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the resources by which Terraform gives what was dropped to the API."""
    return [
        body
        for block in configuration["resource"]
        for name, body in block.get("terraform_data", {}).items()
        if name.startswith(DROPPED)
    ]


def test_an_unknown_argument_is_carried_to_the_api(tmp_path: Path) -> None:
    configuration, dropped = derived(
        tmp_path, 'resource "aws_sqs_queue" "q" {\n  name = "n"\n  sqs_managed_sse_enabled = true\n}\n'
    )
    assert dropped == ["aws_sqs_queue.q.sqs_managed_sse_enabled"]
    assert configuration["resource"][0] == {"aws_sqs_queue": {"q": {"name": "n"}}}
    [drop] = carried(configuration)
    assert drop["input"]["value"] is True
    assert drop["input"]["id"] == "${aws_sqs_queue.q.id}"


def test_an_unknown_resource_leaves_no_reference_behind(tmp_path: Path) -> None:
    lifecycle = "aws_s3_bucket_lifecycle_configuration"
    configuration, dropped = derived(
        tmp_path,
        f'resource "{lifecycle}" "l" {{\n  bucket = "b"\n}}\n'
        f'resource "aws_sqs_queue" "q" {{\n  name = "n"\n  depends_on = [{lifecycle}.l]\n}}\n',
    )
    assert dropped == [f"{lifecycle}.l"]
    assert configuration["resource"][0] == {"aws_sqs_queue": {"q": {"name": "n", "depends_on": []}}}


@pytest.mark.parametrize(
    ("repeated", "index"), [("count = 2", "count.index"), ("for_each = toset([])", "each.key")]
)
def test_what_is_carried_is_there_as_often_as_what_it_is_of(
    tmp_path: Path, repeated: str, index: str
) -> None:
    """So what it says of others holds where their switch is off, too."""
    encryption = "aws_s3_bucket_server_side_encryption_configuration"
    configuration, _ = derived(
        tmp_path,
        f'resource "{encryption}" "e" {{\n  {repeated}\n  bucket = aws_s3_bucket.b[{index}].id\n}}\n'
        f'resource "aws_sqs_queue" "q" {{\n  {repeated}\n  sqs_managed_sse_enabled = true\n}}\n',
    )
    whole, argument = carried(configuration)
    assert whole["input"]["value"] == {"bucket": f"${{aws_s3_bucket.b[{index}].id}}"}
    assert argument["input"]["id"] == f"${{aws_sqs_queue.q[{index}].id}}"
    assert whole.keys() == argument.keys() == {"input", repeated.partition(" ")[0]}


def test_a_reference_to_what_is_dropped_is_to_what_it_says(tmp_path: Path) -> None:
    configuration, _ = derived(
        tmp_path,
        'resource "aws_iot_thing_group" "g" {\n  name = "pumps-${var.x}"\n}\n'
        'output "group" {\n  value = aws_iot_thing_group.g.name\n}\n',
    )
    assert configuration["output"] == [{"group": {"value": '${"pumps-${var.x}"}'}}]
    with pytest.raises(TestbedError, match=r"aws_iot_thing_group\.g\.metadata"):
        derived(
            tmp_path,
            'resource "aws_iot_thing_group" "g" {\n  name = "g"\n}\n'
            'output "o" {\n  value = aws_iot_thing_group.g.metadata\n}\n',
        )


def test_attributes_have_their_old_names_and_newer_ones_are_refused(tmp_path: Path) -> None:
    text = 'resource "aws_sqs_queue" "q" {\n  name = "n"\n}\noutput "u" {\n  value = aws_sqs_queue.q.%s\n}\n'
    configuration, _ = derived(tmp_path, text % "url")
    assert configuration["output"] == [{"u": {"value": "${aws_sqs_queue.q.id}"}}]
    with pytest.raises(TestbedError, match=r"cannot derive aws_sqs_queue\.q\.colour"):
        derived(tmp_path, text % "colour")
    (tmp_path / "main.tf").write_text(text % "colour")
    assert derive(tmp_path, SCHEMA, ["output.u"]).dropped == []


def test_the_arn_of_what_is_dropped_is_made_of_its_name(tmp_path: Path) -> None:
    configuration, _ = derived(
        tmp_path,
        'resource "aws_iot_thing_group" "g" {\n  count = 2\n  name = "pumps-${count.index}"\n}\n'
        'output "group" {\n  value = aws_iot_thing_group.g[1].arn\n}\n',
    )
    account = "${data.aws_region.air_gapped.name}:${data.aws_caller_identity.air_gapped.account_id}"
    arn = f'${{"arn:aws:iot:{account}:thinggroup/pumps-${{(1)}}"}}'
    assert configuration["output"] == [{"group": {"value": arn}}]
    assert {"aws_region": {"air_gapped": {}}} in configuration["data"]


def test_an_argument_of_a_block_is_set_afterwards_by_the_name_of_what_it_refers_to(tmp_path: Path) -> None:
    configuration, dropped = derived(
        tmp_path,
        'resource "aws_cloudfront_distribution" "d" {\n  comment = "c"\n  origin {\n    domain_name = "n"\n'
        '    origin_id = "site"\n    origin_access_control_id = aws_cloudfront_origin_access_control.o.id\n  }\n}\n'
        'resource "aws_cloudfront_origin_access_control" "o" {\n  name = "mine"\n}\n',
    )
    assert dropped[0] == "aws_cloudfront_distribution.d.origin.origin_access_control_id"
    distribution = configuration["resource"][0]["aws_cloudfront_distribution"]["d"]
    assert distribution == {"comment": "c", "origin": [{"domain_name": "n", "origin_id": "site"}]}
    [first] = [each["input"] for each in carried(configuration) if each["input"]["argument"]]
    assert (first["value"], first["beside"]) == ('${"mine"}', {"origin_id": "site"})


def test_what_a_dynamic_block_makes_is_carried_as_an_expression(tmp_path: Path) -> None:
    configuration, dropped = derived(
        tmp_path,
        'resource "aws_iot_topic_rule" "r" {\n  dynamic "cloudwatch_logs" {\n    for_each = var.groups\n'
        '    iterator = group\n    content {\n      log_group_name = "x-${group.value}"\n      role_arn = group.key\n'
        "    }\n  }\n}\n",
    )
    assert dropped == ["aws_iot_topic_rule.r.cloudwatch_logs"]
    assert configuration["resource"][0] == {"aws_iot_topic_rule": {"r": {}}}
    assert carried(configuration)[0]["input"]["value"] == (
        "${flatten([for group_key, group_value in (var.groups) : "
        '[{"log_group_name" = "x-${group_value}", "role_arn" = (group_key)}]])}'
    )


def test_tags_of_what_could_not_be_tagged_then_are_set_by_its_arn(tmp_path: Path) -> None:
    schema = {"resource_schemas": {"aws_iot_policy": {"block": {"attributes": {"name": {}, "arn": {}}}}}}
    text = 'resource "aws_iot_policy" "p" {\n  name = "n"\n  tags = { a = "b" }\n}\n'
    (tmp_path / "main.tf").write_text(text)
    [drop] = carried(derive(tmp_path, schema).folders[Path()])
    assert (drop["input"]["value"], drop["input"]["arn"]) == ({"a": "b"}, "${aws_iot_policy.p.arn}")


@pytest.mark.parametrize(
    ("rule", "filtered"),
    [
        ({}, {"Prefix": ""}),
        ({"filter": [{}]}, {"Prefix": ""}),
        ({"filter": [{"prefix": "a/"}]}, {"Prefix": "a/"}),
        ({"filter": [{"tag": [{"key": "k", "value": "v"}]}]}, {"Tag": {"Key": "k", "Value": "v"}}),
        (
            {"filter": [{"and": [{"prefix": "a/", "tags": {"k": "v"}}]}]},
            {"And": {"Prefix": "a/", "Tags": [{"Key": "k", "Value": "v"}]}},
        ),
    ],
)
def test_lifecycle_rules_are_in_s3s_words(rule: dict[str, Any], filtered: dict[str, Any]) -> None:
    """Shapes: Amazon S3 API reference, "PutBucketLifecycleConfiguration"."""
    written = {
        "id": "old",
        "status": "Enabled",
        "transition": [{"days": "30", "storage_class": "GLACIER"}],
        "noncurrent_version_expiration": [{"noncurrent_days": 7}],
    }
    assert finish._lifecycle_rule(written | rule) == {
        "ID": "old",
        "Status": "Enabled",
        "Filter": filtered,
        "Transitions": [{"Days": 30, "StorageClass": "GLACIER"}],
        "NoncurrentVersionExpiration": {"NoncurrentDays": 7},
    }


def test_what_a_finisher_does_not_know_is_refused_with_the_line_to_leave_it_out() -> None:
    drop = {"type": "aws_sqs_queue_redrive_policy", "name": "q", "argument": None, "value": {}}
    state = {
        "resources": [
            {
                "type": "terraform_data",
                "name": f"{DROPPED}_0",
                "instances": [{"attributes": {"input": {"value": drop}}}],
            }
        ]
    }
    with pytest.raises(TestbedError, match=r"cannot set aws_sqs_queue_redrive_policy\.q as it is written"):
        finish.finish(boto3.Session(region_name="eu-central-1"), "http://127.0.0.1:9", state)


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
        ('data "aws_new" "n" {\n  a = 1\n}\n', "data.aws_new.n"),
        ('provider "aws" {\n  region = "r"\n  colour = 1\n}\n', "provider.aws.colour"),
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
        (
            'module "network" {\n  source = "terraform-aws-modules/vpc/aws"\n}\n',
            "module.network of terraform-aws",
        ),
        ('resource "docker_image" "i" {\n  name = "i"\n}\n', "docker_image.i"),
        ('data "http" "ip" {\n  url = "u"\n}\n', "data.http.ip"),
        ('data "terraform_remote_state" "net" {\n  backend = "s3"\n}\n', "data.terraform_remote_state.net"),
    ):
        with pytest.raises(TestbedError, match=f"cannot derive {name}"):
            derived(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ('resource "aws_sqs_queu" "q" {\n  name = "n"\n}\n', "Did you mean aws_sqs_queue, not aws_sqs_queu?"),
        (
            'resource "aws_lambda_function" "f" {\n  runtimes = "nodejs22.x"\n}\n',
            "Did you mean runtime, not runtimes?",
        ),
        ('resource "aws_sqs_queue" "q" {\n  colour = "red"\n}\n', "Apply where"),
    ],
)
def test_a_misspelt_name_is_asked_for_before_any_other_remedy(tmp_path: Path, text: str, asked: str) -> None:
    with pytest.raises(TestbedError, match="cannot derive") as refused:
        derived(tmp_path, text)
    assert refused.value.remedy.startswith(asked)


def test_modules_in_folders_are_derived_and_small_providers_played(tmp_path: Path) -> None:
    (tmp_path / "modules" / "queue").mkdir(parents=True)
    (tmp_path / "modules" / "queue" / "main.tf").write_text(
        'resource "random_id" "r" {\n  byte_length = 4\n}\n'
        'resource "aws_sqs_queue" "q" {\n  name = random_id.r.hex\n  sqs_managed_sse_enabled = true\n}\n'
    )
    (tmp_path / "main.tf").write_text(
        'terraform {\n  backend "s3" {\n    bucket = "b"\n  }\n}\n'
        'module "queue" {\n  source = "./modules/queue"\n  depends_on = [data.archive_file.code]\n}\n'
        'data "archive_file" "code" {\n  type = "zip"\n}\n'
    )
    made = derive(tmp_path, SCHEMA)
    assert made.folders.keys() == {Path(), Path("modules/queue")}
    assert made.stand_ins == {"archive", "random"}
    assert made.dropped == ["module.queue.aws_sqs_queue.q.sqs_managed_sse_enabled"]
    root = made.folders[Path()]
    assert root["module"][0]["queue"]["depends_on"] == ["data.archive_file.code"]
    [block] = root["terraform"]
    assert block.keys() == {"required_providers"}, "the backend is the testbed's"
    assert block["required_providers"].keys() == {"aws", "archive", "random"}


def test_what_no_engine_has_can_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text(
        'module "hosting" {\n  source = "x/hosting"\n}\nresource "aws_sqs_queue" "q" {\n  name = "n"\n'
        "  depends_on = [module.hosting]\n}\n"
        'output "url" {\n  value = module.hosting.url\n}\noutput "queue" {\n  value = aws_sqs_queue.q.id\n}\n'
    )
    configuration = derive(tmp_path, SCHEMA, ["module.hosting"]).folders[Path()]
    assert configuration["output"] == [{"queue": {"value": "${aws_sqs_queue.q.id}"}}]
    assert "module" not in configuration
    (tmp_path / "more.tf").write_text('module "other" {\n  source = "x/y"\n  q = aws_sqs_queue.q.id\n}\n')
    with pytest.raises(TestbedError, match=r"what these need: module\.other"):
        derive(tmp_path, SCHEMA, ["aws_sqs_queue.q"])
    with pytest.raises(TestbedError, match=r"names aws_sqs_queue\.other, which is not there"):
        derive(tmp_path, SCHEMA, ["aws_sqs_queue.other"])


def test_arguments_and_what_is_in_modules_can_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "iot").mkdir()
    (tmp_path / "iot" / "main.tf").write_text(
        'resource "aws_new" "n" {\n  a = 1\n}\nresource "aws_sqs_queue" "q" {\n  name = "n"\n  colour = "red"\n}\n'
        'output "new" {\n  value = aws_new.n.id\n}\n'
    )
    (tmp_path / "main.tf").write_text(
        'module "iot" {\n  source = "./iot"\n}\ndata "http" "ca" {\n  url = "u"\n}\n'
        'output "new" {\n  value = module.iot.new\n}\noutput "ca" {\n  value = data.http.ca.body\n}\n'
    )
    with pytest.raises(TestbedError, match="cannot derive") as refused:
        derive(tmp_path, SCHEMA)
    # What the refusal says to write is what brings it up.
    [listed] = re.findall(r"leave_out = (\[.*\])", str(refused.value))
    made = derive(tmp_path, SCHEMA, json.loads(listed))
    assert made.folders[Path("iot")]["resource"] == [{"aws_sqs_queue": {"q": {"name": "n"}}}]
    assert "output" not in made.folders[Path()]
    assert derive(tmp_path, SCHEMA, ["data.http.*", "module.iot.aws_*.*.colour", "module.iot.aws_new.n"])


def test_blocks_that_the_provider_takes_as_objects_are_whole(tmp_path: Path) -> None:
    kind = ["set", ["object", {"from_port": "number", "self": "bool"}]]
    schema = {
        "resource_schemas": {"aws_security_group": {"block": {"attributes": {"ingress": {"type": kind}}}}}
    }
    (tmp_path / "main.tf").write_text(
        'resource "aws_security_group" "s" {\n  ingress {\n    from_port = 443\n  }\n}\n'
    )
    [resource] = derive(tmp_path, schema).folders[Path()]["resource"]
    assert resource["aws_security_group"]["s"]["ingress"] == [{"from_port": 443, "self": None}]


def test_heredocs_are_their_text(tmp_path: Path) -> None:
    configuration, _ = derived(
        tmp_path,
        'resource "aws_sqs_queue" "q" {\n  name = <<-EOT\n    a\n      "${var.x}"\n  EOT\n}\n',
    )
    assert configuration["resource"][0]["aws_sqs_queue"]["q"]["name"] == 'a\n  "${var.x}"\n'


def test_a_website_is_written_into_its_bucket(tmp_path: Path) -> None:
    schema = {"resource_schemas": {"aws_s3_bucket": {"block": {"block_types": {"website": {"block": {}}}}}}}
    schema["resource_schemas"]["aws_s3_bucket"]["block"]["block_types"]["website"]["block"] = {
        "attributes": {"index_document": {}}
    }
    (tmp_path / "main.tf").write_text(
        'resource "aws_s3_bucket" "b" {\n}\nresource "aws_s3_bucket_website_configuration" "w" {\n'
        '  bucket = aws_s3_bucket.b.id\n  index_document {\n    suffix = "index.html"\n  }\n}\n'
        'output "site" {\n  value = aws_s3_bucket_website_configuration.w.website_endpoint\n}\n'
    )
    configuration = derive(tmp_path, schema).folders[Path()]
    assert configuration["resource"][0]["aws_s3_bucket"]["b"]["website"] == [{"index_document": "index.html"}]
    assert configuration["output"] == [{"site": {"value": "${(aws_s3_bucket.b.website_endpoint)}"}}]


def test_a_configuration_without_variables_and_terraform_block_is_derived(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text(
        'variable "untyped" {}\nresource "aws_sqs_queue" "q" {\n  name = "n"\n}\n'
    )
    assert derive(tmp_path, SCHEMA).dropped == []
    (tmp_path / "main.tf").write_text('resource "aws_sqs_queue" "q" {\n  name = "n"\n}\n')
    assert derive(tmp_path, SCHEMA).folders[Path()]["terraform"] == [provider.requirement()]
