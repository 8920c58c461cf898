"""What Terraform gives back: terraform/outputs.tf as types."""

import msgspec


class LoadTest(msgspec.Struct, frozen=True):
    """Where the shards of a load test run on AWS, and how large the fleet is; ``duration`` is in seconds."""

    cluster: str
    task_definition: str
    subnet: str
    security_group: str
    log_group: str
    prefix: str
    shards: int
    stations: int
    duration: float


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """The outputs, but for ``api_key``, which is secret; terraform/outputs.tf says what each is.

    Those with a default are empty where the deployment has no such thing.
    """

    api_gateway_invoke_url: str
    api_gateway_id: str
    api_gateway_stage: str
    iot_endpoint: str
    iot_policy_name: str
    topic_root: str
    telemetry_rule_name: str
    stations_table_name: str
    history_table_name: str
    telemetry_bucket_name: str
    telemetry_queue_url: str
    dead_letter_queue_url: str
    telemetry_function_name: str
    api_function_name: str
    dashboard_url: str = ""
    analytics_database: str = ""
    analytics_workgroup: str = ""
    load_test: LoadTest | None = None
