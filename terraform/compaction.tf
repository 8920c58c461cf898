# The archive's small objects of an hour become few large ones, which Athena reads quicker and which may move to
# Glacier Instant Retrieval. Off by default: `scripts/testbed compact` does the same by hand.

locals {
  compactor_function_name = "${local.name_prefix}-archive-compactor"
}

resource "aws_cloudwatch_log_group" "archive_compactor" {
  count = var.archive_compaction ? 1 : 0

  name              = "/aws/lambda/${local.compactor_function_name}"
  retention_in_days = var.log_retention_days
}

resource "aws_iam_role" "archive_compactor" {
  count = var.archive_compaction ? 1 : 0

  name                 = "${local.global_prefix}-archive-compactor"
  assume_role_policy   = data.aws_iam_policy_document.assume_lambda.json
  permissions_boundary = var.permissions_boundary_arn
}

data "aws_iam_policy_document" "archive_compactor" {
  count = var.archive_compaction ? 1 : 0

  # Without a condition on the prefix: S3 would say AccessDenied of an object that another run has just removed, and not
  # NoSuchKey (S3 API reference, GetObject, "Permissions").
  statement {
    sid       = "List"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.telemetry.arn]
  }

  statement {
    sid       = "Read"
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.telemetry.arn}/telemetry/*", "${aws_s3_bucket.telemetry.arn}/compacted/*"]
  }

  statement {
    sid       = "Write"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.telemetry.arn}/compacted/*"]
  }

  # Batches alone: what is compacted is never removed.
  statement {
    sid       = "RemoveWhatWasReplaced"
    actions   = ["s3:DeleteObject"]
    resources = ["${aws_s3_bucket.telemetry.arn}/telemetry/*"]
  }

  statement {
    sid       = "Logs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.archive_compactor[0].arn}:*"]
  }
}

resource "aws_iam_role_policy" "archive_compactor" {
  count = var.archive_compaction ? 1 : 0

  name   = "archive-compactor"
  role   = aws_iam_role.archive_compactor[0].id
  policy = data.aws_iam_policy_document.archive_compactor[0].json
}

resource "aws_lambda_function" "archive_compactor" {
  count = var.archive_compaction ? 1 : 0

  function_name    = local.compactor_function_name
  description      = "Merges the archive's objects of past hours"
  filename         = "${var.lambda_package_dir}/archive_compactor.zip"
  source_code_hash = filebase64sha256("${var.lambda_package_dir}/archive_compactor.zip")
  handler          = "archive_compactor.app.handler"
  runtime          = var.lambda_runtime
  architectures    = [var.lambda_architecture]
  role             = aws_iam_role.archive_compactor[0].arn

  # One whole processor; it takes 500 MB. It stops by itself before its time is over, and the next run goes on.
  memory_size = 1769
  timeout     = 900

  reserved_concurrent_executions = var.lambda_reserved_concurrency

  environment {
    variables = {
      TELEMETRY_BUCKET        = aws_s3_bucket.telemetry.id
      LOG_LEVEL               = var.log_level
      POWERTOOLS_SERVICE_NAME = local.compactor_function_name
    }
  }

  depends_on = [aws_cloudwatch_log_group.archive_compactor, aws_iam_role_policy.archive_compactor]
}

resource "aws_cloudwatch_event_rule" "archive_compaction" {
  count = var.archive_compaction ? 1 : 0

  name                = "${local.name_prefix}-archive-compaction"
  description         = "When the archive is compacted"
  schedule_expression = var.archive_compaction_schedule
}

resource "aws_cloudwatch_event_target" "archive_compaction" {
  count = var.archive_compaction ? 1 : 0

  rule      = aws_cloudwatch_event_rule.archive_compaction[0].name
  target_id = "archive-compactor"
  arn       = aws_lambda_function.archive_compactor[0].arn
}

resource "aws_lambda_permission" "archive_compaction" {
  count = var.archive_compaction ? 1 : 0

  statement_id  = "AllowEventBridge"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.archive_compactor[0].function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.archive_compaction[0].arn
}

# Errors of the function itself ring as the others' do (monitoring.tf); this is for runs that never came about.
resource "aws_cloudwatch_metric_alarm" "archive_compaction" {
  count = var.archive_compaction ? 1 : 0

  alarm_name          = "${local.compactor_function_name}-not-called"
  alarm_description   = "EventBridge could not call the function that compacts the archive: see the function's policy"
  namespace           = "AWS/Events"
  metric_name         = "FailedInvocations"
  dimensions          = { RuleName = aws_cloudwatch_event_rule.archive_compaction[0].name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}
