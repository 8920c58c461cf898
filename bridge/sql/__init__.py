"""AWS IoT rule SQL: compile a rule once, run it on every message. docs/rule-sql.md describes it."""

from bridge.sql.errors import RuleSqlError
from bridge.sql.rule import (
    NOT_FIRED,
    CompiledRule,
    CompiledTemplate,
    Json,
    NotFired,
    Outgoing,
    compile_rule,
    compile_template,
    evaluate,
    to_bytes,
)
from bridge.sql.scope import Context, Message, MqttProperties
from bridge.topics import basic_ingest, matcher

__all__ = [
    "NOT_FIRED",
    "CompiledRule",
    "CompiledTemplate",
    "Context",
    "Json",
    "Message",
    "MqttProperties",
    "NotFired",
    "Outgoing",
    "RuleSqlError",
    "basic_ingest",
    "compile_rule",
    "compile_template",
    "evaluate",
    "matcher",
    "to_bytes",
]
