# ---------------------------------------------------------------------------
# Naming and place
# ---------------------------------------------------------------------------

variable "project" {
  description = "First part of every resource name."
  type        = string
  default     = "ev-swap"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.project))
    error_message = "project must be 3 to 20 lower-case letters, digits or hyphens, and start with a letter."
  }
}

variable "environment" {
  description = "Second part of every resource name: which deployment this is (dev, staging, prod)."
  type        = string
  default     = "dev"

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,11}$", var.environment))
    error_message = "environment must be 2 to 12 lower-case letters or digits, and start with a letter."
  }
}

variable "aws_region" {
  description = "AWS region of every resource."
  type        = string
  default     = "eu-central-1"

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.aws_region))
    error_message = "aws_region must look like eu-central-1."
  }
}

variable "replica_regions" {
  description = "Regions with a replica of each table; what is deployed there says primary_region. DynamoDB bills each write once more for each (docs/regions.md)."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for region in var.replica_regions : can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", region))])
    error_message = "replica_regions must look like [\"us-east-1\"]."
  }
}

variable "primary_region" {
  description = "The first region, for what is deployed in a second one: the tables here are the first one's replicas, and names that AWS knows once an account or once in the world end in this region's. null is the first region itself."
  type        = string
  default     = null

  validation {
    condition     = var.primary_region == null ? true : can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.primary_region))
    error_message = "primary_region must look like eu-central-1."
  }
}

variable "api_domain" {
  description = "A name of your own for the API: its certificate (ACM, in this region) and the Route 53 zone that gets the record. Two regions say the same name and zone. null is API Gateway's own URL alone."
  type        = object({ name = string, certificate_arn = string, zone_id = string })
  default     = null

  validation {
    condition     = var.api_domain == null ? true : can(regex("^[a-z0-9-]+(\\.[a-z0-9-]+)+$", var.api_domain.name)) && can(regex("^arn:aws[a-z-]*:acm:", var.api_domain.certificate_arn))
    error_message = "api_domain must have a name such as api.example.com and the ARN of its certificate."
  }
}

variable "topic_root" {
  description = "What stands before a station's name in its topics. A second deployment in an account and region needs one of its own, or each hears the other's stations."
  type        = string
  default     = "ev-swap/stations"

  validation {
    # AWS IoT takes seven slashes in a topic, and Basic Ingest's prefix does not count.
    condition     = can(regex("^[A-Za-z0-9_:-]{1,64}(/[A-Za-z0-9_:-]{1,64}){0,5}$", var.topic_root))
    error_message = "topic_root must be one to six levels of letters, digits, underscores, colons or hyphens: without wildcards, and without a slash at its ends."
  }
}

variable "tags" {
  description = "Tags added to those that every resource carries."
  type        = map(string)
  default     = {}
}

variable "permissions_boundary_arn" {
  description = "Policy that bounds what every role here can ever do; `make up TARGET=aws` sets the account's <project>-boundary, where there is one. null is none."
  type        = string
  default     = null

  validation {
    condition     = var.permissions_boundary_arn == null ? true : can(regex("^arn:aws[a-z-]*:iam::[0-9]*:policy/", var.permissions_boundary_arn))
    error_message = "permissions_boundary_arn must be the ARN of a managed policy."
  }
}

variable "tag_resources" {
  description = "Whether resources carry tags. `make down` finds by them what is left: false is for local engines that fail on them."
  type        = bool
  default     = true
}

# ---------------------------------------------------------------------------
# Lambda
# ---------------------------------------------------------------------------

variable "lambda_package_dir" {
  description = "Folder with telemetry_handler.zip and api_handler.zip, as `scripts/testbed package` builds them."
  type        = string
  default     = "../.testbed/packages/aws"
}

variable "lambda_runtime" {
  description = "Lambda runtime of both functions. The packages carry compiled wheels, so it must be the one they were built for."
  type        = string
  default     = "python3.13"

  validation {
    condition     = can(regex("^python3\\.(1[1-9])$", var.lambda_runtime))
    error_message = "lambda_runtime must be python3.11 or newer."
  }
}

variable "lambda_architecture" {
  description = "Processor of both functions: arm64 (a fifth cheaper) or x86_64. The packages must be built for it."
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.lambda_architecture)
    error_message = "lambda_architecture must be arm64 or x86_64."
  }
}

variable "lambda_reserved_concurrency" {
  description = "Reserved concurrent executions of each function; -1 reserves none (a new account has too few to give any away)."
  type        = number
  default     = -1

  validation {
    condition     = var.lambda_reserved_concurrency >= -1
    error_message = "lambda_reserved_concurrency must be -1 or more."
  }
}

