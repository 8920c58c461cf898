"""Carries MQTT messages to AWS services by AWS IoT topic rules."""

from bridge.sql import (
    NOT_FIRED,
    CompiledRule,
    CompiledTemplate,
    Context,
    Message,
    MqttProperties,
    RuleSqlError,
    basic_ingest,
    compile_rule,
    compile_template,
    evaluate,
    to_bytes,
)

__all__ = [
    "NOT_FIRED",
    "CompiledRule",
    "CompiledTemplate",
    "Context",
    "Message",
    "MqttProperties",
    "RuleSqlError",
    "basic_ingest",
    "compile_rule",
    "compile_template",
    "evaluate",
    "to_bytes",
]
