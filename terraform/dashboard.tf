# The live page, off by default: a private bucket that CloudFront alone may read, and who may frame, script and call what.
#
# Its origin is CORS's of the API (api_access.tf). There is no circle in that: the page's headers name the REST API by its
# id, which needs nothing of the page; the API's methods and answers name the distribution; config.json, which tells the
# page where the API is, comes last, and the distribution does not wait for it.

locals {
  dashboard_name = "${local.global_prefix}-dashboard"

  dashboard_types = {
    css  = "text/css; charset=utf-8"
    html = "text/html; charset=utf-8"
    js   = "text/javascript; charset=utf-8"
    json = "application/json"
  }

  # What the page may fetch: itself, the API, and AWS IoT Core.
  dashboard_connects = join(" ", compact([
    "'self'",
    "https://${aws_api_gateway_rest_api.stations.id}.execute-api.${var.aws_region}.amazonaws.com",
    local.realtime_endpoint == "" ? "" : "wss://${local.realtime_endpoint}",
  ]))

  dashboard_files = var.dashboard_enabled ? fileset(var.dashboard_dir, "*.{css,html,js,json}") : toset([])

  # Asked again each time: a new page is there as soon as it is deployed.
  dashboard_caching = "no-cache"
}

# ---------------------------------------------------------------------------
# Bucket
# ---------------------------------------------------------------------------

resource "aws_s3_bucket" "dashboard" {
  count = var.dashboard_enabled ? 1 : 0

  bucket = "${local.dashboard_name}-${local.account_id}"

  # Copies of the page alone.
  force_destroy = true
}

resource "aws_s3_bucket_public_access_block" "dashboard" {
  count = var.dashboard_enabled ? 1 : 0

  bucket = aws_s3_bucket.dashboard[0].id

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "dashboard" {
  count = var.dashboard_enabled ? 1 : 0

  bucket = aws_s3_bucket.dashboard[0].id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

data "aws_iam_policy_document" "dashboard_bucket" {
  count = var.dashboard_enabled ? 1 : 0

  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.dashboard[0].arn, "${aws_s3_bucket.dashboard[0].arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }

  # This very distribution, not whoever's CloudFront: the service is everybody's.
  statement {
    sid       = "ReadByTheDistribution"
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.dashboard[0].arn}/*"]

    principals {
      type        = "Service"
      identifiers = ["cloudfront.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceArn"
      values   = [aws_cloudfront_distribution.dashboard[0].arn]
    }
  }
}

resource "aws_s3_bucket_policy" "dashboard" {
  count = var.dashboard_enabled ? 1 : 0

  bucket = aws_s3_bucket.dashboard[0].id
  policy = data.aws_iam_policy_document.dashboard_bucket[0].json

  # Both touch the bucket's access settings; S3 refuses the second of two changes at once.
  depends_on = [aws_s3_bucket_public_access_block.dashboard]
}

# ---------------------------------------------------------------------------
# Files
# ---------------------------------------------------------------------------

resource "aws_s3_object" "dashboard" {
  for_each = local.dashboard_files

  bucket        = aws_s3_bucket.dashboard[0].id
  key           = each.value
  source        = "${var.dashboard_dir}/${each.value}"
  etag          = filemd5("${var.dashboard_dir}/${each.value}")
  content_type  = local.dashboard_types[reverse(split(".", each.value))[0]]
  cache_control = local.dashboard_caching
}

resource "aws_s3_object" "dashboard_config" {
  count = var.dashboard_enabled ? 1 : 0

  bucket        = aws_s3_bucket.dashboard[0].id
  key           = "config.json"
  content       = jsonencode({ api = aws_api_gateway_stage.stations.invoke_url, key = true, token = local.oidc })
  content_type  = "application/json"
  cache_control = local.dashboard_caching
}

# ---------------------------------------------------------------------------
# CloudFront
# ---------------------------------------------------------------------------

resource "aws_cloudfront_origin_access_control" "dashboard" {
  count = var.dashboard_enabled ? 1 : 0

  name                              = local.dashboard_name
  description                       = "Signs what the dashboard's distribution asks of its bucket"
  origin_access_control_origin_type = "s3"
  signing_behavior                  = "always"
  signing_protocol                  = "sigv4"
}

resource "aws_cloudfront_response_headers_policy" "dashboard" {
  count = var.dashboard_enabled ? 1 : 0

  name    = local.dashboard_name
  comment = "What the dashboard's page may do"

  security_headers_config {
    content_security_policy {
      content_security_policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src ${local.dashboard_connects}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
      override                = true
    }

    content_type_options {
      override = true
    }

    frame_options {
      frame_option = "DENY"
      override     = true
    }

    referrer_policy {
      referrer_policy = "no-referrer"
      override        = true
    }

    strict_transport_security {
      access_control_max_age_sec = 63072000
      include_subdomains         = true
      override                   = true
    }
  }

  custom_headers_config {
    items {
      header   = "Cross-Origin-Opener-Policy"
      value    = "same-origin"
      override = true
    }

    items {
      header   = "Cross-Origin-Resource-Policy"
      value    = "same-origin"
      override = true
    }
  }
}

resource "aws_cloudfront_distribution" "dashboard" {
  count = var.dashboard_enabled ? 1 : 0

  # The name that the two above have; testbed/deploy/leftovers.py knows it by this.
  comment             = local.dashboard_name
  enabled             = true
  is_ipv6_enabled     = true
  default_root_object = "index.html"
  price_class         = "PriceClass_100"

  origin {
    domain_name              = aws_s3_bucket.dashboard[0].bucket_regional_domain_name
    origin_id                = "bucket"
    origin_access_control_id = aws_cloudfront_origin_access_control.dashboard[0].id
  }

  default_cache_behavior {
    target_origin_id           = "bucket"
    viewer_protocol_policy     = "redirect-to-https"
    allowed_methods            = ["GET", "HEAD"]
    cached_methods             = ["GET", "HEAD"]
    compress                   = true
    response_headers_policy_id = aws_cloudfront_response_headers_policy.dashboard[0].id

    # AWS's own "CachingOptimized": the same id in every account.
    cache_policy_id = "658327ea-f89d-4fab-a63d-7e88639e58f6"
  }

  restrictions {
    geo_restriction {
      restriction_type = "none"
    }
  }

  viewer_certificate {
    cloudfront_default_certificate = true
  }
}
