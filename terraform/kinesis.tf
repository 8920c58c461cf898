# A stream between the rule and the handler, in the queue's place (ingest = "kinesis"): past what one queue's pollers
# carry, and cheaper for a large fleet. A station's messages are in one shard, in their order. Presence events, and dead
# letters that are sent again, go by the queue as ever.

locals {
  stream      = var.ingest == "kinesis"
  stream_mode = var.stream_shards == 0 ? "ON_DEMAND" : "PROVISIONED"

  # A record is gone after 24 hours. What is given up before that is in the dead-letter queue as a range of the stream's
  # sequence numbers, and `scripts/testbed redrive` reads it from there: the difference is the time to do so.
  stream_retention_hours = 24
}

resource "aws_kinesis_stream" "telemetry" {
  count = local.stream ? 1 : 0

  name             = "${local.name_prefix}-telemetry"
  shard_count      = var.stream_shards == 0 ? null : var.stream_shards
  retention_period = local.stream_retention_hours

  # AWS's own key, which asks for no rights of who writes and reads.
  encryption_type = "KMS"
  kms_key_id      = "alias/aws/kinesis"

  stream_mode_details {
    stream_mode = local.stream_mode
  }
}

resource "aws_lambda_event_source_mapping" "stream" {
  count = local.stream ? 1 : 0

  event_source_arn                   = aws_kinesis_stream.telemetry[0].arn
  function_name                      = aws_lambda_function.telemetry_handler.arn
  starting_position                  = "TRIM_HORIZON"
  batch_size                         = var.telemetry_batch_size
  maximum_batching_window_in_seconds = var.telemetry_batch_window_seconds
  parallelization_factor             = var.stream_parallelization_factor

  # The handler says which record of a batch is not safe yet, and is given that one and those after it again; where it
  # says nothing, as it died, the batch is halved until the record is found that kills it.
  function_response_types        = ["ReportBatchItemFailures"]
  bisect_batch_on_function_error = true

  # Tried until it is too old: an outage has no number of attempts.
  maximum_retry_attempts        = -1
  maximum_record_age_in_seconds = var.stream_record_age_seconds

  destination_config {
    on_failure {
      destination_arn = aws_sqs_queue.dead_letters.arn
    }
  }

  # Lambda asks whether the role may, when the mapping is made.
  depends_on = [aws_iam_role_policy.telemetry_handler]
}