variable "telemetry_timeout_seconds" {
  description = "Time-out of the telemetry handler, in seconds."
  type        = number
  default     = 30

  validation {
    condition     = var.telemetry_timeout_seconds >= 5 && var.telemetry_timeout_seconds <= 300
    error_message = "telemetry_timeout_seconds must be from 5 to 300."
  }
}

variable "log_level" {
  description = "Level of both functions' logs."
  type        = string
  default     = "INFO"

  validation {
    condition     = contains(["DEBUG", "INFO", "WARNING", "ERROR"], var.log_level)
    error_message = "log_level must be DEBUG, INFO, WARNING or ERROR."
  }
}

variable "log_retention_days" {
  description = "How long logs are kept, in days."
  type        = number
  default     = 7

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365], var.log_retention_days)
    error_message = "log_retention_days must be a number of days that CloudWatch Logs offers."
  }
}

# ---------------------------------------------------------------------------
# Queue or stream
# ---------------------------------------------------------------------------

variable "ingest" {
  description = "What is between the rule and the telemetry handler: sqs, a queue, or kinesis, a stream with each station's messages in order."
  type        = string
  default     = "sqs"

  validation {
    condition     = contains(["sqs", "kinesis"], var.ingest)
    error_message = "ingest must be sqs or kinesis."
  }
}

variable "stream_shards" {
  description = "Shards of the stream, each for 1,000 messages a second; 0 has AWS choose them (on demand), which costs more and wants no plan."
  type        = number
  default     = 0

  validation {
    condition     = var.stream_shards >= 0 && var.stream_shards <= 20000 && floor(var.stream_shards) == var.stream_shards
    error_message = "stream_shards must be a whole number from 0 (on demand) to 20000."
  }
}

variable "stream_parallelization_factor" {
  description = "Batches of one shard in work at once. With more than 1 a station's messages stay in order, a shard's do not."
  type        = number
  default     = 1

  validation {
    condition     = var.stream_parallelization_factor >= 1 && var.stream_parallelization_factor <= 10
    error_message = "stream_parallelization_factor must be from 1 to 10."
  }
}

variable "stream_record_age_seconds" {
  description = "How long a message of the stream is tried, in seconds: how long an outage may be that needs no hand. Until it is over, what comes after it in its shard waits."
  type        = number
  default     = 21600

  validation {
    condition     = var.stream_record_age_seconds >= 60 && var.stream_record_age_seconds <= 82800
    error_message = "stream_record_age_seconds must be from 60 to 82800: an hour before the stream drops the record."
  }
}

variable "telemetry_batch_size" {
  description = "Most messages that one call of the telemetry handler gets. A batch is one S3 PUT, so this sets the price of the archive."
  type        = number
  default     = 1000

  validation {
    condition     = var.telemetry_batch_size >= 1 && var.telemetry_batch_size <= 10000
    error_message = "telemetry_batch_size must be from 1 to 10000."
  }
}

variable "telemetry_batch_window_seconds" {
  description = "How long a batch may wait to fill, in seconds: freshness against cost. SQS wants at least 1 for batches over 10."
  type        = number
  default     = 5

  validation {
    condition     = var.telemetry_batch_window_seconds >= 0 && var.telemetry_batch_window_seconds <= 300
    error_message = "telemetry_batch_window_seconds must be from 0 to 300."
  }
}

variable "telemetry_max_concurrency" {
  description = "Most batches in work at once. A burst waits in the queue instead of starting a herd of Lambdas. A new AWS account has 10 executions in all, and the API wants some."
  type        = number
  default     = 5

  validation {
    condition     = var.telemetry_max_concurrency >= 2 && var.telemetry_max_concurrency <= 1000
    error_message = "telemetry_max_concurrency must be from 2 to 1000, the range of an SQS event source mapping."
  }
}

variable "queue_visibility_timeout_seconds" {
  description = "How long a batch in work stays hidden, in seconds. null is six times the handler's time-out and the batching window, as AWS advises."
  type        = number
  default     = null

  validation {
    condition     = var.queue_visibility_timeout_seconds == null ? true : var.queue_visibility_timeout_seconds >= 5 && var.queue_visibility_timeout_seconds <= 43200
    error_message = "queue_visibility_timeout_seconds must be from 5 to 43200, and at least the handler's time-out."
  }
}

