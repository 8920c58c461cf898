# One role a caller, each with no more than what it calls.

data "aws_iam_policy_document" "assume_lambda" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

# ---------------------------------------------------------------------------
# Telemetry handler
# ---------------------------------------------------------------------------

resource "aws_iam_role" "telemetry_handler" {
  name                 = "${local.global_prefix}-telemetry-handler"
  assume_role_policy   = data.aws_iam_policy_document.assume_lambda.json
  permissions_boundary = var.permissions_boundary_arn
}

data "aws_iam_policy_document" "telemetry_handler" {
  statement {
    sid       = "ConsumeTelemetry"
    actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
    resources = [aws_sqs_queue.telemetry.arn]
  }

  dynamic "statement" {
    for_each = aws_kinesis_stream.telemetry[*].arn

    content {
      sid = "ConsumeTheStream"
      actions = [
        "kinesis:DescribeStream",
        "kinesis:DescribeStreamSummary",
        "kinesis:GetRecords",
        "kinesis:GetShardIterator",
        "kinesis:ListShards",
      ]
      resources = [statement.value]
    }
  }

  statement {
    sid       = "RefuseToDeadLetters"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.dead_letters.arn]
  }

  statement {
    sid       = "LatestState"
    actions   = ["dynamodb:PartiQLUpdate", "dynamodb:UpdateItem"]
    resources = [local.tables.stations.arn]
  }

  statement {
    sid       = "History"
    actions   = ["dynamodb:PutItem"]
    resources = [local.tables.history.arn]
  }

  statement {
    sid       = "Archive"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.telemetry.arn}/telemetry/*"]
  }

  statement {
    sid       = "Logs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.telemetry_handler.arn}:*"]
  }

  dynamic "statement" {
    for_each = var.enable_xray ? ["X-Ray knows no resources"] : []

    content {
      sid       = "Traces"
      actions   = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"]
      resources = ["*"]
    }
  }
}

resource "aws_iam_role_policy" "telemetry_handler" {
  name   = "telemetry-handler"
  role   = aws_iam_role.telemetry_handler.id
  policy = data.aws_iam_policy_document.telemetry_handler.json
}

# ---------------------------------------------------------------------------
# API handler
# ---------------------------------------------------------------------------

resource "aws_iam_role" "api_handler" {
  name                 = "${local.global_prefix}-api-handler"
  assume_role_policy   = data.aws_iam_policy_document.assume_lambda.json
  permissions_boundary = var.permissions_boundary_arn
}

data "aws_iam_policy_document" "api_handler" {
  statement {
    sid       = "ReadStations"
    actions   = ["dynamodb:GetItem", "dynamodb:Scan"]
    resources = [local.tables.stations.arn]
  }

  statement {
    sid       = "ReadHistory"
    actions   = ["dynamodb:Query"]
    resources = [local.tables.history.arn]
  }

  statement {
    sid       = "StationSettings"
    actions   = ["iot:GetThingShadow", "iot:UpdateThingShadow"]
    resources = ["${local.iot_arn}:thing/${var.station_prefix}*"]
  }

  statement {
    sid       = "Operations"
    actions   = ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"]
    resources = [local.tables.operations.arn]
  }

  statement {
    sid       = "SendCommands"
    actions   = ["sts:AssumeRole"]
    resources = [aws_iam_role.commands.arn]
  }

  statement {
    sid       = "CountMessages"
    actions   = ["sqs:GetQueueAttributes"]
    resources = [aws_sqs_queue.telemetry.arn, aws_sqs_queue.dead_letters.arn]
  }

  # Why messages are there; nothing is deleted.
  statement {
    sid       = "LookAtDeadLetters"
    actions   = ["sqs:ReceiveMessage"]
    resources = [aws_sqs_queue.dead_letters.arn]
  }

  # ListJobs knows no resources (Service Authorization Reference, AWS IoT).
  statement {
    sid       = "FindJobs"
    actions   = ["iot:ListJobs"]
    resources = ["*"]
  }

  statement {
    sid       = "ReadJobs"
    actions   = ["iot:DescribeJob"]
    resources = ["${local.iot_arn}:job/${local.job_prefix}*"]
  }

  # By a prefix of names CloudWatch looks through all alarms of the region, and asks for the right to.
  statement {
    sid       = "ReadAlarms"
    actions   = ["cloudwatch:DescribeAlarms"]
    resources = ["arn:aws:cloudwatch:${var.aws_region}:${local.account_id}:alarm:*"]
  }

  # What a page may do with the URL that /realtime signs for it: listen to telemetry, and nothing else.
  statement {
    sid       = "PagesConnect"
    actions   = ["iot:Connect"]
    resources = ["${local.iot_arn}:client/dashboard-*"]
  }

  statement {
    sid     = "PagesSubscribe"
    actions = ["iot:Subscribe"]
    resources = [
      "${local.iot_arn}:topicfilter/${local.telemetry_topic_filter}",
      # Several connections of a page, which share the messages (dashboard/listen.js).
      "${local.iot_arn}:topicfilter/$share/*/${local.telemetry_topic_filter}",
    ]
  }

  statement {
    sid       = "PagesReceive"
    actions   = ["iot:Receive"]
    resources = ["${local.iot_arn}:topic/${local.topic_root}/*/telemetry"]
  }

  statement {
    sid       = "Logs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.api_handler.arn}:*"]
  }

  dynamic "statement" {
    for_each = var.enable_xray ? ["X-Ray knows no resources"] : []

    content {
      sid       = "Traces"
      actions   = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"]
      resources = ["*"]
    }
  }
}

