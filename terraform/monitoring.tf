# Alarms, where they go, and a dashboard.

resource "aws_sns_topic" "alarms" {
  name = "${local.name_prefix}-alarms"
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
  alarm_description   = "The oldest waiting message is too old: the handler does not keep up, or fails"
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

resource "aws_cloudwatch_metric_alarm" "lambda_errors" {
  for_each = toset([local.telemetry_function_name, local.api_function_name])

  alarm_name          = "${each.value}-errors"
  alarm_description   = "The function failed: see its log group"
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

locals {
  dashboard_widgets = [
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
        ["AWS/DynamoDB", metric, "TableName", aws_dynamodb_table.stations.name]
      ]
    },
    {
      title = "API: requests, errors"
      metrics = [for metric in ["Count", "4XXError", "5XXError"] :
        ["AWS/ApiGateway", metric, "ApiName", aws_api_gateway_rest_api.stations.name]
      ]
    },
  ]
}

resource "aws_cloudwatch_dashboard" "network" {
  dashboard_name = local.name_prefix

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
