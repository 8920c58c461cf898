output "api_gateway_invoke_url" {
  description = "Base URL of the REST API; append /stations."
  value       = aws_api_gateway_stage.stations.invoke_url
}

output "dashboard_url" {
  description = "The live page; empty where dashboard_enabled is false."
  value       = join("", [for page in aws_cloudfront_distribution.dashboard : "https://${page.domain_name}"])
}

output "api_gateway_id" {
  description = "Id of the REST API, from which the local engines' URLs are built."
  value       = aws_api_gateway_rest_api.stations.id
}

output "api_gateway_stage" {
  description = "Stage of the REST API."
  value       = aws_api_gateway_stage.stations.stage_name
}

output "api_key" {
  description = "Key that callers of the API send as the header x-api-key."
  value       = aws_api_gateway_api_key.client.value
  sensitive   = true
}

output "iot_endpoint" {
  description = "Host that stations connect to on AWS, port 8883."
  value       = data.aws_iot_endpoint.data.endpoint_address
}

output "iot_policy_name" {
  description = "Thing policy that every station's certificate gets."
  value       = aws_iot_policy.station.name
}

output "topic_root" {
  description = "What stands before a station's name in its topics."
  value       = local.topic_root
}

output "telemetry_rule_name" {
  description = "Topic rule that carries telemetry to the queue; also the name for Basic Ingest."
  value       = aws_iot_topic_rule.telemetry.name
}

output "stations_table_name" {
  description = "DynamoDB table with each station's latest state."
  value       = local.tables.stations.name
}

output "history_table_name" {
  description = "DynamoDB table with each station's last hours."
  value       = local.tables.history.name
}

output "operations_table_name" {
  description = "DynamoDB table with what operators did: who changed which settings, and when."
  value       = local.tables.operations.name
}

output "telemetry_bucket_name" {
  description = "S3 bucket of the archive; objects are under telemetry/."
  value       = aws_s3_bucket.telemetry.id
}

output "analytics_database" {
  description = "Glue database with the archive's tables; empty where there is no Athena."
  value       = var.analytics ? aws_glue_catalog_database.archive[0].name : ""
}

output "analytics_workgroup" {
  description = "Athena workgroup for queries over the archive; empty where there is no Athena."
  value       = var.analytics ? aws_athena_workgroup.archive[0].name : ""
}

output "telemetry_queue_url" {
  description = "Queue between the rule and the telemetry handler."
  value       = aws_sqs_queue.telemetry.id
}

output "telemetry_stream_name" {
  description = "Stream between the rule and the telemetry handler; empty where the queue is (ingest)."
  value       = join("", aws_kinesis_stream.telemetry[*].name)
}

output "dead_letter_queue_url" {
  description = "Queue of the messages that could not be stored, with their reasons."
  value       = aws_sqs_queue.dead_letters.id
}

output "telemetry_function_name" {
  description = "Name of the telemetry handler."
  value       = aws_lambda_function.telemetry_handler.function_name
}

output "api_function_name" {
  description = "Name of the API handler."
  value       = aws_lambda_function.api_handler.function_name
}

output "load_test" {
  description = "Cluster, task definition, subnet and security group of the sharded simulator, and the shards' numbers; null where it is off."
  value = var.load_test ? {
    cluster         = aws_ecs_cluster.load_test[0].name
    task_definition = aws_ecs_task_definition.load_test[0].arn
    subnet          = var.load_test_subnet_id
    security_group  = aws_security_group.load_test[0].id
    log_group       = aws_cloudwatch_log_group.load_test[0].name
    prefix          = local.load_test_prefix
    shards          = var.load_test_shards
    stations        = var.load_test_stations
    duration        = var.load_test_duration_seconds
  } : null
}
