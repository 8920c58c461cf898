# Refrigerated trucks: each message's rule calls a function; what is too warm is told to people and programs, and kept.

terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }
}

variable "region" {
  type    = string
  default = "eu-central-1"
}

variable "package_dir" {
  description = "Folder with log_temperature.zip."
  type        = string
}

variable "lambda_runtime" {
  type    = string
  default = "python3.13"
}

provider "aws" {
  region = var.region
}

data "aws_caller_identity" "current" {}

locals {
  iot  = "arn:aws:iot:${var.region}:${data.aws_caller_identity.current.account_id}"
  self = "$${iot:Connection.Thing.ThingName}"

  shadow = "$aws/things/${local.self}/shadow"
}

# ---------------------------------------------------------------------------
# Trucks
# ---------------------------------------------------------------------------

resource "aws_iot_policy" "truck" {
  name = "cold-chain-truck"

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = "iot:Connect", Resource = "${local.iot}:client/${local.self}" },
      { Effect = "Allow", Action = "iot:Publish", Resource = "${local.iot}:topic/trucks/${local.self}/state" },
      # Its shadow, which has the set point.
      { Effect = "Allow", Action = ["iot:Publish", "iot:Receive"], Resource = "${local.iot}:topic/${local.shadow}/*" },
      { Effect = "Allow", Action = "iot:Subscribe", Resource = "${local.iot}:topicfilter/${local.shadow}/*" },
    ]
  })
}

resource "aws_dynamodb_table" "trucks" {
  name         = "cold-chain-trucks"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "truck"

  attribute {
    name = "truck"
    type = "S"
  }
}

# ---------------------------------------------------------------------------
# Every state: a rule straight to a function
# ---------------------------------------------------------------------------

data "aws_iam_policy_document" "function_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "function" {
  statement {
    actions   = ["dynamodb:PutItem"]
    resources = [aws_dynamodb_table.trucks.arn]
  }

  statement {
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.failed.arn]
  }

  statement {
    actions   = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["*"]
  }
}

resource "aws_iam_role" "function" {
  name               = "cold-chain-log-temperature"
  assume_role_policy = data.aws_iam_policy_document.function_trust.json
}

resource "aws_iam_role_policy" "function" {
  name   = "writes-trucks"
  role   = aws_iam_role.function.id
  policy = data.aws_iam_policy_document.function.json
}

# What the function could not store.
resource "aws_sqs_queue" "failed" {
  name = "cold-chain-failed"
}

resource "aws_lambda_function_event_invoke_config" "log_temperature" {
  function_name          = aws_lambda_function.log_temperature.function_name
  maximum_retry_attempts = 1
}

resource "aws_lambda_function" "log_temperature" {
  function_name    = "cold-chain-log-temperature"
  role             = aws_iam_role.function.arn
  handler          = "app.handler"
  runtime          = var.lambda_runtime
  filename         = "${var.package_dir}/log_temperature.zip"
  source_code_hash = filebase64sha256("${var.package_dir}/log_temperature.zip")
  timeout          = 10

  # Few at once: a burst waits, as AWS lets an asynchronous call wait.
  reserved_concurrent_executions = 2

  dead_letter_config {
    target_arn = aws_sqs_queue.failed.arn
  }

  environment {
    variables = { TABLE = aws_dynamodb_table.trucks.name }
  }
}

resource "aws_lambda_permission" "rule" {
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.log_temperature.function_name
  principal     = "iot.amazonaws.com"
  source_arn    = aws_iot_topic_rule.state.arn
}

resource "aws_iot_topic_rule" "state" {
  name        = "cold_chain_state"
  enabled     = true
  sql         = "SELECT * FROM 'trucks/+/state'"
  sql_version = "2016-03-23"

  lambda {
    function_arn = aws_lambda_function.log_temperature.arn
  }
}

# ---------------------------------------------------------------------------
# What is too warm: a queue for programs, a topic for people, and a bucket as evidence
# ---------------------------------------------------------------------------

resource "aws_sqs_queue" "too_warm" {
  name = "cold-chain-too-warm"
}

resource "aws_sns_topic" "too_warm" {
  name = "cold-chain-too-warm"
}

# Who is on call; an e-mail address subscribes in the same way.
resource "aws_sqs_queue" "on_call" {
  name = "cold-chain-on-call"
}

data "aws_iam_policy_document" "on_call" {
  statement {
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.on_call.arn]

    principals {
      type        = "Service"
      identifiers = ["sns.amazonaws.com"]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [aws_sns_topic.too_warm.arn]
    }
  }
}

resource "aws_sqs_queue_policy" "on_call" {
  queue_url = aws_sqs_queue.on_call.id
  policy    = data.aws_iam_policy_document.on_call.json
}

resource "aws_sns_topic_subscription" "on_call" {
  topic_arn            = aws_sns_topic.too_warm.arn
  protocol             = "sqs"
  endpoint             = aws_sqs_queue.on_call.arn
  raw_message_delivery = true
}

resource "aws_s3_bucket" "evidence" {
  bucket        = "cold-chain-evidence-${data.aws_caller_identity.current.account_id}"
  force_destroy = true
}

data "aws_iam_policy_document" "rule_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["iot.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "rule" {
  statement {
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.too_warm.arn]
  }

  statement {
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.too_warm.arn]
  }

  statement {
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.evidence.arn}/*"]
  }
}

resource "aws_iam_role" "rule" {
  name               = "cold-chain-too-warm"
  assume_role_policy = data.aws_iam_policy_document.rule_trust.json
}

resource "aws_iam_role_policy" "rule" {
  name   = "sends-what-is-too-warm"
  role   = aws_iam_role.rule.id
  policy = data.aws_iam_policy_document.rule.json
}

resource "aws_iot_topic_rule" "too_warm" {
  name        = "cold_chain_too_warm"
  enabled     = true
  sql         = "SELECT truck, temp_c FROM 'trucks/+/state' WHERE temp_c > 8"
  sql_version = "2016-03-23"

  sqs {
    queue_url  = aws_sqs_queue.too_warm.id
    role_arn   = aws_iam_role.rule.arn
    use_base64 = false
  }

  sns {
    target_arn     = aws_sns_topic.too_warm.arn
    role_arn       = aws_iam_role.rule.arn
    message_format = "RAW"
  }
}

resource "aws_iot_topic_rule" "evidence" {
  name        = "cold_chain_evidence"
  enabled     = true
  sql         = "SELECT * FROM 'trucks/+/state' WHERE temp_c > 8"
  sql_version = "2016-03-23"

  s3 {
    bucket_name = aws_s3_bucket.evidence.bucket
    key         = "$${topic(2)}/$${timestamp()}-$${newuuid()}.json"
    role_arn    = aws_iam_role.rule.arn
  }
}

output "thing_policy" {
  value = aws_iot_policy.truck.name
}

output "table" {
  value = aws_dynamodb_table.trucks.name
}

output "too_warm_queue" {
  value = aws_sqs_queue.too_warm.id
}

output "on_call_queue" {
  value = aws_sqs_queue.on_call.id
}

output "failed_queue" {
  value = aws_sqs_queue.failed.id
}

output "evidence_bucket" {
  value = aws_s3_bucket.evidence.bucket
}
