"""Functions on the message and its sender: topic, clientid, timestamp, principal, MQTT 5 properties."""

from __future__ import annotations

import uuid

from bridge.sql.functions.base import Function
from bridge.sql.functions.strings import encode_bytes
from bridge.sql.scope import Scope
from bridge.sql.values import UNDEFINED, Value, floor_int


def _topic(scope: Scope, *segment: Value) -> Value:
    if not segment:
        return scope.topic
    place = floor_int(segment[0])
    levels = scope.topic.split("/")
    return levels[place - 1] if place is not None and 0 < place <= len(levels) else UNDEFINED


def _or_undefined(value: str | None) -> Value:
    return UNDEFINED if value is None else value


def _client_id(scope: Scope) -> Value:
    known = scope.message.client_id
    return "n/a" if known is None else known


def _mqtt_property(scope: Scope, name: Value) -> Value:
    known = scope.message.properties
    if known is None:
        return UNDEFINED
    if name == "content_type":
        return _or_undefined(known.content_type)
    if name == "format_indicator":
        return "UTF8_DATA" if known.payload_is_utf8 else "UNSPECIFIED_BYTES"
    if name == "response_topic":
        return _or_undefined(known.response_topic)
    if name == "correlation_data" and known.correlation_data is not None:
        return encode_bytes(known.correlation_data)
    return UNDEFINED


def _user_properties(scope: Scope, *key: Value) -> Value:
    known = scope.message.properties
    if known is None:
        return UNDEFINED
    if not key:
        return [{name: value} for name, value in known.user] or UNDEFINED
    return [value for name, value in known.user if name == key[0]] or UNDEFINED


FUNCTIONS = {
    "accountid": Function(lambda scope: scope.account_id, 0, 0, on_message=True),
    "clientid": Function(_client_id, 0, 0, on_message=True),
    "get_mqtt_property": Function(_mqtt_property, 1, 1, since_2016=True, on_message=True),
    "get_user_properties": Function(_user_properties, 0, 1, since_2016=True, on_message=True),
    "newuuid": Function(lambda: str(uuid.uuid4()), 0, 0),
    "principal": Function(lambda scope: _or_undefined(scope.message.principal), 0, 0, on_message=True),
    "sourceip": Function(lambda scope: _or_undefined(scope.message.source_ip), 0, 0, on_message=True),
    "timestamp": Function(Scope.now, 0, 0, on_message=True),
    "topic": Function(_topic, 0, 1, on_message=True),
    "traceid": Function(Scope.trace, 0, 0, on_message=True),
}
