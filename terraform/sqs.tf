# The queue between the rule and the handler, and the dead-letter queue of both.

locals {
  queue_visibility_timeout_seconds = coalesce(var.queue_visibility_timeout_seconds, 6 * var.telemetry_timeout_seconds + var.telemetry_batch_window_seconds)

  # A message that is moved to a dead-letter queue keeps the age that it had: that queue must keep messages for longer.
  # (SQS developer guide, "Using dead-letter queues in Amazon SQS")
  four_days_in_seconds     = 345600
  fourteen_days_in_seconds = 1209600
}

resource "aws_sqs_queue" "dead_letters" {
  name                      = "${local.name_prefix}-telemetry-dlq"
  message_retention_seconds = local.fourteen_days_in_seconds
  sqs_managed_sse_enabled   = true
}

resource "aws_sqs_queue" "telemetry" {
  name                       = "${local.name_prefix}-telemetry"
  message_retention_seconds  = local.four_days_in_seconds
  visibility_timeout_seconds = local.queue_visibility_timeout_seconds
  sqs_managed_sse_enabled    = true

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters.arn
    maxReceiveCount     = var.queue_max_receive_count
  })
}
