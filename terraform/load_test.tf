# The simulator in shards, beyond one machine: what Fargate tasks need, off by default (var.load_test).
#
# Tasks are started by `scripts/testbed load-test`, one a shard, and end by themselves: a service would start them again.
# Certificates are the operator's: enrolled from there, put under load-test/ of the archive's bucket (encrypted, TLS
# alone) for the run, and removed after it. So a shard needs no right in IoT; it reads its certificates and writes its
# ledger, which the audit wants.

locals {
  load_test      = var.load_test ? 1 : 0
  load_test_name = "${local.name_prefix}-load-test"
  # Under the archive's bucket; the archive itself is under telemetry/.
  load_test_prefix = "load-test"
}

resource "aws_cloudwatch_log_group" "load_test" {
  count = local.load_test

  name              = "/ecs/${local.load_test_name}"
  retention_in_days = var.log_retention_days
}

resource "aws_ecs_cluster" "load_test" {
  count = local.load_test

  name = local.load_test_name

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_ecs_task_definition" "load_test" {
  count = local.load_test

  family                   = local.load_test_name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  # A shard of 10,000 stations takes 15 % of a core and 545 MiB when all are connected; handshakes take the core.
  cpu                = 1024
  memory             = 2048
  execution_role_arn = aws_iam_role.load_test_start[0].arn
  task_role_arn      = aws_iam_role.load_test[0].arn

  container_definitions = jsonencode([{
    name                   = "simulator"
    image                  = var.load_test_image
    essential              = true
    user                   = "10001:10001"
    readonlyRootFilesystem = true
    # Each station's connection is an open file.
    ulimits     = [{ name = "nofile", softLimit = 65535, hardLimit = 65535 }]
    mountPoints = [{ sourceVolume = "work", containerPath = "/shard" }]
    # SHARD comes with each task.
    environment = [
      { name = "SHARDS", value = tostring(var.load_test_shards) },
      { name = "STATIONS", value = tostring(var.load_test_stations) },
      { name = "INTERVAL", value = tostring(var.load_test_interval_seconds) },
      { name = "DURATION", value = tostring(var.load_test_duration_seconds) },
      { name = "ENDPOINT", value = data.aws_iot_endpoint.data.endpoint_address },
      { name = "PORT", value = "8883" },
      { name = "TOPIC_ROOT", value = local.topic_root },
      { name = "BUCKET", value = aws_s3_bucket.telemetry.id },
      { name = "PREFIX", value = local.load_test_prefix },
      { name = "AWS_REGION", value = var.aws_region },
    ]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        "awslogs-group"         = aws_cloudwatch_log_group.load_test[0].name
        "awslogs-region"        = var.aws_region
        "awslogs-stream-prefix" = "shard"
      }
    }
  }])

  # The only place a shard can write to; Fargate encrypts it, and it is gone with the task.
  volume {
    name = "work"
  }

  lifecycle {
    precondition {
      condition     = var.load_test_image != null && var.load_test_subnet_id != null
      error_message = "load_test wants load_test_image and load_test_subnet_id."
    }
  }
}

# ---------------------------------------------------------------------------
# Network: nothing comes in; MQTT, and HTTPS for S3, ECR and the logs, go out
# ---------------------------------------------------------------------------

data "aws_subnet" "load_test" {
  count = local.load_test

  id = var.load_test_subnet_id
}

resource "aws_security_group" "load_test" {
  count = local.load_test

  name        = local.load_test_name
  description = "Shards of the simulator: no way in"
  vpc_id      = data.aws_subnet.load_test[0].vpc_id
}

resource "aws_security_group_rule" "load_test_out" {
  for_each = var.load_test ? { mqtt = 8883, https = 443 } : {}

  security_group_id = aws_security_group.load_test[0].id
  type              = "egress"
  description       = "To AWS by ${each.key}, whose addresses change"
  protocol          = "tcp"
  from_port         = each.value
  to_port           = each.value
  cidr_blocks       = ["0.0.0.0/0"]
}

# ---------------------------------------------------------------------------
# Roles: ECS's, to start a task; and the shard's own
# ---------------------------------------------------------------------------

data "aws_iam_policy_document" "assume_ecs_tasks" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account_id]
    }
  }
}

resource "aws_iam_role" "load_test_start" {
  count = local.load_test

  name                 = "${local.global_prefix}-load-test-start"
  assume_role_policy   = data.aws_iam_policy_document.assume_ecs_tasks.json
  permissions_boundary = var.permissions_boundary_arn
}

data "aws_iam_policy_document" "load_test_start" {
  count = local.load_test

  statement {
    sid       = "LogInToEcr"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"] # it has no other
  }

  statement {
    sid       = "PullOurImages"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = ["arn:aws:ecr:${var.aws_region}:${local.account_id}:repository/${var.project}*"]
  }

  statement {
    sid       = "Logs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.load_test[0].arn}:*"]
  }
}

resource "aws_iam_role_policy" "load_test_start" {
  count = local.load_test

  name   = "load-test-start"
  role   = aws_iam_role.load_test_start[0].id
  policy = data.aws_iam_policy_document.load_test_start[0].json
}

resource "aws_iam_role" "load_test" {
  count = local.load_test

  name                 = "${local.global_prefix}-load-test"
  assume_role_policy   = data.aws_iam_policy_document.assume_ecs_tasks.json
  permissions_boundary = var.permissions_boundary_arn
}

data "aws_iam_policy_document" "load_test" {
  count = local.load_test

  statement {
    sid       = "Certificates"
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.telemetry.arn}/${local.load_test_prefix}/certificates/*"]
  }

  statement {
    sid       = "Ledgers"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.telemetry.arn}/${local.load_test_prefix}/ledgers/*"]
  }
}

resource "aws_iam_role_policy" "load_test" {
  count = local.load_test

  name   = "load-test"
  role   = aws_iam_role.load_test[0].id
  policy = data.aws_iam_policy_document.load_test[0].json
}
