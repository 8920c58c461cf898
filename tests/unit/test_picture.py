"""docs/architecture.dot shows what terraform/ deploys."""

import re

from testbed.paths import REPOSITORY, TERRAFORM

# What messages, requests and people pass through. The rest is rights, wiring, logs and settings of these.
SHOWN = {
    "aws_api_gateway_rest_api",
    "aws_athena_workgroup",
    "aws_dynamodb_table",
    "aws_iot_policy",
    "aws_iot_topic_rule",
    "aws_lambda_function",
    "aws_s3_bucket",
    "aws_sns_topic",
    "aws_sqs_queue",
    "aws_wafv2_web_acl",
    "aws_cloudfront_distribution",
    "aws_kinesis_firehose_delivery_stream",
    "aws_cognito_user_pool",
    "aws_apigatewayv2_api",
}


def test_each_thing_in_the_picture_is_deployed_and_none_is_missing() -> None:
    deployed = {
        f"{kind}.{name}"
        for file in TERRAFORM.glob("*.tf")
        for kind, name in re.findall(r'^resource "(\w+)" "(\w+)"', file.read_text(), re.MULTILINE)
    }
    drawn = set(re.findall(r'\[id="(aws_[\w.]+)"', (REPOSITORY / "docs" / "architecture.dot").read_text()))
    assert not drawn - deployed, "docs/architecture.dot draws what terraform/ does not have"
    missing = {address for address in deployed - drawn if address.split(".")[0] in SHOWN}
    assert not missing, "draw these in docs/architecture.dot, then: make docs"