variable "queue_max_receive_count" {
  description = "How often a message is tried before it goes to the dead-letter queue. The handler itself gives up on what no retry mends, so this is how long an outage may be: with 185 s between two tries, 1,000 are two days."
  type        = number
  default     = 1000

  validation {
    condition     = var.queue_max_receive_count >= 1 && var.queue_max_receive_count <= 1000
    error_message = "queue_max_receive_count must be from 1 to 1000; an outage needs 100 or more."
  }
}

# ---------------------------------------------------------------------------
# Tables
# ---------------------------------------------------------------------------

variable "table_capacity" {
  description = "How writes of the stations and history tables are paid: on-demand, each by itself, or provisioned, by units that follow the load; those are less than half of it for a fleet that speaks evenly."
  type        = string
  default     = "on-demand"

  validation {
    condition     = contains(["on-demand", "provisioned"], var.table_capacity)
    error_message = "table_capacity must be on-demand or provisioned."
  }
}

variable "table_write_units" {
  description = "Least write units of each provisioned table, and those that it begins with. Of a fleet that is there already: stations / interval / 0.7."
  type        = number
  default     = 5

  validation {
    condition     = var.table_write_units >= 1 && var.table_write_units <= 40000
    error_message = "table_write_units must be from 1 to 40000."
  }
}

variable "table_read_units" {
  description = "Least read units of each provisioned table, for the API, and those that it begins with."
  type        = number
  default     = 5

  validation {
    condition     = var.table_read_units >= 1 && var.table_read_units <= 40000
    error_message = "table_read_units must be from 1 to 40000."
  }
}

variable "table_most_units" {
  description = "Most units, of reads and of writes, that a provisioned table grows to: a ceiling of the bill. A unit that writes costs $0.47 a month."
  type        = number
  default     = 4000

  validation {
    condition     = var.table_most_units >= 1 && var.table_most_units <= 40000
    error_message = "table_most_units must be from 1 to 40000, AWS's quota of a table."
  }
}

variable "table_auto_scaling" {
  description = "Whether provisioned tables follow the load: false is for local engines, which lack Application Auto Scaling."
  type        = bool
  default     = true
}

# ---------------------------------------------------------------------------
# History
# ---------------------------------------------------------------------------

variable "history_hours" {
  description = "How long the history that the API serves goes back, in hours. The archive goes back further."
  type        = number
  default     = 24

  validation {
    condition     = var.history_hours >= 1 && var.history_hours <= 720
    error_message = "history_hours must be from 1 to 720."
  }
}

variable "history_resolution_seconds" {
  description = "Seconds between two points of a station's history. A point is a DynamoDB write, so this sets the history's price."
  type        = number
  default     = 60

  validation {
    condition     = var.history_resolution_seconds >= 1 && var.history_resolution_seconds <= 3600
    error_message = "history_resolution_seconds must be from 1 to 3600."
  }
}

# ---------------------------------------------------------------------------
# Archive
# ---------------------------------------------------------------------------

variable "archive_glacier_after_days" {
  description = "Age at which archived telemetry of 128 KB or more moves to Glacier Instant Retrieval, in days. An object there is paid for 90 days at least."
  type        = number
  default     = 90

  validation {
    condition     = var.archive_glacier_after_days >= 1
    error_message = "archive_glacier_after_days must be at least 1."
  }
}

variable "archive_compaction" {
  description = "Whether a scheduled function merges the archive's small objects. For more than some messages a second: every batch is an object."
  type        = bool
  default     = false
}

variable "archive_compaction_schedule" {
  description = "When that function runs: rate(...) or cron(...) in UTC, as EventBridge takes it. A batch is merged by one run and removed by the next."
  type        = string
  default     = "rate(1 hour)"

  validation {
    condition     = can(regex("^(rate|cron)\\(.+\\)$", var.archive_compaction_schedule))
    error_message = "archive_compaction_schedule must look like rate(1 hour) or cron(10 * * * ? *)."
  }
}

variable "archive_first_day" {
  description = "First day that the archive can have, YYYY-MM-DD: Athena looks at no partition before it."
  type        = string
  default     = "2026-01-01"

  validation {
    condition     = can(regex("^[0-9]{4}-[0-9]{2}-[0-9]{2}$", var.archive_first_day))
    error_message = "archive_first_day must look like 2026-01-01."
  }
}

variable "analytics" {
  description = "Whether there are Athena tables over the archive. They cost nothing until somebody asks."
  type        = bool
  default     = true
}

variable "analytics_scan_limit_gb" {
  description = "Most gigabytes that one query may read; Athena bills by what it reads."
  type        = number
  default     = 10

  validation {
    condition     = var.analytics_scan_limit_gb >= 1
    error_message = "analytics_scan_limit_gb must be at least 1."
  }
}