resource "aws_iam_role_policy" "api_handler" {
  name   = "api-handler"
  role   = aws_iam_role.api_handler.id
  policy = data.aws_iam_policy_document.api_handler.json
}

# ---------------------------------------------------------------------------
# Commands: not in the handler's own role. That one signs the URLs that pages listen by, and who has such a URL may do
# over MQTT whatever it may.
# ---------------------------------------------------------------------------

data "aws_iam_policy_document" "assume_commands" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "AWS"
      identifiers = [aws_iam_role.api_handler.arn]
    }
  }
}

resource "aws_iam_role" "commands" {
  name                 = "${local.global_prefix}-commands"
  assume_role_policy   = data.aws_iam_policy_document.assume_commands.json
  permissions_boundary = var.permissions_boundary_arn
}

data "aws_iam_policy_document" "commands" {
  statement {
    sid       = "Publish"
    actions   = ["iot:Publish"]
    resources = ["${local.iot_arn}:topic/${local.topic_root}/*/commands"]
  }
}

resource "aws_iam_role_policy" "commands" {
  name   = "commands"
  role   = aws_iam_role.commands.id
  policy = data.aws_iam_policy_document.commands.json
}

# ---------------------------------------------------------------------------
# IoT rules
# ---------------------------------------------------------------------------

data "aws_iam_policy_document" "assume_iot" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["iot.amazonaws.com"]
    }

    # Only this account's rules: without it the role is a confused deputy.
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account_id]
    }
  }
}

resource "aws_iam_role" "iot_rules" {
  name                 = "${local.global_prefix}-iot-rules"
  assume_role_policy   = data.aws_iam_policy_document.assume_iot.json
  permissions_boundary = var.permissions_boundary_arn
}

data "aws_iam_policy_document" "iot_rules" {
  statement {
    sid       = "SendToTheQueue"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.telemetry.arn]
  }

  dynamic "statement" {
    for_each = aws_kinesis_stream.telemetry[*].arn

    content {
      sid       = "PutIntoTheStream"
      actions   = ["kinesis:PutRecord"]
      resources = [statement.value]
    }
  }

  statement {
    sid       = "KeepAnswers"
    actions   = ["dynamodb:PutItem"]
    resources = [local.tables.operations.arn]
  }
}

resource "aws_iam_role_policy" "iot_rules" {
  name   = "iot-rules"
  role   = aws_iam_role.iot_rules.id
  policy = data.aws_iam_policy_document.iot_rules.json
}

# The error action has a role of its own: what takes the first one's rights away must not take this one's, too.
resource "aws_iam_role" "iot_errors" {
  name                 = "${local.global_prefix}-iot-errors"
  assume_role_policy   = data.aws_iam_policy_document.assume_iot.json
  permissions_boundary = var.permissions_boundary_arn
}

data "aws_iam_policy_document" "iot_errors" {
  statement {
    sid       = "SendToDeadLetters"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.dead_letters.arn]
  }
}

resource "aws_iam_role_policy" "iot_errors" {
  name   = "iot-errors"
  role   = aws_iam_role.iot_errors.id
  policy = data.aws_iam_policy_document.iot_errors.json
}
