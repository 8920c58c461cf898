# Provider, naming and what the other files share.

terraform {
  # A state in S3 with its own lock, as `make up TARGET=aws` has it, needs 1.10.
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }
}

provider "aws" {
  region = var.aws_region

  default_tags {
    tags = local.tags
  }
}

data "aws_caller_identity" "current" {}

locals {
  # Every resource is named after these two words, so two deployments can share an account.
  name_prefix = "${var.project}-${var.environment}"

  # A second region is told by the first: primary_region. What AWS knows by one name an account (roles, CloudWatch's and
  # CloudFront's names, budgets), or one in the world (buckets), has the region in its name there.
  secondary     = var.primary_region != null
  global_prefix = local.secondary ? "${local.name_prefix}-${var.aws_region}" : local.name_prefix

  # IoT rule names allow letters, digits and underscores only.
  rule_prefix = replace(local.name_prefix, "-", "_")

  account_id = data.aws_caller_identity.current.account_id

  # The topic contract: one topic a station, the station's name right after the root.
  topic_root             = var.topic_root
  telemetry_topic_filter = "${local.topic_root}/+/telemetry"

  tags = var.tag_resources ? merge({
    Project     = var.project
    Environment = var.environment
    ManagedBy   = "terraform"
  }, var.tags) : tomap({})
}
