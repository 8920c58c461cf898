# Stations table: the latest state of every station, one item each.
#
# Without a block server_side_encryption the tables are encrypted by a key that DynamoDB owns, free of charge. A block
# with `enabled = true` takes the account's key aws/dynamodb, of which KMS bills each use.

resource "aws_dynamodb_table" "stations" {
  name         = "${local.name_prefix}-stations"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "station_id"

  attribute {
    name = "station_id"
    type = "S"
  }

  point_in_time_recovery {
    enabled = true
  }
}

# Operations table: what operators did to a station, who and when.

resource "aws_dynamodb_table" "operations" {
  name         = "${local.name_prefix}-operations"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "station_id"
  range_key    = "operation"

  attribute {
    name = "station_id"
    type = "S"
  }

  # "settings#", when and the request's id; "command#" and "answer#" with the command's id.
  attribute {
    name = "operation"
    type = "S"
  }

  # Of commands and answers; who set what stays.
  ttl {
    attribute_name = "expires_at"
    enabled        = true
  }

  point_in_time_recovery {
    enabled = true
  }
}

# History table: the hot window behind GET /stations/{id}/history, a point a station and interval.
# No point-in-time recovery: the archive has every message, and a point lives for a day.

resource "aws_dynamodb_table" "history" {
  name         = "${local.name_prefix}-history"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "station_id"
  range_key    = "interval"

  attribute {
    name = "station_id"
    type = "S"
  }

  # Where the interval begins, epoch seconds.
  attribute {
    name = "interval"
    type = "N"
  }

  ttl {
    attribute_name = "expires_at"
    enabled        = true
  }
}
