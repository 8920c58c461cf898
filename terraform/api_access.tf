# Who may call the API and how often, and what its refusals and its answers to browsers look like.

# ---------------------------------------------------------------------------
# Key, usage plan and limits
# ---------------------------------------------------------------------------

resource "aws_api_gateway_api_key" "client" {
  name        = "${local.name_prefix}-client"
  description = "Calls the API as the header x-api-key"
  value       = var.api_key_value
}

resource "aws_api_gateway_usage_plan" "clients" {
  name        = "${local.name_prefix}-clients"
  description = "What one key may do"

  api_stages {
    api_id = aws_api_gateway_rest_api.stations.id
    stage  = aws_api_gateway_stage.stations.stage_name
  }

  throttle_settings {
    rate_limit  = var.api_rate_limit
    burst_limit = var.api_burst_limit
  }

  quota_settings {
    limit  = var.api_daily_quota
    period = "DAY"
  }
}

resource "aws_api_gateway_usage_plan_key" "client" {
  key_id        = aws_api_gateway_api_key.client.id
  key_type      = "API_KEY"
  usage_plan_id = aws_api_gateway_usage_plan.clients.id
}

# The same limit for all callers together: calls without a good key count, too.
resource "aws_api_gateway_method_settings" "all" {
  rest_api_id = aws_api_gateway_rest_api.stations.id
  stage_name  = aws_api_gateway_stage.stations.stage_name
  method_path = "*/*"

  settings {
    throttling_rate_limit  = var.api_rate_limit
    throttling_burst_limit = var.api_burst_limit
  }
}

# ---------------------------------------------------------------------------
# Refusals by API Gateway itself: problem documents (RFC 9457), like the handler's
# ---------------------------------------------------------------------------

locals {
  # As functions/api_handler/headers.py sets them on the handler's answers; a test holds one against the other.
  security_headers = {
    Cache-Control             = "no-store"
    Content-Security-Policy   = "default-src 'none'; frame-ancestors 'none'"
    Referrer-Policy           = "no-referrer"
    Strict-Transport-Security = "max-age=63072000; includeSubDomains"
    X-Content-Type-Options    = "nosniff"
    X-Frame-Options           = "DENY"
  }

  gateway_response_headers = {
    for name, value in merge(
      local.security_headers,
      { Content-Type = "application/problem+json" },
      local.cors ? { Access-Control-Allow-Origin = local.cors_origin } : {},
    ) : "gatewayresponse.header.${name}" => "'${value}'"
  }

  gateway_problems = {
    INVALID_API_KEY = { status = 403, title = "Forbidden", detail = "The header x-api-key is missing, or its key is not one of this API." }
    UNAUTHORIZED    = { status = 401, title = "Unauthorized", detail = "The header Authorization holds no token that is good here." }
    ACCESS_DENIED   = { status = 403, title = "Forbidden", detail = "The token's scopes do not allow this." }
    THROTTLED       = { status = 429, title = "Too Many Requests", detail = "Too many requests at once; try again in a second." }
    QUOTA_EXCEEDED  = { status = 429, title = "Too Many Requests", detail = "The key's quota for today is used up." }
    DEFAULT_4XX     = { status = null, title = "Refused", detail = null }
    DEFAULT_5XX     = { status = null, title = "Failed", detail = null }
  }
}

resource "aws_api_gateway_gateway_response" "problem" {
  for_each = local.gateway_problems

  rest_api_id         = aws_api_gateway_rest_api.stations.id
  response_type       = each.key
  status_code         = each.value.status
  response_parameters = local.gateway_response_headers

  response_templates = {
    "application/json" = join("", [
      "{\"type\": \"about:blank\", \"title\": ${jsonencode(each.value.title)},",
      each.value.status == null ? "" : " \"status\": ${each.value.status},",
      " \"detail\": ${each.value.detail == null ? "$context.error.messageString" : jsonencode(each.value.detail)},",
      " \"request_id\": \"$context.requestId\"}",
    ])
  }
}

# ---------------------------------------------------------------------------
# Pages of another origin: browsers ask with OPTIONS first, and cannot show a key there
# ---------------------------------------------------------------------------

locals {
  # Whether, apart from whose: what a new distribution is called is known only when it is there.
  cors        = var.cors_origin != null || var.dashboard_enabled
  cors_origin = var.cors_origin != null ? var.cors_origin : one([for page in aws_cloudfront_distribution.dashboard : "https://${page.domain_name}"])

  preflight_resource_ids = { for name, id in local.api_resource_ids : name => id if local.cors }

  preflight_headers = {
    "method.response.header.Access-Control-Allow-Origin"  = "'${local.cors ? local.cors_origin : "null"}'"
    "method.response.header.Access-Control-Allow-Methods" = "'GET, HEAD, OPTIONS, PATCH, POST'"
    "method.response.header.Access-Control-Allow-Headers" = "'authorization, content-type, x-api-key'"
    "method.response.header.Access-Control-Max-Age"       = "'600'"
  }
}

resource "aws_api_gateway_method" "preflight" {
  for_each = local.preflight_resource_ids

  rest_api_id   = aws_api_gateway_rest_api.stations.id
  resource_id   = each.value
  http_method   = "OPTIONS"
  authorization = "NONE"
}

resource "aws_api_gateway_integration" "preflight" {
  for_each = aws_api_gateway_method.preflight

  rest_api_id       = each.value.rest_api_id
  resource_id       = each.value.resource_id
  http_method       = each.value.http_method
  type              = "MOCK"
  request_templates = { "application/json" = "{\"statusCode\": 204}" }
}

resource "aws_api_gateway_method_response" "preflight" {
  for_each = aws_api_gateway_method.preflight

  rest_api_id         = each.value.rest_api_id
  resource_id         = each.value.resource_id
  http_method         = each.value.http_method
  status_code         = "204"
  response_parameters = { for name, _ in local.preflight_headers : name => true }
}

resource "aws_api_gateway_integration_response" "preflight" {
  for_each = aws_api_gateway_method_response.preflight

  rest_api_id         = each.value.rest_api_id
  resource_id         = each.value.resource_id
  http_method         = each.value.http_method
  status_code         = each.value.status_code
  response_parameters = local.preflight_headers

  depends_on = [aws_api_gateway_integration.preflight]
}