variable "force_destroy_archive" {
  description = "Whether `terraform destroy` may delete the archive with what is in it. Leave it false where the history matters."
  type        = bool
  default     = false
}

# ---------------------------------------------------------------------------
# API and monitoring
# ---------------------------------------------------------------------------

variable "api_stage_name" {
  description = "Stage of the REST API; null is the environment's name."
  type        = string
  default     = null
}

variable "api_key_value" {
  description = "Value of the API key; null lets AWS make one."
  type        = string
  default     = null
  sensitive   = true

  validation {
    condition     = var.api_key_value == null ? true : length(var.api_key_value) >= 20 && length(var.api_key_value) <= 128
    error_message = "api_key_value must be 20 to 128 characters."
  }
}

variable "api_rate_limit" {
  description = "Requests a second that a key may make in the long run, and all callers together."
  type        = number
  default     = 100

  validation {
    condition     = var.api_rate_limit > 0
    error_message = "api_rate_limit must be more than 0."
  }
}

variable "api_burst_limit" {
  description = "Requests that may come at once."
  type        = number
  default     = 200

  validation {
    condition     = var.api_burst_limit >= 1
    error_message = "api_burst_limit must be at least 1."
  }
}

variable "api_daily_quota" {
  description = "Requests a day that a key may make. A million cost about $5 (API Gateway and Lambda)."
  type        = number
  default     = 1000000

  validation {
    condition     = var.api_daily_quota >= 1
    error_message = "api_daily_quota must be at least 1."
  }
}

variable "oidc_issuer" {
  description = "OpenID Connect issuer whose access tokens callers must show, such as https://cognito-idp.<region>.amazonaws.com/<pool>; null asks for none."
  type        = string
  default     = null

  validation {
    condition     = var.oidc_issuer == null ? true : can(regex("^(https://|http://127\\.0\\.0\\.1[:/])", var.oidc_issuer))
    error_message = "oidc_issuer must begin with https:// (or be on 127.0.0.1, for tests)."
  }
}

variable "oidc_audience" {
  description = "Who the tokens must be for: the claim aud, or Cognito's client_id. Wanted with oidc_issuer."
  type        = string
  default     = ""
}

variable "oidc_scope_prefix" {
  description = "What stands before the scopes read and operate; for Cognito the resource server and a slash, such as ev-swap/."
  type        = string
  default     = ""
}

variable "cors_origin" {
  description = "Origin of the pages that may call the API from a browser, such as https://dashboard.example; null lets the dashboard's alone, where that is on."
  type        = string
  default     = null

  validation {
    condition     = var.cors_origin == null ? true : can(regex("^https?://[^/'*]+$", var.cors_origin))
    error_message = "cors_origin must be one origin: scheme, host and port, without a path, a quote or an asterisk."
  }
}

variable "dashboard_enabled" {
  description = "Whether the live page is deployed, too: a private bucket behind CloudFront. Switching it on or off takes CloudFront some minutes."
  type        = bool
  default     = false
}

variable "dashboard_dir" {
  description = "Folder with the page's files."
  type        = string
  default     = "../dashboard"
}

variable "operate_with_key" {
  description = "Whether the API's key alone may change stations' settings where no token is asked for (oidc_issuer). A key tells callers apart and proves nobody: leave it false where settings matter."
  type        = bool
  default     = false
}

variable "realtime_endpoint" {
  description = "Host that GET /realtime sends pages to, for telemetry by MQTT over WebSocket. null is AWS IoT Core's of this account; empty is none, as on local engines."
  type        = string
  default     = null

  validation {
    condition     = var.realtime_endpoint == null ? true : can(regex("^[A-Za-z0-9.:-]*$", var.realtime_endpoint))
    error_message = "realtime_endpoint must be a host, without a scheme or a path."
  }
}

variable "station_prefix" {
  description = "How the names of the stations' things begin; the API may read and change the shadows of those, and of no other thing of the account."
  type        = string
  default     = "station-"

  validation {
    condition     = can(regex("^[A-Za-z0-9:_-]{1,64}$", var.station_prefix))
    error_message = "station_prefix must be 1 to 64 letters, digits, colons, underscores and hyphens."
  }
}

variable "iot_data_endpoint" {
  description = "Where functions find AWS IoT's data plane (iot-data, iot-jobs-data, and jobs of iot), for local engines whose one port lacks it. Empty: at AWS, or at that port."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(https?://[A-Za-z0-9.:-]+)?$", var.iot_data_endpoint))
    error_message = "iot_data_endpoint must be a URL without a path, or empty."
  }
}

