# Stations table: the latest state of every station, one item each.

resource "aws_dynamodb_table" "stations" {
  name         = "${local.name_prefix}-stations"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "station_id"

  attribute {
    name = "station_id"
    type = "S"
  }

  server_side_encryption {
    enabled = true
  }

  point_in_time_recovery {
    enabled = true
  }
}
