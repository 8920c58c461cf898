# Who pays by the write pays for nothing else; who pays for units pays for those that idle, too, and less for each write
# (docs/costs.md). The operations table is written by hand, and stays on demand.

locals {
  tables_provisioned = var.table_capacity == "provisioned"
  billing_mode       = local.tables_provisioned ? "PROVISIONED" : "PAY_PER_REQUEST"
  read_units         = local.tables_provisioned ? var.table_read_units : null
  write_units        = local.tables_provisioned ? var.table_write_units : null

  # The tables of a second region are replicas, made in the first one with its tables. They have the same names.
  table_count = local.secondary ? 0 : 1
  tables = {
    for kind, made in {
      stations   = one(aws_dynamodb_table.stations[*])
      operations = one(aws_dynamodb_table.operations[*])
      history    = one(aws_dynamodb_table.history[*])
      } : kind => local.secondary ? {
      name = "${local.name_prefix}-${kind}"
      arn  = "arn:aws:dynamodb:${var.aws_region}:${local.account_id}:table/${local.name_prefix}-${kind}"
    } : { name = made.name, arn = made.arn }
  }

  # A replica follows its table's stream.
  replicated  = length(var.replica_regions) > 0
  stream_view = local.replicated ? "NEW_AND_OLD_IMAGES" : null
}

# Stations table: the latest state of every station, one item each.
#
# Without a block server_side_encryption the tables are encrypted by a key that DynamoDB owns, free of charge. A block
# with `enabled = true` takes the account's key aws/dynamodb, of which KMS bills each use.

resource "aws_dynamodb_table" "stations" {
  count = local.table_count

  name           = "${local.name_prefix}-stations"
  billing_mode   = local.billing_mode
  read_capacity  = local.read_units
  write_capacity = local.write_units
  hash_key       = "station_id"

  stream_enabled   = local.replicated
  stream_view_type = local.stream_view

  attribute {
    name = "station_id"
    type = "S"
  }

  point_in_time_recovery {
    enabled = true
  }

  dynamic "replica" {
    for_each = var.replica_regions

    content {
      region_name            = replica.value
      propagate_tags         = true
      point_in_time_recovery = true
    }
  }

  # Auto-scaling's, from the first apply on.
  lifecycle {
    ignore_changes = [read_capacity, write_capacity]

    # Replicas would need auto-scaling of their own in each region.
    precondition {
      condition     = !(local.replicated && local.tables_provisioned)
      error_message = "replica_regions wants table_capacity = \"on-demand\"."
    }

    precondition {
      condition     = !contains(var.replica_regions, var.aws_region)
      error_message = "replica_regions are the other regions, without aws_region."
    }
  }
}

# Operations table: what operators did to a station, who and when.

resource "aws_dynamodb_table" "operations" {
  count = local.table_count

  name         = "${local.name_prefix}-operations"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "station_id"
  range_key    = "operation"

  stream_enabled   = local.replicated
  stream_view_type = local.stream_view

  attribute {
    name = "station_id"
    type = "S"
  }

  # "settings#", when and the request's id; "command#" and "answer#" with the command's id.
  attribute {
    name = "operation"
    type = "S"
  }

  # Of commands and answers; who set what stays.
  ttl {
    attribute_name = "expires_at"
    enabled        = true
  }

  point_in_time_recovery {
    enabled = true
  }

  dynamic "replica" {
    for_each = var.replica_regions

    content {
      region_name            = replica.value
      propagate_tags         = true
      point_in_time_recovery = true
    }
  }
}

# History table: the hot window behind GET /stations/{id}/history, a point a station and interval.
# No point-in-time recovery: the archive has every message, and a point lives for a day.

resource "aws_dynamodb_table" "history" {
  count = local.table_count

  name           = "${local.name_prefix}-history"
  billing_mode   = local.billing_mode
  read_capacity  = local.read_units
  write_capacity = local.write_units
  hash_key       = "station_id"
  range_key      = "interval"

  stream_enabled   = local.replicated
  stream_view_type = local.stream_view

  attribute {
    name = "station_id"
    type = "S"
  }

  # Where the interval begins, epoch seconds.
  attribute {
    name = "interval"
    type = "N"
  }

  ttl {
    attribute_name = "expires_at"
    enabled        = true
  }

  dynamic "replica" {
    for_each = var.replica_regions

    content {
      region_name    = replica.value
      propagate_tags = true
    }
  }

  # Auto-scaling's, from the first apply on.
  lifecycle {
    ignore_changes = [read_capacity, write_capacity]
  }
}

# ---------------------------------------------------------------------------
# Provisioned capacity follows the load, within minutes; until then writes are throttled and their messages wait
# ---------------------------------------------------------------------------

locals {
  scaled_tables = (local.tables_provisioned && var.table_auto_scaling
    ? { stations = local.tables.stations.name, history = local.tables.history.name }
    : {}
  )

  scaled_units = {
    for pair in setproduct(keys(local.scaled_tables), ["Read", "Write"]) : lower("${pair[0]}-${pair[1]}") => {
      table = local.scaled_tables[pair[0]]
      kind  = pair[1]
      least = pair[1] == "Read" ? var.table_read_units : var.table_write_units
    }
  }
}

resource "aws_appautoscaling_target" "tables" {
  for_each = local.scaled_units

  service_namespace  = "dynamodb"
  resource_id        = "table/${each.value.table}"
  scalable_dimension = "dynamodb:table:${each.value.kind}CapacityUnits"
  min_capacity       = each.value.least
  max_capacity       = max(each.value.least, var.table_most_units)
}

resource "aws_appautoscaling_policy" "tables" {
  for_each = local.scaled_units

  name               = "${each.value.table}-${lower(each.value.kind)}"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.tables[each.key].service_namespace
  resource_id        = aws_appautoscaling_target.tables[each.key].resource_id
  scalable_dimension = aws_appautoscaling_target.tables[each.key].scalable_dimension

  target_tracking_scaling_policy_configuration {
    # Percent of what is provisioned; testbed/cost/designs.py prices it.
    target_value = 70

    predefined_metric_specification {
      predefined_metric_type = "DynamoDB${each.value.kind}CapacityUtilization"
    }
  }
}
