# Alarms, where they go, and a dashboard.

resource "aws_sns_topic" "alarms" {
  name = "${local.name_prefix}-alarms"

  lifecycle {
    precondition {
      condition     = var.alarm_email != null || (var.environment != "prod" && var.monthly_budget_usd == null)
      error_message = "prod, and a budget, want alarm_email: nobody would hear the alarms. Set TF_VAR_alarm_email, or alarm_email in terraform/environments."
    }
  }
}

resource "aws_sns_topic_subscription" "alarm_email" {
  count = var.alarm_email == null ? 0 : 1

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = var.alarm_email
}

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  alarm_name          = "${local.name_prefix}-dead-letters"
  alarm_description   = "Messages wait in the dead-letter queue: see their reasons with `scripts/testbed redrive`"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.dead_letters.name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_metric_alarm" "queue_age" {
  alarm_name          = "${local.name_prefix}-queue-age"
  alarm_description   = "The oldest waiting message is too old: the handler does not keep up, or fails. See its log (make logs) and its concurrency"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = aws_sqs_queue.telemetry.name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.queue_age_alarm_seconds
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

# The stream's counterpart of the queue's age.
resource "aws_cloudwatch_metric_alarm" "stream_age" {
  count = local.stream ? 1 : 0

  alarm_name          = "${local.name_prefix}-stream-age"
  alarm_description   = "What the handler takes from the stream is too old: it does not keep up, or a record fails again and again. See its log (make logs) and stream_parallelization_factor"
  namespace           = "AWS/Lambda"
  metric_name         = "IteratorAge"
  dimensions          = { FunctionName = local.telemetry_function_name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = 1000 * var.queue_age_alarm_seconds
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_metric_alarm" "lambda_errors" {
  for_each = toset(concat(
    [local.telemetry_function_name, local.api_function_name],
    var.archive_compaction ? [local.compactor_function_name] : [],
  ))

  alarm_name          = "${each.value}-errors"
  alarm_description   = "The function failed: see why in its log (make logs)"
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
  dimensions          = { FunctionName = each.value }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

# ---------------------------------------------------------------------------
# AWS IoT's rules: metrics by "AWS IoT metrics and dimensions" in the AWS IoT developer guide
# ---------------------------------------------------------------------------

locals {
  iot_rules = { telemetry = aws_iot_topic_rule.telemetry.name, presence = aws_iot_topic_rule.presence.name }

  iot_failures = {
    for pair in setproduct(keys(local.iot_rules), ["Failure", "ErrorActionFailure"]) :
    "${pair[0]}-${pair[1]}" => { rule = local.iot_rules[pair[0]], metric = pair[1] }
  }
}

# These two have a second dimension, ActionType, whose values the guide does not list; an alarm with a wrong one would be
# silent for ever. So a query sums them up over whatever it is.
resource "aws_cloudwatch_metric_alarm" "rule_failures" {
  for_each = local.iot_failures

  alarm_name = "${local.name_prefix}-rule-${each.key}"
  alarm_description = (each.value.metric == "Failure" ?
    "AWS IoT could not send to the queue: messages go to the dead-letter queue. Mend the rule's role or the queue, then: scripts/testbed redrive" :
    "AWS IoT could not even send to the dead-letter queue: messages are lost"
  )
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]

  metric_query {
    id          = "failed"
    label       = each.value.metric
    period      = 60
    return_data = true
    expression  = "SELECT SUM(${each.value.metric}) FROM SCHEMA(\"AWS/IoT\", ActionType, RuleName) WHERE RuleName = '${each.value.rule}'"
  }
}

resource "aws_cloudwatch_metric_alarm" "rule_throttled" {
  for_each = local.iot_rules

  alarm_name          = "${local.name_prefix}-rule-${each.key}-throttled"
  alarm_description   = "AWS IoT's rules engine dropped messages of this rule: more came than the quota allows. Let stations speak less often, or ask AWS for more"
  namespace           = "AWS/IoT"
  metric_name         = "RuleMessageThrottled"
  dimensions          = { RuleName = each.value }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

# ---------------------------------------------------------------------------
# Silence: no data is what these are about
# ---------------------------------------------------------------------------

locals {
  # A second region is silent until it is needed.
  silence = var.silence_alarm_minutes == null || local.secondary ? {} : {
    "nothing-arrives" = {
      description = "No station's telemetry has reached AWS IoT's rule"
      namespace   = "AWS/IoT"
      metric      = "TopicMatch"
      dimensions  = { RuleName = aws_iot_topic_rule.telemetry.name }
    }
    # The handler's own metric: report.py.
    "archive-age" = {
      description = "The newest message in the archive is old: nothing arrives, or the handler stores nothing"
      namespace   = local.metrics_namespace
      metric      = "Stored"
      dimensions  = { service = local.telemetry_function_name }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "silence" {
  for_each = local.silence

  alarm_name          = "${local.name_prefix}-${each.key}"
  alarm_description   = "${each.value.description} for ${coalesce(var.silence_alarm_minutes, 0)} minutes"
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = "Sum"
  period              = 60 * coalesce(var.silence_alarm_minutes, 5)
  evaluation_periods  = 1
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

locals {
  # What a stream tells, where there is one.
  stream_widgets = [
    for stream in aws_kinesis_stream.telemetry[*].name : {
      title = "Stream: messages in, and those that were throttled"
      metrics = [for metric in ["IncomingRecords", "WriteProvisionedThroughputExceeded"] :
        ["AWS/Kinesis", metric, "StreamName", stream]
      ]
    }
  ]

  stream_age_widgets = [
    for stream in aws_kinesis_stream.telemetry[*].name : {
      title   = "Stream: age of what the handler takes (ms)"
      metrics = [["AWS/Lambda", "IteratorAge", "FunctionName", local.telemetry_function_name]]
    }
  ]

  dashboard_widgets = concat([
    {
      title = "Queues: messages waiting"
      metrics = [
        ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", aws_sqs_queue.telemetry.name],
        ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", aws_sqs_queue.dead_letters.name],
      ]
    },
    {
      title   = "Queue: age of the oldest message (s)"
      metrics = [["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", aws_sqs_queue.telemetry.name]]
    },
    {
      title = "Lambda: invocations and errors"
      metrics = [for pair in setproduct(["Invocations", "Errors", "Throttles"], [local.telemetry_function_name, local.api_function_name]) :
        ["AWS/Lambda", pair[0], "FunctionName", pair[1]]
      ]
    },
    {
      title = "Lambda: duration (ms)"
      metrics = [for name in [local.telemetry_function_name, local.api_function_name] :
        ["AWS/Lambda", "Duration", "FunctionName", name]
      ]
    },
    {
      title = "Stations table: capacity"
      metrics = [for metric in ["ConsumedWriteCapacityUnits", "ConsumedReadCapacityUnits"] :
        ["AWS/DynamoDB", metric, "TableName", local.tables.stations.name]
      ]
    },
    {
      title = "API: requests, errors"
      metrics = [for metric in ["Count", "4XXError", "5XXError"] :
        ["AWS/ApiGateway", metric, "ApiName", aws_api_gateway_rest_api.stations.name]
      ]
    },
  ], local.stream_widgets, local.stream_age_widgets)
}

resource "aws_cloudwatch_dashboard" "network" {
  dashboard_name = local.global_prefix

  dashboard_body = jsonencode({
    widgets = [for index, widget in local.dashboard_widgets : {
      type   = "metric"
      x      = 12 * (index % 2)
      y      = 6 * floor(index / 2)
      width  = 12
      height = 6
      properties = {
        title   = widget.title
        metrics = widget.metrics
        region  = var.aws_region
        period  = 60
        stat    = "Sum"
        view    = "timeSeries"
      }
    }]
  })
}
