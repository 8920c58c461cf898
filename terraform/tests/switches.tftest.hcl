# Names, tags and switches, by plans alone: no AWS account, no engine. `make drills WHAT=terraform` runs it.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

run "with_every_switch_on" {
  command = plan

  variables {
    project     = "battery-net"
    environment = "staging"
    topic_root  = "battery-net/staging"

    enable_waf                    = true
    waf_requests_per_five_minutes = 500
    enable_xray                   = true
    oidc_issuer                   = "https://issuer.example"
    monthly_budget_usd            = 50
    alarm_email                   = "ops@example.com"
    cors_origin                   = "https://pages.example"
    dashboard_enabled             = true
    archive_compaction            = true
    permissions_boundary_arn      = "arn:aws:iam::123456789012:policy/battery-net-boundary"

    load_test                  = true
    load_test_image            = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/ev-swap-simulator@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    load_test_subnet_id        = "subnet-0123456789abcdef0"
    load_test_shards           = 16
    load_test_stations         = 100000
    load_test_interval_seconds = 60
    load_test_duration_seconds = 600
  }

  assert {
    condition = alltrue([
      for name in [
        aws_sqs_queue.telemetry.name,
        aws_sqs_queue.dead_letters.name,
        aws_dynamodb_table.stations[0].name,
        aws_dynamodb_table.history[0].name,
        aws_lambda_function.telemetry_handler.function_name,
        aws_lambda_function.api_handler.function_name,
        aws_lambda_function.api_authorizer[0].function_name,
        aws_iam_role.telemetry_handler.name,
        aws_iam_role.api_handler.name,
        aws_iam_role.api_authorizer[0].name,
        aws_iam_role.archive_compactor[0].name,
        aws_lambda_function.archive_compactor[0].function_name,
        aws_cloudwatch_event_rule.archive_compaction[0].name,
        aws_iam_role.iot_rules.name,
        aws_iam_role.iot_errors.name,
        aws_iot_policy.station.name,
        aws_api_gateway_rest_api.stations.name,
        aws_api_gateway_api_key.client.name,
        aws_api_gateway_usage_plan.clients.name,
        aws_api_gateway_authorizer.oidc[0].name,
        aws_sns_topic.alarms.name,
        aws_cloudwatch_metric_alarm.dead_letters.alarm_name,
        aws_cloudwatch_metric_alarm.queue_age.alarm_name,
        aws_cloudwatch_dashboard.network.dashboard_name,
        aws_athena_workgroup.archive[0].name,
        aws_budgets_budget.monthly[0].name,
        aws_wafv2_web_acl.api[0].name,
        aws_ecs_cluster.load_test[0].name,
        aws_ecs_task_definition.load_test[0].family,
        aws_security_group.load_test[0].name,
        aws_iam_role.load_test[0].name,
        aws_iam_role.load_test_start[0].name,
        aws_s3_bucket.dashboard[0].bucket,
        aws_cloudfront_distribution.dashboard[0].comment,
      ] : startswith(name, "battery-net-staging")
    ])
    error_message = "a name does not begin with project and environment: two deployments could not share an account"
  }

  assert {
    condition     = aws_s3_bucket.telemetry.bucket == "battery-net-staging-telemetry-123456789012"
    error_message = "bucket names are global: the account's number must be in it"
  }

  assert {
    condition     = aws_iot_topic_rule.telemetry.name == "battery_net_staging_telemetry_rule" && aws_iot_topic_rule.presence.name == "battery_net_staging_presence_rule"
    error_message = "rule names are project and environment with underscores"
  }

  assert {
    condition     = endswith(aws_iot_topic_rule.telemetry.sql, " FROM 'battery-net/staging/+/telemetry'")
    error_message = "the rule does not listen below topic_root: two deployments in a region would hear each other's stations"
  }

  assert {
    condition     = strcontains(aws_iot_policy.station.policy, ":topic/battery-net/staging/$${iot:Connection.Thing.ThingName}/telemetry") && !strcontains(aws_iot_policy.station.policy, "ev-swap/stations")
    error_message = "a station may publish elsewhere than below topic_root"
  }

  assert {
    condition     = aws_lambda_function.telemetry_handler.environment[0].variables["TOPIC_ROOT"] == "battery-net/staging"
    error_message = "the handler would refuse what the rule hands it"
  }

  assert {
    condition     = alltrue([for group in [aws_cloudwatch_log_group.telemetry_handler, aws_cloudwatch_log_group.api_handler] : startswith(group.name, "/aws/lambda/battery-net-staging-")])
    error_message = "a log group is not its function's"
  }

  assert {
    condition     = jsonencode(local.tags) == jsonencode({ Project = "battery-net", Environment = "staging", ManagedBy = "terraform" })
    error_message = "the tags of every resource (the provider's default_tags) are not project, environment and terraform"
  }

  assert {
    condition     = length(aws_wafv2_web_acl_association.api) == 1 && length(aws_wafv2_web_acl.api) == 1
    error_message = "enable_waf makes no web ACL before the API"
  }

  assert {
    condition     = anytrue([for rule in aws_wafv2_web_acl.api[0].rule : try(rule.statement[0].rate_based_statement[0].limit == 500, false)])
    error_message = "WAF does not limit an address to waf_requests_per_five_minutes"
  }

  assert {
    condition     = aws_api_gateway_stage.stations.xray_tracing_enabled && aws_lambda_function.api_handler.tracing_config[0].mode == "Active" && aws_lambda_function.telemetry_handler.tracing_config[0].mode == "Active"
    error_message = "enable_xray leaves a part out of the trace"
  }

  assert {
    condition     = alltrue([for method in aws_api_gateway_method.any : method.authorization == "CUSTOM" && method.api_key_required])
    error_message = "a route asks for no token, or for no key beside it"
  }

  assert {
    condition     = aws_lambda_function.api_handler.environment[0].variables["AUTHORIZER_REQUIRED"] == "1"
    error_message = "the handler must refuse what passed no authorizer"
  }

  assert {
    condition     = aws_lambda_permission.archive_compaction[0].principal == "events.amazonaws.com" && aws_cloudwatch_event_target.archive_compaction[0].rule == aws_cloudwatch_event_rule.archive_compaction[0].name
    error_message = "the schedule does not call the function"
  }

  assert {
    condition     = contains(keys(aws_cloudwatch_metric_alarm.lambda_errors), "battery-net-staging-archive-compactor") && length(aws_cloudwatch_metric_alarm.archive_compaction) == 1
    error_message = "a compaction that fails, or is never called, rings nothing"
  }

  assert {
    condition     = aws_iam_role.archive_compactor[0].permissions_boundary == var.permissions_boundary_arn
    error_message = "each role has the boundary"
  }

  assert {
    condition     = aws_budgets_budget.monthly[0].limit_amount == "50"
    error_message = "the budget is not 50 dollars"
  }

  assert {
    condition     = aws_sns_topic_subscription.alarm_email[0].endpoint == "ops@example.com"
    error_message = "alarms are mailed to nobody"
  }

  assert {
    condition     = length(aws_api_gateway_method.preflight) == length(aws_api_gateway_method.any)
    error_message = "a route does not answer a browser's OPTIONS"
  }

  assert {
    condition     = sort([for rule in aws_security_group_rule.load_test_out : "${rule.type} ${rule.protocol} ${rule.from_port}-${rule.to_port}"]) == sort(["egress tcp 8883-8883", "egress tcp 443-443"])
    error_message = "the shards' security group lets more or less through than MQTT and HTTPS outwards"
  }

  assert {
    condition     = contains(aws_ecs_task_definition.load_test[0].requires_compatibilities, "FARGATE") && aws_ecs_task_definition.load_test[0].network_mode == "awsvpc"
    error_message = "a shard is no Fargate task"
  }

  assert {
    condition     = output.load_test.shards == 16 && output.load_test.stations == 100000
    error_message = "the command that starts the shards does not learn how many there are"
  }

  assert {
    condition     = aws_lambda_function.api_handler.environment[0].variables["CORS_ORIGIN"] == "https://pages.example"
    error_message = "an origin that is set must go before the distribution's own name"
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

  assert {
    condition = alltrue([
      for table in [aws_dynamodb_table.stations[0], aws_dynamodb_table.history[0], aws_dynamodb_table.operations[0]] :
      !table.stream_enabled && length(table.replica) == 0
    ])
    error_message = "a table that nobody asked to replicate has a stream or a replica"
  }
}

run "by_default" {
  command = plan

  assert {
    condition = sum([
      length(aws_wafv2_web_acl.api),
      length(aws_wafv2_web_acl_association.api),
      length(aws_budgets_budget.monthly),
      length(aws_lambda_function.api_authorizer),
      length(aws_api_gateway_authorizer.oidc),
      length(aws_sns_topic_subscription.alarm_email),
      length(aws_api_gateway_method.preflight),
      length(aws_lambda_function.archive_compactor),
      length(aws_iam_role.archive_compactor),
      length(aws_cloudwatch_event_rule.archive_compaction),
      length(aws_cloudwatch_metric_alarm.archive_compaction),
      length(aws_ecs_cluster.load_test),
      length(aws_ecs_task_definition.load_test),
      length(aws_security_group.load_test),
      length(aws_security_group_rule.load_test_out),
      length(aws_iam_role.load_test),
      length(aws_iam_role.load_test_start),
      length(aws_cloudwatch_log_group.load_test),
      length(aws_s3_bucket.dashboard),
      length(aws_cloudfront_distribution.dashboard),
      length(local.dashboard_files),
    ]) == 0
    error_message = "a switch that nobody set is on"
  }

  assert {
    condition     = !aws_api_gateway_stage.stations.xray_tracing_enabled && aws_lambda_function.api_handler.tracing_config[0].mode == "PassThrough"
    error_message = "X-Ray is on by itself"
  }

  assert {
    condition     = !aws_s3_bucket.telemetry.force_destroy
    error_message = "by default an archive with data must outlive terraform destroy"
  }

  assert {
    condition     = alltrue([for method in aws_api_gateway_method.any : method.api_key_required])
    error_message = "a route of the API wants no key"
  }

  assert {
    condition     = aws_sqs_queue.telemetry.visibility_timeout_seconds == 6 * aws_lambda_function.telemetry_handler.timeout + aws_lambda_event_source_mapping.telemetry.maximum_batching_window_in_seconds
    error_message = "a batch must stay hidden for six times the handler's time-out, and the window"
  }

  assert {
    condition = alltrue([
      for table in [aws_dynamodb_table.stations[0], aws_dynamodb_table.history[0], aws_dynamodb_table.operations[0]] :
      table.billing_mode == "PAY_PER_REQUEST"
    ])
    error_message = "by default a write is paid by itself"
  }

  assert {
    condition     = length(aws_appautoscaling_target.tables) + length(aws_appautoscaling_policy.tables) == 0
    error_message = "a table on demand has nothing to scale"
  }

  assert {
    condition     = length(aws_kinesis_stream.telemetry) + length(aws_lambda_event_source_mapping.stream) + length(aws_cloudwatch_metric_alarm.stream_age) == 0
    error_message = "a switch that nobody set makes a stream"
  }

  assert {
    condition     = length(aws_iot_topic_rule.telemetry.sqs) == 1 && length(aws_iot_topic_rule.telemetry.kinesis) == 0
    error_message = "telemetry goes to the queue"
  }

  assert {
    condition     = output.telemetry_stream_name == ""
    error_message = "there is no stream"
  }

  assert {
    condition     = aws_sqs_queue.dead_letters.message_retention_seconds > aws_sqs_queue.telemetry.message_retention_seconds
    error_message = "A dead letter keeps the age that it had in the queue."
  }

  assert {
    condition     = var.queue_max_receive_count * aws_sqs_queue.telemetry.visibility_timeout_seconds < aws_sqs_queue.telemetry.message_retention_seconds
    error_message = "A message must become a dead letter before the queue drops it."
  }

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

run "other_endpoints_no_athena_and_tags_of_ones_own" {
  command = plan

  variables {
    realtime_endpoint = ""
    iot_data_endpoint = "http://127.0.0.1:9443"
    analytics         = false
    tags              = { CostCentre = "42" }
  }

  assert {
    condition     = !contains(keys(aws_lambda_function.api_handler.environment[0].variables), "REALTIME_ENDPOINT")
    error_message = "without an endpoint /realtime must offer no URL"
  }

  assert {
    condition = alltrue([
      for function in [aws_lambda_function.telemetry_handler, aws_lambda_function.api_handler] :
      function.environment[0].variables["AWS_ENDPOINT_URL_IOT_DATA_PLANE"] == "http://127.0.0.1:9443"
    ])
    error_message = "on engines whose port lacks iot-data the SDKs in functions must find it elsewhere"
  }

  assert {
    condition     = length(aws_glue_catalog_table.batches) + length(aws_glue_catalog_table.hours) + length(aws_athena_workgroup.archive) == 0 && output.analytics_database == ""
    error_message = "analytics = false leaves something of Athena"
  }

  assert {
    condition     = local.tags["CostCentre"] == "42" && local.tags["Project"] == "ev-swap"
    error_message = "tags must be added to those that every resource carries"
  }
}
