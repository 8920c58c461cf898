# The two functions and what calls the first one. (API Gateway calls the second: api_gateway.tf.)

locals {
  telemetry_function_name = "${local.name_prefix}-telemetry-handler"
  api_function_name       = "${local.name_prefix}-api-handler"
  metrics_namespace       = "EvSwap"
}

# ---------------------------------------------------------------------------
# Telemetry handler
# ---------------------------------------------------------------------------

resource "aws_cloudwatch_log_group" "telemetry_handler" {
  name              = "/aws/lambda/${local.telemetry_function_name}"
  retention_in_days = var.log_retention_days
}

resource "aws_lambda_function" "telemetry_handler" {
  function_name    = local.telemetry_function_name
  description      = "Validates telemetry; keeps the latest state in DynamoDB and the history in S3"
  filename         = "${var.lambda_package_dir}/telemetry_handler.zip"
  source_code_hash = filebase64sha256("${var.lambda_package_dir}/telemetry_handler.zip")
  handler          = "telemetry_handler.app.handler"
  runtime          = var.lambda_runtime
  architectures    = [var.lambda_architecture]
  role             = aws_iam_role.telemetry_handler.arn
  memory_size      = 512
  timeout          = var.telemetry_timeout_seconds

  reserved_concurrent_executions = var.lambda_reserved_concurrency

  tracing_config {
    mode = var.enable_xray ? "Active" : "PassThrough"
  }

  environment {
    variables = merge({
      STATIONS_TABLE               = local.tables.stations.name
      HISTORY_TABLE                = local.tables.history.name
      HISTORY_RESOLUTION_SECONDS   = tostring(var.history_resolution_seconds)
      HISTORY_HOURS                = tostring(var.history_hours)
      TELEMETRY_BUCKET             = aws_s3_bucket.telemetry.id
      DEAD_LETTER_QUEUE_URL        = aws_sqs_queue.dead_letters.id
      TOPIC_ROOT                   = local.topic_root
      LOG_LEVEL                    = var.log_level
      POWERTOOLS_SERVICE_NAME      = local.telemetry_function_name
      POWERTOOLS_METRICS_NAMESPACE = local.metrics_namespace
      },
      local.iot_data_endpoints,
    )
  }

  lifecycle {
    precondition {
      condition     = !local.secondary || (var.primary_region != var.aws_region && !local.replicated && !local.tables_provisioned)
      error_message = "primary_region is for a second region alone: not aws_region, and without replica_regions and table_capacity, which are the first one's to say."
    }
  }

  # The log group first: Lambda would make one of its own, without retention.
  depends_on = [aws_cloudwatch_log_group.telemetry_handler, aws_iam_role_policy.telemetry_handler]
}

resource "aws_lambda_event_source_mapping" "telemetry" {
  event_source_arn                   = aws_sqs_queue.telemetry.arn
  function_name                      = aws_lambda_function.telemetry_handler.arn
  batch_size                         = var.telemetry_batch_size
  maximum_batching_window_in_seconds = var.telemetry_batch_window_seconds

  # A poison record must not take its batch with it.
  function_response_types = ["ReportBatchItemFailures"]

  scaling_config {
    maximum_concurrency = var.telemetry_max_concurrency
  }

  lifecycle {
    # Lambda refuses it: CreateEventSourceMapping, MaximumBatchingWindowInSeconds.
    precondition {
      condition     = var.telemetry_batch_size <= 10 || var.telemetry_batch_window_seconds >= 1
      error_message = "telemetry_batch_size over 10 wants telemetry_batch_window_seconds of at least 1."
    }

    # Or a message that waits for its batch to fill is delivered twice.
    precondition {
      condition     = local.queue_visibility_timeout_seconds >= var.telemetry_timeout_seconds + var.telemetry_batch_window_seconds
      error_message = "queue_visibility_timeout_seconds must be at least telemetry_timeout_seconds and telemetry_batch_window_seconds together."
    }
  }
}

# ---------------------------------------------------------------------------
# API handler
# ---------------------------------------------------------------------------

resource "aws_cloudwatch_log_group" "api_handler" {
  name              = "/aws/lambda/${local.api_function_name}"
  retention_in_days = var.log_retention_days
}

resource "aws_lambda_function" "api_handler" {
  function_name    = local.api_function_name
  description      = "Serves the stations' latest state and last hours over REST, changes their settings, and sends them commands"
  filename         = "${var.lambda_package_dir}/api_handler.zip"
  source_code_hash = filebase64sha256("${var.lambda_package_dir}/api_handler.zip")
  handler          = "api_handler.app.handler"
  runtime          = var.lambda_runtime
  architectures    = [var.lambda_architecture]
  role             = aws_iam_role.api_handler.arn
  memory_size      = 512
  timeout          = 10

  reserved_concurrent_executions = var.lambda_reserved_concurrency

  tracing_config {
    mode = var.enable_xray ? "Active" : "PassThrough"
  }

  environment {
    variables = merge({
      STATIONS_TABLE               = local.tables.stations.name
      HISTORY_TABLE                = local.tables.history.name
      HISTORY_RESOLUTION_SECONDS   = tostring(var.history_resolution_seconds)
      HISTORY_HOURS                = tostring(var.history_hours)
      TELEMETRY_QUEUE_URL          = aws_sqs_queue.telemetry.id
      DEAD_LETTER_QUEUE_URL        = aws_sqs_queue.dead_letters.id
      OPERATIONS_TABLE             = local.tables.operations.name
      STATION_PREFIX               = var.station_prefix
      TOPIC_ROOT                   = local.topic_root
      COMMANDS_ROLE_ARN            = aws_iam_role.commands.arn
      ALARM_PREFIX                 = "${local.name_prefix}-"
      JOB_PREFIX                   = local.job_prefix
      REALTIME_TOPIC_FILTER        = local.telemetry_topic_filter
      LOG_LEVEL                    = var.log_level
      POWERTOOLS_SERVICE_NAME      = local.api_function_name
      POWERTOOLS_METRICS_NAMESPACE = local.metrics_namespace
      },
      local.iot_data_endpoints,
      local.cors ? { CORS_ORIGIN = local.cors_origin } : {},
      local.realtime_endpoint == "" ? {} : { REALTIME_ENDPOINT = "wss://${local.realtime_endpoint}/mqtt" },
      local.oidc ? { AUTHORIZER_REQUIRED = "1" } : {},
      var.operate_with_key ? { OPERATE_WITH_KEY = "1" } : {},
    )
  }

  depends_on = [aws_cloudwatch_log_group.api_handler, aws_iam_role_policy.api_handler]
}
