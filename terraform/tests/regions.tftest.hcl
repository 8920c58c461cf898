# The first of two regions, and the second: what is there twice, and whose names must not be the same. Plans alone.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

variables {
  oidc_issuer         = "https://issuer.example"
  monthly_budget_usd  = 50
  alarm_email         = "ops@example.com"
  dashboard_enabled   = true
  load_test           = true
  load_test_image     = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/ev-swap-simulator@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  load_test_subnet_id = "subnet-0123456789abcdef0"
  api_domain = {
    name            = "api.example.com"
    certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/00000000-0000-4000-8000-000000000000"
    zone_id         = "Z0123456789ABCDEFGHIJ"
  }
  silence_alarm_minutes = 15
}

run "the_first_of_two" {
  command = plan

  variables {
    replica_regions = ["us-east-1"]
  }

  assert {
    condition = alltrue([
      for table in [aws_dynamodb_table.stations[0], aws_dynamodb_table.history[0], aws_dynamodb_table.operations[0]] :
      table.stream_enabled && table.stream_view_type == "NEW_AND_OLD_IMAGES" && [for copy in table.replica : copy.region_name] == ["us-east-1"]
    ])
    error_message = "each table wants a stream of both images, and a replica"
  }

  assert {
    condition     = aws_iam_role.telemetry_handler.name == "ev-swap-dev-telemetry-handler" && aws_s3_bucket.telemetry.bucket == "ev-swap-dev-telemetry-123456789012"
    error_message = "a region that gets a second one must keep its names: others would be made anew"
  }

  assert {
    condition     = aws_route53_record.api["api"].failover_routing_policy[0].type == "PRIMARY" && aws_route53_health_check.api["api"].cloudwatch_alarm_name == "ev-swap-dev-nothing-arrives"
    error_message = "the API's name must be the first region's while stations are heard there"
  }
}

run "the_second" {
  command = plan

  variables {
    aws_region     = "us-east-1"
    primary_region = "eu-central-1"
  }

  assert {
    condition     = length(aws_dynamodb_table.stations) + length(aws_dynamodb_table.history) + length(aws_dynamodb_table.operations) == 0
    error_message = "the tables are there already: they are the first region's replicas"
  }

  assert {
    condition     = output.stations_table_name == "ev-swap-dev-stations" && aws_lambda_function.telemetry_handler.environment[0].variables["STATIONS_TABLE"] == "ev-swap-dev-stations" && local.tables.stations.arn == "arn:aws:dynamodb:us-east-1:123456789012:table/ev-swap-dev-stations"
    error_message = "the handler must write to this region's replica, which has the table's name"
  }

  assert {
    condition = alltrue([
      for name in [
        aws_iam_role.telemetry_handler.name,
        aws_iam_role.api_handler.name,
        aws_iam_role.api_authorizer[0].name,
        aws_iam_role.commands.name,
        aws_iam_role.iot_rules.name,
        aws_iam_role.iot_errors.name,
        aws_iam_role.load_test[0].name,
        aws_iam_role.load_test_start[0].name,
        aws_s3_bucket.telemetry.bucket,
        aws_s3_bucket.dashboard[0].bucket,
        aws_cloudwatch_dashboard.network.dashboard_name,
        aws_cloudfront_distribution.dashboard[0].comment,
        aws_budgets_budget.monthly[0].name,
      ] : startswith(name, "ev-swap-dev-us-east-1")
    ])
    error_message = "a name that AWS knows once an account, or once in the world, is the first region's"
  }

  assert {
    condition     = aws_sqs_queue.telemetry.name == "ev-swap-dev-telemetry" && aws_iot_policy.station.name == "ev-swap-dev-station-policy" && aws_iot_topic_rule.telemetry.name == "ev_swap_dev_telemetry_rule"
    error_message = "what is a region's own has the same name in each: devices name the rule, and people the queue"
  }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.silence) == 0
    error_message = "a second region is silent until it is needed"
  }

  assert {
    condition     = aws_route53_record.api["api"].failover_routing_policy[0].type == "SECONDARY" && aws_route53_record.api["api"].set_identifier == "us-east-1" && length(aws_route53_health_check.api) == 0
    error_message = "the API's name must be the second region's when the first one's check fails"
  }
}

run "the_second_has_no_replicas_of_its_own" {
  command = plan

  variables {
    aws_region      = "us-east-1"
    primary_region  = "eu-central-1"
    replica_regions = ["eu-west-1"]
  }

  expect_failures = [aws_lambda_function.telemetry_handler]
}

run "a_region_is_not_its_own_second" {
  command = plan

  variables {
    primary_region = "eu-central-1"
  }

  expect_failures = [aws_lambda_function.telemetry_handler]
}

run "a_table_is_no_replica_of_itself" {
  command = plan

  variables {
    replica_regions = ["eu-central-1"]
  }

  expect_failures = [aws_dynamodb_table.stations]
}

run "replicas_are_paid_by_the_write" {
  command = plan

  variables {
    replica_regions = ["us-east-1"]
    table_capacity  = "provisioned"
  }

  expect_failures = [aws_dynamodb_table.stations]
}

run "a_name_follows_the_alarm_of_silence" {
  command = plan

  variables {
    replica_regions       = ["us-east-1"]
    silence_alarm_minutes = null
  }

  expect_failures = [aws_route53_health_check.api]
}
