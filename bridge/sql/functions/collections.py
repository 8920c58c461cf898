"""Functions on arrays, objects and any value: concat, get, transform, isNull, isUndefined."""

from __future__ import annotations

from decimal import Decimal

from bridge.sql.functions.base import Function
from bridge.sql.values import UNDEFINED, Value, index_int, plain, text


def _concat(*values: Value) -> Value:
    if len(values) == 1:
        # "returned unmodified" says the table, concat(1) = "1" says the example above it
        return text(values[0]) if type(values[0]) in {int, float, Decimal} else values[0]
    if any(type(value) is list for value in values):
        joined: list[Value] = []
        for value in values:
            if type(value) is list:
                joined += value
            elif value is not UNDEFINED:
                joined.append(plain(value))
        return joined
    if any(type(value) is str for value in values):
        texts = [text(value) for value in values]
        if None not in texts:
            return "".join(filter(None, texts))
    return UNDEFINED


def get(collection: Value, key: Value) -> Value:
    """Return an item of an Array, a character of a String, a member of an Object; Undefined outside of it."""
    if type(collection) is dict:
        return collection.get(key, UNDEFINED) if type(key) is str else UNDEFINED
    if type(collection) is list or type(collection) is str:
        place = index_int(key)
        if place is not None and 0 <= place < len(collection):
            return collection[place]
    return UNDEFINED


def _transform(mode: Value, attributes: Value, elements: Value) -> Value:
    if mode != "enrichArray" or type(attributes) is not dict or type(elements) is not list:
        return UNDEFINED
    if not all(type(element) is dict for element in elements):
        return UNDEFINED
    return [{**element, **attributes} for element in elements]


def _get_or_default(value: Value, default: Value = UNDEFINED) -> Value:
    return default if value is None or value is UNDEFINED else value


FUNCTIONS = {
    "concat": Function(_concat, 0, None),
    "get": Function(get, 2, 2),
    "get_or_default": Function(_get_or_default, 1, 2, since_2016=True),
    "isnull": Function(lambda value: value is None, 1, 1),
    "isundefined": Function(lambda value: value is UNDEFINED, 1, 1, since_2016=True),
    "transform": Function(_transform, 3, 3, since_2016=True),
}
