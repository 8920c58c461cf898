# Refrigerated trucks: each message's rule calls a function, and what is too warm goes to a queue, too.

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
# What is too warm: a queue
# ---------------------------------------------------------------------------

resource "aws_sqs_queue" "too_warm" {
  name = "cold-chain-too-warm"
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
