# What two variables must not say together, and what AWS would refuse in the middle of an apply: plans alone.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

run "a_large_batch_without_a_window" {
  command = plan

  variables {
    telemetry_batch_size           = 11
    telemetry_batch_window_seconds = 0
  }

  expect_failures = [aws_lambda_event_source_mapping.telemetry]
}

run "a_small_batch_without_a_window" {
  command = plan

  variables {
    telemetry_batch_size           = 10
    telemetry_batch_window_seconds = 0
  }
}

run "a_window_that_outlasts_the_visibility" {
  command = plan

  variables {
    telemetry_batch_window_seconds   = 180
    queue_visibility_timeout_seconds = 180
  }

  expect_failures = [aws_lambda_event_source_mapping.telemetry]
}

run "the_longest_window_by_default" {
  command = plan

  variables {
    telemetry_batch_window_seconds = 300
  }

  assert {
    condition     = aws_sqs_queue.telemetry.visibility_timeout_seconds == 480
    error_message = "Six times the handler's time-out, and the window."
  }
}

run "outages" {
  command = plan

  assert {
    condition     = aws_sqs_queue.dead_letters.message_retention_seconds > aws_sqs_queue.telemetry.message_retention_seconds
    error_message = "A dead letter keeps the age that it had in the queue."
  }

  assert {
    condition     = var.queue_max_receive_count * aws_sqs_queue.telemetry.visibility_timeout_seconds < aws_sqs_queue.telemetry.message_retention_seconds
    error_message = "A message must become a dead letter before the queue drops it."
  }
}

run "a_topic_root_that_makes_the_policy_too_long" {
  command = plan

  variables {
    topic_root = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb/cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc/dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd/eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee/ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
  }

  expect_failures = [aws_iot_policy.station]
}

run "prod_without_somebody_to_tell" {
  command = plan

  variables {
    environment = "prod"
  }

  expect_failures = [aws_sns_topic.alarms]
}

run "a_budget_without_somebody_to_tell" {
  command = plan

  variables {
    monthly_budget_usd = 50
  }

  expect_failures = [aws_sns_topic.alarms]
}

run "silence_is_an_alarm" {
  command = plan

  assert {
    condition = alltrue([
      for name in ["nothing-arrives", "archive-age"] :
      aws_cloudwatch_metric_alarm.silence[name].treat_missing_data == "breaching"
    ])
    error_message = "No data is what these alarms are about."
  }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.rule_failures) == 4 && length(aws_cloudwatch_metric_alarm.rule_throttled) == 2
    error_message = "Failure and ErrorActionFailure, and throttling, of both rules."
  }

  assert {
    condition     = aws_iot_topic_rule.telemetry.name == "ev_swap_dev_telemetry_rule"
    error_message = "The rule's name is a contract."
  }
}

run "roles_have_the_boundary" {
  command = plan

  variables {
    oidc_issuer              = "https://issuer.example"
    permissions_boundary_arn = "arn:aws:iam::123456789012:policy/ev-swap-boundary"
  }

  assert {
    condition = alltrue([
      for role in [
        aws_iam_role.telemetry_handler,
        aws_iam_role.api_handler,
        aws_iam_role.api_authorizer[0],
        aws_iam_role.iot_rules,
        aws_iam_role.iot_errors,
      ] : role.permissions_boundary == var.permissions_boundary_arn
    ])
    error_message = "Each role has it."
  }
}