variable "alarm_email" {
  description = "Address that alarms are mailed to; null mails nobody. Wanted in prod and with monthly_budget_usd: an alarm that nobody hears is none."
  type        = string
  default     = null

  validation {
    condition     = var.alarm_email == null ? true : can(regex("^[^@ ]+@[^@ ]+$", var.alarm_email))
    error_message = "alarm_email must be an address."
  }
}

variable "silence_alarm_minutes" {
  description = "After how many minutes without telemetry, or without anything new in the archive, an alarm rings; null never rings, as where stations may be off."
  type        = number
  default     = 15

  validation {
    condition     = var.silence_alarm_minutes == null ? true : var.silence_alarm_minutes >= 5 && var.silence_alarm_minutes <= 1440
    error_message = "silence_alarm_minutes must be from 5 to 1440."
  }
}

variable "queue_age_alarm_seconds" {
  description = "Age of the oldest waiting message that raises an alarm, in seconds."
  type        = number
  default     = 300

  validation {
    condition     = var.queue_age_alarm_seconds >= 60
    error_message = "queue_age_alarm_seconds must be at least 60."
  }
}

# ---------------------------------------------------------------------------
# Switches: budget, WAF, X-Ray
# ---------------------------------------------------------------------------

variable "monthly_budget_usd" {
  description = "Dollars a month of the whole account: a mail to alarm_email at 80 % spent and at 100 % forecast. null watches nothing."
  type        = number
  default     = null

  validation {
    condition     = var.monthly_budget_usd == null ? true : var.monthly_budget_usd > 0
    error_message = "monthly_budget_usd must be more than 0."
  }
}

variable "enable_waf" {
  description = "Whether AWS WAF stands before the API: about $7 a month and $0.60 a million requests."
  type        = bool
  default     = false
}

variable "waf_requests_per_five_minutes" {
  description = "Requests that WAF takes from one address in five minutes."
  type        = number
  default     = 10000

  validation {
    condition     = var.waf_requests_per_five_minutes >= 100
    error_message = "waf_requests_per_five_minutes must be at least 100."
  }
}

variable "enable_xray" {
  description = "Whether API Gateway and the functions send traces to X-Ray: $5 a million traces."
  type        = bool
  default     = false
}

# ---------------------------------------------------------------------------
# Load test
# ---------------------------------------------------------------------------

variable "load_test" {
  description = "Whether there is a place to run the simulator in shards, as Fargate tasks; they run only while `scripts/testbed load-test` has started them."
  type        = bool
  default     = false
}

variable "load_test_image" {
  description = "The simulator's image (docker/Dockerfile, target simulator) for x86_64, by digest; in ECR it must be in a repository of this account whose name begins with the project. Wanted with load_test."
  type        = string
  default     = null

  validation {
    condition     = var.load_test_image == null ? true : can(regex("@sha256:[0-9a-f]{64}$", var.load_test_image))
    error_message = "load_test_image must end in a digest, @sha256: and 64 hexadecimal digits: a tag may be moved."
  }
}

variable "load_test_subnet_id" {
  description = "Subnet of the shards, with a way to the internet or endpoints for IoT, S3, ECR and CloudWatch Logs. Wanted with load_test."
  type        = string
  default     = null

  validation {
    condition     = var.load_test_subnet_id == null ? true : can(regex("^subnet-[0-9a-f]+$", var.load_test_subnet_id))
    error_message = "load_test_subnet_id must look like subnet-0123456789abcdef0."
  }
}

variable "load_test_shards" {
  description = "How many tasks the fleet is spread over."
  type        = number
  default     = 4

  validation {
    condition     = var.load_test_shards >= 1 && var.load_test_shards <= 100
    error_message = "load_test_shards must be from 1 to 100."
  }
}

variable "load_test_stations" {
  description = "Stations of all shards together. One shard bears 10,000 at an interval of 60 s."
  type        = number
  default     = 1000

  validation {
    condition     = var.load_test_stations >= 1
    error_message = "load_test_stations must be at least 1."
  }
}

variable "load_test_interval_seconds" {
  description = "Seconds between two messages of a station."
  type        = number
  default     = 60

  validation {
    condition     = var.load_test_interval_seconds >= 1
    error_message = "load_test_interval_seconds must be at least 1."
  }
}

variable "load_test_duration_seconds" {
  description = "After how many seconds the shards end by themselves: a load test must not be forgotten."
  type        = number
  default     = 600

  validation {
    condition     = var.load_test_duration_seconds >= 10 && var.load_test_duration_seconds <= 86400
    error_message = "load_test_duration_seconds must be from 10 to 86400."
  }
}
