# Archive: every telemetry message, one compressed object a batch.

resource "aws_s3_bucket" "telemetry" {
  bucket        = "${local.global_prefix}-telemetry-${local.account_id}"
  force_destroy = var.force_destroy_archive
}

resource "aws_s3_bucket_public_access_block" "telemetry" {
  bucket = aws_s3_bucket.telemetry.id

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "telemetry" {
  bucket = aws_s3_bucket.telemetry.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

# Cold, and still there: Glacier Instant Retrieval answers in milliseconds. What is in the other Glacier classes Athena
# leaves out without a word, and GetObject fails with InvalidObjectState. S3 moves no object below 128 KB, which small
# networks' batches are before they are compacted. (S3 user guide, "Transitioning objects using Amazon S3 Lifecycle")
resource "aws_s3_bucket_lifecycle_configuration" "telemetry" {
  bucket = aws_s3_bucket.telemetry.id

  rule {
    id     = "telemetry-gets-cold"
    status = "Enabled"

    filter {
      prefix = "telemetry/"
    }

    transition {
      days          = var.archive_glacier_after_days
      storage_class = "GLACIER_IR"
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  rule {
    id     = "compacted-gets-cold"
    status = "Enabled"

    filter {
      prefix = "compacted/"
    }

    transition {
      days          = var.archive_glacier_after_days
      storage_class = "GLACIER_IR"
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  rule {
    id     = "query-results-away"
    status = "Enabled"

    filter {
      prefix = "query-results/"
    }

    expiration {
      days = 7
    }
  }
}

data "aws_iam_policy_document" "telemetry_bucket" {
  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.telemetry.arn, "${aws_s3_bucket.telemetry.arn}/*"]

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
}

resource "aws_s3_bucket_policy" "telemetry" {
  bucket = aws_s3_bucket.telemetry.id
  policy = data.aws_iam_policy_document.telemetry_bucket.json

  # Both touch the bucket's access settings; S3 refuses the second of two changes at once.
  depends_on = [aws_s3_bucket_public_access_block.telemetry]
}
