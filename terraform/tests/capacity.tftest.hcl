# How the tables are paid: by plans alone.

mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

run "tables_on_demand" {
  command = plan

  assert {
    condition = alltrue([
      for table in [aws_dynamodb_table.stations[0], aws_dynamodb_table.history[0], aws_dynamodb_table.operations[0]] :
      table.billing_mode == "PAY_PER_REQUEST"
    ])
    error_message = "by default a write is paid by itself"
  }

  assert {
    condition     = length(aws_appautoscaling_target.tables) + length(aws_appautoscaling_policy.tables) == 0
    error_message = "a table on demand has nothing to scale"
  }
}

run "tables_provisioned" {
  command = plan

  variables {
    table_capacity    = "provisioned"
    table_write_units = 300
    table_most_units  = 1000
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
}

run "tables_provisioned_where_nothing_scales" {
  command = plan

  variables {
    table_capacity     = "provisioned"
    table_auto_scaling = false
  }

  assert {
    condition     = aws_dynamodb_table.stations[0].write_capacity == 5 && length(aws_appautoscaling_target.tables) == 0
    error_message = "a local engine must be asked for no Application Auto Scaling"
  }
}
