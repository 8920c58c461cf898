# Values that the variables' rules must refuse before anything is planned: one for each rule.
# tests/integration/terraform/test_configuration.py sees that none is missing.

mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

run "each_rule_refuses" {
  command = plan

  variables {
    project                          = "X"
    environment                      = "Dev_1"
    aws_region                       = "frankfurt"
    replica_regions                  = ["virginia"]
    primary_region                   = "frankfurt"
    api_domain                       = { name = "https://api.example.com", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/c", zone_id = "Z0" }
    topic_root                       = "stations/+"
    lambda_runtime                   = "python3.8"
    lambda_architecture              = "riscv"
    lambda_reserved_concurrency      = -2
    telemetry_timeout_seconds        = 4
    log_level                        = "TRACE"
    log_retention_days               = 8
    ingest                           = "kafka"
    stream_shards                    = -1
    stream_parallelization_factor    = 11
    stream_record_age_seconds        = 86400
    telemetry_batch_size             = 0
    telemetry_batch_window_seconds   = 301
    telemetry_max_concurrency        = 1
    queue_visibility_timeout_seconds = 4
    queue_max_receive_count          = 0
    table_capacity                   = "reserved"
    table_write_units                = 0
    table_read_units                 = 0
    table_most_units                 = 40001
    history_hours                    = 0
    history_resolution_seconds       = 0
    archive_glacier_after_days       = 0
    archive_first_day                = "yesterday"
    archive_compaction_schedule      = "hourly"
    analytics_scan_limit_gb          = 0
    api_key_value                    = "short"
    api_rate_limit                   = 0
    api_burst_limit                  = 0
    api_daily_quota                  = 0
    oidc_issuer                      = "http://issuer.example"
    cors_origin                      = "https://dashboard.example/page"
    realtime_endpoint                = "wss://iot.example/mqtt"
    iot_data_endpoint                = "iot.example:9443"
    station_prefix                   = "station/"
    queue_age_alarm_seconds          = 59
    alarm_email                      = "nobody"
    silence_alarm_minutes            = 4
    permissions_boundary_arn         = "boundary"
    monthly_budget_usd               = 0
    waf_requests_per_five_minutes    = 99
    load_test_image                  = "simulator:latest"
    load_test_subnet_id              = "the default one"
    load_test_shards                 = 0
    load_test_stations               = 0
    load_test_interval_seconds       = 0
    load_test_duration_seconds       = 9
  }

  expect_failures = [
    var.project,
    var.environment,
    var.aws_region,
    var.replica_regions,
    var.primary_region,
    var.api_domain,
    var.topic_root,
    var.lambda_runtime,
    var.lambda_architecture,
    var.lambda_reserved_concurrency,
    var.telemetry_timeout_seconds,
    var.log_level,
    var.log_retention_days,
    var.ingest,
    var.stream_shards,
    var.stream_parallelization_factor,
    var.stream_record_age_seconds,
    var.telemetry_batch_size,
    var.telemetry_batch_window_seconds,
    var.telemetry_max_concurrency,
    var.queue_visibility_timeout_seconds,
    var.queue_max_receive_count,
    var.table_capacity,
    var.table_write_units,
    var.table_read_units,
    var.table_most_units,
    var.history_hours,
    var.history_resolution_seconds,
    var.archive_glacier_after_days,
    var.archive_first_day,
    var.archive_compaction_schedule,
    var.analytics_scan_limit_gb,
    var.api_key_value,
    var.api_rate_limit,
    var.api_burst_limit,
    var.api_daily_quota,
    var.oidc_issuer,
    var.cors_origin,
    var.realtime_endpoint,
    var.iot_data_endpoint,
    var.station_prefix,
    var.queue_age_alarm_seconds,
    var.alarm_email,
    var.silence_alarm_minutes,
    var.permissions_boundary_arn,
    var.monthly_budget_usd,
    var.waf_requests_per_five_minutes,
    var.load_test_image,
    var.load_test_subnet_id,
    var.load_test_shards,
    var.load_test_stations,
    var.load_test_interval_seconds,
    var.load_test_duration_seconds,
  ]
}
