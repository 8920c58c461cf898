"""What Terraform gives back: terraform/outputs.tf as types."""

from collections.abc import Mapping
from typing import Any, Self

import msgspec

from testbed.errors import TestbedError
from testbed.paths import PROJECT_FILE

# Of the outputs that a project can name, the one that is secret.
API_KEY = "api_key"

# What a command says that the project has nothing for.
_WORDS = {
    "api_gateway_invoke_url": "a REST API",
    "iot_policy_name": "a thing policy",
    "stations_table_name": "a table of the latest states",
    "history_table_name": "a table of the last hours",
    "operations_table_name": "a table of what operators did",
    "telemetry_bucket_name": "an archive bucket",
    "telemetry_queue_url": "a queue before the function",
    "dead_letter_queue_url": "a dead-letter queue",
    "telemetry_function_name": "a telemetry function",
    "load_test": "a load test",
}


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
    """The outputs that the project names in testbed.toml, but for ``api_key``, which is secret.

    terraform/outputs.tf says what each is. One is empty where the project has no such thing.
    """

    api_gateway_invoke_url: str = ""
    api_gateway_id: str = ""
    api_gateway_stage: str = ""
    iot_endpoint: str = ""
    iot_policy_name: str = ""
    topic_root: str = ""
    telemetry_rule_name: str = ""
    stations_table_name: str = ""
    history_table_name: str = ""
    operations_table_name: str = ""
    telemetry_bucket_name: str = ""
    telemetry_queue_url: str = ""
    # Empty, too, where the queue carries telemetry.
    telemetry_stream_name: str = ""
    dead_letter_queue_url: str = ""
    telemetry_function_name: str = ""
    api_function_name: str = ""
    dashboard_url: str = ""
    analytics_database: str = ""
    analytics_workgroup: str = ""
    load_test: LoadTest | None = None

    @classmethod
    def named(cls, outputs: Mapping[str, Any], names: Mapping[str, str]) -> Self:
        """Take those that a project names.

        Args:
            outputs: Terraform's, name -> value.
            names: field -> name of the output.

        Raises:
            TestbedError: there is no such field, or an output is of another type.
        """
        if strange := names.keys() - {*cls.__struct_fields__, API_KEY}:
            raise TestbedError(
                f"{PROJECT_FILE}: outputs.{min(strange)} is unknown.",
                f"There are {', '.join(cls.__struct_fields__)}.",
            )
        # One that is null is not among Terraform's.
        values = {
            field: outputs[name] for field, name in names.items() if field != API_KEY and name in outputs
        }
        try:
            return msgspec.convert(values, cls)
        except msgspec.ValidationError as error:
            raise TestbedError(f"A Terraform output of {PROJECT_FILE} is not usable: {error}.") from error

    def need(self, *fields: str) -> None:
        """Do nothing where the project has them all.

        Raises:
            TestbedError: it lacks one.
        """
        for field in fields:
            if not getattr(self, field):
                raise TestbedError(
                    f"This is for a project with {_WORDS[field]}, and this one names none.",
                    f"Name its Terraform output in {PROJECT_FILE}: [outputs] {field} = ...",
                )
