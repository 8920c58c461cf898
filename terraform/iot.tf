# What a station may do, and where its messages go.

data "aws_iot_endpoint" "data" {
  endpoint_type = "iot:Data-ATS"
}

locals {
  # Where pages listen, by MQTT over WebSocket; empty is nowhere.
  # Read by every AWS SDK.
  iot_data_endpoints = var.iot_data_endpoint == "" ? {} : {
    AWS_ENDPOINT_URL_IOT_DATA_PLANE      = var.iot_data_endpoint
    AWS_ENDPOINT_URL_IOT_JOBS_DATA_PLANE = var.iot_data_endpoint
    # Jobs are the data plane's there, their control plane as well.
    AWS_ENDPOINT_URL_IOT = var.iot_data_endpoint
  }
  # How the ids of the deployment's jobs begin (testbed/operations/firmware.py).
  job_prefix        = "${local.name_prefix}-firmware-"
  realtime_endpoint = var.realtime_endpoint == null ? data.aws_iot_endpoint.data.endpoint_address : var.realtime_endpoint
}

# ---------------------------------------------------------------------------
# Thing policy: a station is its certificate's thing, and speaks for nobody else
# ---------------------------------------------------------------------------

locals {
  # Policy variables of AWS IoT, filled in at each connection; $${} is Terraform's escape.
  thing_name = "$${iot:Connection.Thing.ThingName}"
  iot_arn    = "arn:aws:iot:${var.aws_region}:${local.account_id}"

  station_topic = "${local.topic_root}/${local.thing_name}/telemetry"

  # What a station asks its own shadow and of its own jobs, and is told of them.
  shadow_topics  = "$aws/things/${local.thing_name}/shadow/*"
  jobs_topics    = "$aws/things/${local.thing_name}/jobs/*"
  commands_topic = "${local.topic_root}/${local.thing_name}/commands"
  answers_topic  = "${local.topic_root}/${local.thing_name}/answers"
  heard_topics   = [local.commands_topic, local.shadow_topics, local.jobs_topics]
}

locals {
  station_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "ConnectAsItself"
        Effect    = "Allow"
        Action    = "iot:Connect"
        Resource  = "${local.iot_arn}:client/${local.thing_name}"
        Condition = { Bool = { "iot:Connection.Thing.IsAttached" = "true" } }
      },
      {
        Sid    = "PublishOwn"
        Effect = "Allow"
        Action = "iot:Publish"
        Resource = [
          "${local.iot_arn}:topic/${local.station_topic}",
          # Basic Ingest: straight to the rule, without the broker's price for a message.
          "${local.iot_arn}:topic/$aws/rules/${local.rule_prefix}_telemetry_rule/${local.station_topic}",
          "${local.iot_arn}:topic/${local.shadow_topics}",
          "${local.iot_arn}:topic/${local.jobs_topics}",
          "${local.iot_arn}:topic/${local.answers_topic}",
        ]
      },
      {
        Sid      = "SubscribeToOwn"
        Effect   = "Allow"
        Action   = "iot:Subscribe"
        Resource = [for topic in local.heard_topics : "${local.iot_arn}:topicfilter/${topic}"]
      },
      {
        Sid      = "ReceiveOwn"
        Effect   = "Allow"
        Action   = "iot:Receive"
        Resource = [for topic in local.heard_topics : "${local.iot_arn}:topic/${topic}"]
      },
    ]
  })
}

resource "aws_iot_policy" "station" {
  name = "${local.name_prefix}-station-policy"

  policy = local.station_policy

  lifecycle {
    # AWS IoT Core endpoints and quotas: "Policy document size". White space does not count, and jsonencode writes none.
    precondition {
      condition     = length(local.station_policy) <= 2048
      error_message = "topic_root is so long that the stations' policy has more than AWS IoT's 2,048 characters."
    }
  }
}

# ---------------------------------------------------------------------------
# Rules
# ---------------------------------------------------------------------------

resource "aws_iot_topic_rule" "telemetry" {
  name        = "${local.rule_prefix}_telemetry_rule"
  description = "Station telemetry to the telemetry ${local.stream ? "stream" : "queue"}"
  enabled     = true
  sql_version = "2016-03-23"

  # The payload travels encoded: what is not JSON must reach the handler too, which says in the
  # dead-letter queue what is wrong with it. A rule that reads the payload would drop it here.
  sql = "SELECT encode(*, 'base64') AS payload_base64, topic() AS topic, clientid() AS client_id, timestamp() AS received_at FROM '${local.telemetry_topic_filter}'"

  dynamic "sqs" {
    for_each = local.stream ? [] : [aws_sqs_queue.telemetry.id]

    content {
      queue_url  = sqs.value
      role_arn   = aws_iam_role.iot_rules.arn
      use_base64 = false
    }
  }

  dynamic "kinesis" {
    for_each = aws_kinesis_stream.telemetry[*].name

    content {
      stream_name = kinesis.value
      # The station, so that its messages stay in order.
      partition_key = "$${topic(${length(split("/", local.topic_root)) + 1})}"
      role_arn      = aws_iam_role.iot_rules.arn
    }
  }

  error_action {
    sqs {
      queue_url  = aws_sqs_queue.dead_letters.id
      role_arn   = aws_iam_role.iot_errors.arn
      use_base64 = false
    }
  }
}

resource "aws_iot_topic_rule" "presence" {
  name        = "${local.rule_prefix}_presence_rule"
  description = "Stations that connect and disconnect, to the telemetry queue"
  enabled     = true
  sql_version = "2016-03-23"
  sql         = "SELECT * FROM '$aws/events/presence/+/+'"

  sqs {
    queue_url  = aws_sqs_queue.telemetry.id
    role_arn   = aws_iam_role.iot_rules.arn
    use_base64 = false
  }

  error_action {
    sqs {
      queue_url  = aws_sqs_queue.dead_letters.id
      role_arn   = aws_iam_role.iot_errors.arn
      use_base64 = false
    }
  }
}

resource "aws_iot_topic_rule" "answers" {
  name        = "${local.rule_prefix}_answers_rule"
  description = "Stations' answers to commands, to the operations table"
  enabled     = true
  sql_version = "2016-03-23"

  # A text each, whatever the station says; kept for 90 days, as commands are (functions/api_handler/commands.py).
  sql = join(" ", [
    "SELECT topic(${length(split("/", local.topic_root)) + 1}) AS station_id, concat('answer#', command_id) AS operation,",
    "cast(outcome AS String) AS outcome, cast(detail AS String) AS detail, cast(answered_at AS String) AS answered_at,",
    "floor(timestamp() / 1000) + 7776000 AS expires_at FROM '${local.topic_root}/+/answers'",
  ])

  dynamodbv2 {
    role_arn = aws_iam_role.iot_rules.arn

    put_item {
      table_name = local.tables.operations.name
    }
  }

  error_action {
    sqs {
      queue_url  = aws_sqs_queue.dead_letters.id
      role_arn   = aws_iam_role.iot_errors.arn
      use_base64 = false
    }
  }
}
