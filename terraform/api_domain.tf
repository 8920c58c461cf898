# One name for the API, of your own domain. Of two regions it answers for the first one, and for the second while the
# first hears no station: the stations have then gone there.

locals {
  api_domains    = var.api_domain == null ? {} : { api = var.api_domain }
  api_fails_over = local.replicated || local.secondary
}

resource "aws_api_gateway_domain_name" "api" {
  for_each = local.api_domains

  domain_name              = each.value.name
  regional_certificate_arn = each.value.certificate_arn
  security_policy          = "TLS_1_2"

  endpoint_configuration {
    types = ["REGIONAL"]
  }
}

resource "aws_api_gateway_base_path_mapping" "api" {
  for_each = local.api_domains

  api_id      = aws_api_gateway_rest_api.stations.id
  stage_name  = aws_api_gateway_stage.stations.stage_name
  domain_name = aws_api_gateway_domain_name.api[each.key].domain_name
}

# A region whose alarms say nothing counts as lost.
resource "aws_route53_health_check" "api" {
  for_each = local.replicated ? local.api_domains : {}

  type                            = "CLOUDWATCH_METRIC"
  cloudwatch_alarm_name           = one([for name, alarm in aws_cloudwatch_metric_alarm.silence : alarm.alarm_name if name == "nothing-arrives"])
  cloudwatch_alarm_region         = var.aws_region
  insufficient_data_health_status = "Unhealthy"
  tags                            = { Name = "${local.name_prefix}-api" }

  lifecycle {
    precondition {
      condition     = var.silence_alarm_minutes != null
      error_message = "api_domain of two regions follows the alarm nothing-arrives: set silence_alarm_minutes."
    }
  }
}

resource "aws_route53_record" "api" {
  for_each = local.api_domains

  zone_id         = each.value.zone_id
  name            = each.value.name
  type            = "A"
  set_identifier  = local.api_fails_over ? var.aws_region : null
  health_check_id = one([for check in aws_route53_health_check.api : check.id])

  alias {
    name                   = aws_api_gateway_domain_name.api[each.key].regional_domain_name
    zone_id                = aws_api_gateway_domain_name.api[each.key].regional_zone_id
    evaluate_target_health = false
  }

  dynamic "failover_routing_policy" {
    for_each = local.api_fails_over ? [local.secondary ? "SECONDARY" : "PRIMARY"] : []

    content {
      type = failover_routing_policy.value
    }
  }
}
