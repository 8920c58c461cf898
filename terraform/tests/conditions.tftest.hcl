# What two variables must not say together, and what AWS would refuse in the middle of an apply: plans alone.
# Conditions of different resources share a plan; of one resource each has its own, or one could stand in for another.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

run "a_large_batch_without_a_window_a_topic_root_too_long_nobody_to_tell_in_prod_and_no_image" {
  command = plan

  variables {
    telemetry_batch_size           = 11
    telemetry_batch_window_seconds = 0
    topic_root                     = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb/cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc/dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd/eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee/ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
    environment                    = "prod"
    load_test                      = true
  }

  expect_failures = [
    aws_lambda_event_source_mapping.telemetry,
    aws_iot_policy.station,
    aws_sns_topic.alarms,
    aws_ecs_task_definition.load_test,
  ]
}

run "a_window_that_outlasts_the_visibility_and_a_budget_without_somebody_to_tell" {
  command = plan

  variables {
    telemetry_batch_window_seconds   = 180
    queue_visibility_timeout_seconds = 180
    monthly_budget_usd               = 50
  }

  expect_failures = [
    aws_lambda_event_source_mapping.telemetry,
    aws_sns_topic.alarms,
  ]
}
