# REST API (regional). The handler routes: every path and method reaches it, so that a wrong one
# is answered with a problem document (404, 405) and not with API Gateway's 403.

resource "aws_api_gateway_rest_api" "stations" {
  name        = "${local.name_prefix}-api"
  description = "Latest state and last hours of the battery-swap stations"

  endpoint_configuration {
    types = ["REGIONAL"]
  }
}

resource "aws_api_gateway_resource" "stations" {
  rest_api_id = aws_api_gateway_rest_api.stations.id
  parent_id   = aws_api_gateway_rest_api.stations.root_resource_id
  path_part   = "stations"
}

resource "aws_api_gateway_resource" "station" {
  rest_api_id = aws_api_gateway_rest_api.stations.id
  parent_id   = aws_api_gateway_resource.stations.id
  path_part   = "{station_id}"
}

resource "aws_api_gateway_resource" "history" {
  rest_api_id = aws_api_gateway_rest_api.stations.id
  parent_id   = aws_api_gateway_resource.station.id
  path_part   = "history"
}

resource "aws_api_gateway_resource" "connections" {
  rest_api_id = aws_api_gateway_rest_api.stations.id
  parent_id   = aws_api_gateway_resource.station.id
  path_part   = "connections"
}

resource "aws_api_gateway_resource" "settings" {
  rest_api_id = aws_api_gateway_rest_api.stations.id
  parent_id   = aws_api_gateway_resource.station.id
  path_part   = "settings"
}

resource "aws_api_gateway_resource" "commands" {
  rest_api_id = aws_api_gateway_rest_api.stations.id
  parent_id   = aws_api_gateway_resource.station.id
  path_part   = "commands"
}

resource "aws_api_gateway_resource" "command" {
  rest_api_id = aws_api_gateway_rest_api.stations.id
  parent_id   = aws_api_gateway_resource.commands.id
  path_part   = "{command_id}"
}

resource "aws_api_gateway_resource" "other" {
  rest_api_id = aws_api_gateway_rest_api.stations.id
  parent_id   = aws_api_gateway_rest_api.stations.root_resource_id
  path_part   = "{proxy+}"
}

locals {
  api_resource_ids = {
    root        = aws_api_gateway_rest_api.stations.root_resource_id
    stations    = aws_api_gateway_resource.stations.id
    station     = aws_api_gateway_resource.station.id
    history     = aws_api_gateway_resource.history.id
    connections = aws_api_gateway_resource.connections.id
    settings    = aws_api_gateway_resource.settings.id
    commands    = aws_api_gateway_resource.commands.id
    command     = aws_api_gateway_resource.command.id
    other       = aws_api_gateway_resource.other.id
  }
}

resource "aws_api_gateway_method" "any" {
  for_each = local.api_resource_ids

  rest_api_id   = aws_api_gateway_rest_api.stations.id
  resource_id   = each.value
  http_method   = "ANY"
  authorization = local.oidc ? "CUSTOM" : "NONE"
  authorizer_id = one(aws_api_gateway_authorizer.oidc[*].id)

  # The usage plan's keys: api_access.tf.
  api_key_required = true
}

resource "aws_api_gateway_integration" "lambda" {
  for_each = local.api_resource_ids

  rest_api_id             = aws_api_gateway_rest_api.stations.id
  resource_id             = each.value
  http_method             = aws_api_gateway_method.any[each.key].http_method
  type                    = "AWS_PROXY"
  integration_http_method = "POST"
  uri                     = aws_lambda_function.api_handler.invoke_arn
}

resource "aws_lambda_permission" "api_gateway" {
  statement_id  = "AllowApiGateway"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.api_handler.function_name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_api_gateway_rest_api.stations.execution_arn}/*"
}

resource "aws_api_gateway_deployment" "stations" {
  rest_api_id = aws_api_gateway_rest_api.stations.id

  # A deployment is a snapshot: take a new one when what it holds changes.
  triggers = {
    redeployment = sha1(jsonencode([
      local.api_resource_ids,
      [for method in aws_api_gateway_method.any : [method.http_method, method.authorization, method.authorizer_id, method.api_key_required]],
      [for integration in aws_api_gateway_integration.lambda : [integration.type, integration.uri]],
      [for method in aws_api_gateway_method.preflight : method.resource_id],
      [for authorizer in aws_api_gateway_authorizer.oidc : [authorizer.type, authorizer.authorizer_uri, authorizer.identity_source, authorizer.identity_validation_expression, authorizer.authorizer_result_ttl_in_seconds]],
      local.gateway_response_headers,
      local.gateway_problems,
    ]))
  }

  lifecycle {
    create_before_destroy = true
  }

  depends_on = [aws_api_gateway_integration_response.preflight, aws_api_gateway_gateway_response.problem]
}

resource "aws_cloudwatch_log_group" "api_access" {
  name              = "/aws/apigateway/${local.name_prefix}-api"
  retention_in_days = var.log_retention_days
}

# Access logs want a role of the region's account settings. It is one for all deployments, so none of them holds it:
# `make up TARGET=aws` sets it where there is none (testbed/deploy/account.py).
resource "aws_api_gateway_stage" "stations" {
  rest_api_id   = aws_api_gateway_rest_api.stations.id
  deployment_id = aws_api_gateway_deployment.stations.id
  stage_name    = coalesce(var.api_stage_name, var.environment)

  xray_tracing_enabled = var.enable_xray

  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.api_access.arn
    format = jsonencode({
      requestId      = "$context.requestId"
      ip             = "$context.identity.sourceIp"
      requestTime    = "$context.requestTime"
      httpMethod     = "$context.httpMethod"
      path           = "$context.path"
      status         = "$context.status"
      responseLength = "$context.responseLength"
      latencyMs      = "$context.responseLatency"
    })
  }
}
