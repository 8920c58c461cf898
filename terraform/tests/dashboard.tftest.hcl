# The live page, applied to a mock: what a distribution is called is known only then. `make drills WHAT=terraform` runs it.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }

  # ARNs that arguments of other resources are checked for.
  mock_resource "aws_api_gateway_rest_api" {
    defaults = { execution_arn = "arn:aws:execute-api:eu-central-1:123456789012:api" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/mock" }
  }
  mock_resource "aws_sqs_queue" {
    defaults = { arn = "arn:aws:sqs:eu-central-1:123456789012:mock" }
  }
  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:eu-central-1:123456789012:mock" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-central-1:123456789012:log-group:mock" }
  }
  mock_resource "aws_lambda_function" {
    defaults = { arn = "arn:aws:lambda:eu-central-1:123456789012:function:mock" }
  }
  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::mock" }
  }
  mock_resource "aws_cloudfront_distribution" {
    defaults = { domain_name = "d1234.cloudfront.net" }
  }
}

run "the_page_alone" {
  command = apply

  variables {
    dashboard_enabled = true
  }

  assert {
    condition     = aws_s3_bucket_public_access_block.dashboard[0].block_public_acls && aws_s3_bucket_public_access_block.dashboard[0].block_public_policy && aws_s3_bucket_public_access_block.dashboard[0].ignore_public_acls && aws_s3_bucket_public_access_block.dashboard[0].restrict_public_buckets
    error_message = "the page's bucket is not private"
  }

  assert {
    condition     = aws_cloudfront_distribution.dashboard[0].default_cache_behavior[0].viewer_protocol_policy == "redirect-to-https"
    error_message = "the page comes without TLS"
  }

  assert {
    condition     = output.dashboard_url == "https://${aws_cloudfront_distribution.dashboard[0].domain_name}" && aws_lambda_function.api_handler.environment[0].variables["CORS_ORIGIN"] == output.dashboard_url
    error_message = "the API must let the page's origin, and only that"
  }

  assert {
    condition     = length(setintersection(local.dashboard_files, ["index.html", "app.js", "mqtt.js", "style.css"])) == 4
    error_message = "a file of the page is left behind"
  }

  assert {
    condition     = length(aws_api_gateway_method.preflight) == length(aws_api_gateway_method.any)
    error_message = "a route does not answer the page's OPTIONS"
  }
}
