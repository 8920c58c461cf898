# How the tables are paid, and the queue's and the stream's settings: by plans alone. A plan costs a second or two, so that
# settings which have nothing to do with each other share one.

mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

run "provisioned_tables_a_stream_on_demand_and_a_small_batch_without_a_window" {
  command = plan

  variables {
    table_capacity                 = "provisioned"
    table_write_units              = 300
    table_most_units               = 1000
    ingest                         = "kinesis"
    telemetry_batch_size           = 10
    telemetry_batch_window_seconds = 0
  }

  assert {
    condition = alltrue([
      for table in [aws_dynamodb_table.stations[0], aws_dynamodb_table.history[0]] :
      table.billing_mode == "PROVISIONED" && table.write_capacity == 300 && table.read_capacity == 5
    ])
    error_message = "the two tables of the stations must begin with the units that are asked for"
  }

  assert {
    condition     = aws_dynamodb_table.operations[0].billing_mode == "PAY_PER_REQUEST"
    error_message = "what operators do by hand needs no units that idle"
  }

  assert {
    condition     = sort(keys(aws_appautoscaling_target.tables)) == sort(["stations-read", "stations-write", "history-read", "history-write"])
    error_message = "reads and writes of both tables must follow the load"
  }

  assert {
    condition = alltrue([
      for key, target in aws_appautoscaling_target.tables :
      target.min_capacity == (endswith(key, "write") ? 300 : 5) && target.max_capacity == 1000
    ])
    error_message = "units are between table_write_units, or table_read_units, and table_most_units"
  }

  assert {
    condition = alltrue([
      for key, policy in aws_appautoscaling_policy.tables :
      policy.target_tracking_scaling_policy_configuration[0].target_value == 70
      && policy.target_tracking_scaling_policy_configuration[0].predefined_metric_specification[0].predefined_metric_type
      == (endswith(key, "write") ? "DynamoDBWriteCapacityUtilization" : "DynamoDBReadCapacityUtilization")
    ])
    error_message = "testbed/cost/designs.py prices tables that are 70 % full"
  }

  assert {
    condition     = length(aws_iot_topic_rule.telemetry.sqs) == 0 && one(aws_iot_topic_rule.telemetry.kinesis).stream_name == "ev-swap-dev-telemetry"
    error_message = "telemetry goes to the stream, and to nothing else"
  }

  assert {
    condition     = one(aws_iot_topic_rule.telemetry.kinesis).partition_key == "$${topic(3)}"
    error_message = "a station's messages must be in one shard"
  }

  assert {
    condition     = length(aws_iot_topic_rule.telemetry.error_action[0].sqs) == 1 && length(aws_iot_topic_rule.presence.sqs) == 1
    error_message = "what the rule cannot send goes to the dead-letter queue as ever, and presence to the queue"
  }

  assert {
    condition     = local.stream_mode == "ON_DEMAND" && aws_kinesis_stream.telemetry[0].encryption_type == "KMS"
    error_message = "by default AWS chooses the shards"
  }

  assert {
    condition     = aws_lambda_event_source_mapping.stream[0].bisect_batch_on_function_error
    error_message = "a record that fails must not take its batch with it"
  }

  assert {
    condition     = aws_lambda_event_source_mapping.stream[0].maximum_retry_attempts == -1 && aws_lambda_event_source_mapping.stream[0].maximum_record_age_in_seconds + 3600 <= 3600 * aws_kinesis_stream.telemetry[0].retention_period
    error_message = "an outage has no number of attempts, and what is given up must still be in the stream"
  }

  assert {
    condition     = length(aws_lambda_event_source_mapping.stream[0].destination_config[0].on_failure) == 1
    error_message = "what is given up must be in the dead-letter queue"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.stream_age[0].threshold == 300000
    error_message = "the age of an iterator is in milliseconds"
  }

  assert {
    condition     = length(local.dashboard_widgets) == 8
    error_message = "the dashboard does not show the stream"
  }
}

run "tables_that_nothing_scales_and_a_stream_of_shards_below_a_topic_root_of_its_own" {
  command = plan

  variables {
    table_capacity                 = "provisioned"
    table_auto_scaling             = false
    ingest                         = "kinesis"
    stream_shards                  = 3
    stream_parallelization_factor  = 4
    topic_root                     = "battery-net"
    telemetry_batch_window_seconds = 300
  }

  assert {
    condition     = aws_dynamodb_table.stations[0].write_capacity == 5 && length(aws_appautoscaling_target.tables) == 0
    error_message = "a local engine must be asked for no Application Auto Scaling"
  }

  assert {
    condition     = aws_kinesis_stream.telemetry[0].shard_count == 3 && local.stream_mode == "PROVISIONED"
    error_message = "so many shards were asked for"
  }

  assert {
    condition     = one(aws_iot_topic_rule.telemetry.kinesis).partition_key == "$${topic(2)}" && aws_lambda_event_source_mapping.stream[0].parallelization_factor == 4
    error_message = "the station is the level after topic_root"
  }

  assert {
    condition     = aws_sqs_queue.telemetry.visibility_timeout_seconds == 480
    error_message = "Six times the handler's time-out, and the window."
  }
}
