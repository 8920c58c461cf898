# Questions to the archive by SQL: two tables over its objects, and an Athena workgroup.
# Off where an engine has neither Glue nor Athena.

locals {
  analytics_database = "${local.rule_prefix}_archive"

  # testbed/archive/columns.py has the same list; a test compares them.
  archive_columns = {
    station_id         = "string"
    timestamp          = "string"
    message_id         = "string"
    sequence           = "bigint"
    battery_available  = "bigint"
    slots              = "bigint"
    charging           = "bigint"
    swaps_total        = "bigint"
    queue_length       = "bigint"
    power_kw           = "double"
    temperature_c      = "double"
    grid_kw            = "double"
    latitude           = "double"
    longitude          = "double"
    status             = "string"
    firmware           = "string"
    _received_at       = "bigint"
    _topic             = "string"
    _source_message_id = "string"
  }

  # No crawler and no partitions to add: their names follow from the date.
  archive_projection = {
    "projection.enabled"     = "true"
    "projection.dt.type"     = "date"
    "projection.dt.format"   = "yyyy-MM-dd"
    "projection.dt.range"    = "${var.archive_first_day},NOW+1DAYS"
    "projection.hour.type"   = "integer"
    "projection.hour.range"  = "0,23"
    "projection.hour.digits" = "2"
  }

  # Filled in by Athena for each partition; $${} is Terraform's escape.
  archive_partition = "dt=$${dt}/hour=$${hour}/"
}

resource "aws_glue_catalog_database" "archive" {
  count = var.analytics ? 1 : 0

  name        = local.analytics_database
  description = "The telemetry archive"
}

resource "aws_glue_catalog_table" "batches" {
  count = var.analytics ? 1 : 0

  name          = "telemetry_batches"
  database_name = aws_glue_catalog_database.archive[0].name
  description   = "Batches as the telemetry handler wrote them"
  table_type    = "EXTERNAL_TABLE"

  parameters = merge(local.archive_projection, {
    "classification"            = "json"
    "storage.location.template" = "s3://${aws_s3_bucket.telemetry.id}/telemetry/${local.archive_partition}"
  })

  partition_keys {
    name = "dt"
    type = "string"
  }

  partition_keys {
    name = "hour"
    type = "string"
  }

  storage_descriptor {
    location      = "s3://${aws_s3_bucket.telemetry.id}/telemetry/"
    input_format  = "org.apache.hadoop.mapred.TextInputFormat"
    output_format = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"

    ser_de_info {
      serialization_library = "org.openx.data.jsonserde.JsonSerDe"

      parameters = {
        # A station may send "Status" beside "status": fields that differ in case are different fields.
        "case.insensitive" = "FALSE"
      }
    }

    dynamic "columns" {
      for_each = local.archive_columns

      content {
        name = columns.key
        type = columns.value
      }
    }
  }
}

resource "aws_glue_catalog_table" "hours" {
  count = var.analytics ? 1 : 0

  name          = "telemetry_hours"
  database_name = aws_glue_catalog_database.archive[0].name
  description   = "Hours as compaction left them"
  table_type    = "EXTERNAL_TABLE"

  parameters = merge(local.archive_projection, {
    "classification"            = "parquet"
    "storage.location.template" = "s3://${aws_s3_bucket.telemetry.id}/compacted/${local.archive_partition}"
  })

  partition_keys {
    name = "dt"
    type = "string"
  }

  partition_keys {
    name = "hour"
    type = "string"
  }

  storage_descriptor {
    location      = "s3://${aws_s3_bucket.telemetry.id}/compacted/"
    input_format  = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat"
    output_format = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat"

    ser_de_info {
      serialization_library = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
    }

    dynamic "columns" {
      # Parquet finds columns by name; the whole line comes last.
      for_each = merge(local.archive_columns, { line = "string" })

      content {
        name = columns.key
        type = columns.value
      }
    }
  }
}

resource "aws_athena_workgroup" "archive" {
  count = var.analytics ? 1 : 0

  name          = "${local.name_prefix}-archive"
  description   = "Saved queries over the telemetry archive"
  force_destroy = true

  configuration {
    enforce_workgroup_configuration    = true
    publish_cloudwatch_metrics_enabled = false
    bytes_scanned_cutoff_per_query     = var.analytics_scan_limit_gb * 1073741824

    result_configuration {
      output_location = "s3://${aws_s3_bucket.telemetry.id}/query-results/"

      encryption_configuration {
        encryption_option = "SSE_S3"
      }
    }
  }
}
