"""Operators of AWS IoT SQL on values: developerguide/iot-sql-operators.md."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from bridge.sql.values import CONTEXT, INT_LIMIT, UNDEFINED, Value, boolean, equal, finite, number, text

Operator = Callable[[Value, Value], Value]


def _result(value: Decimal) -> Value:
    return value if value.is_finite() else UNDEFINED


def _bounded(value: int) -> Value:
    """Round an Int of more than 34 digits to a Decimal of 34."""
    if -INT_LIMIT < value < INT_LIMIT:
        return value
    rounded = finite(CONTEXT.create_decimal(value))
    return UNDEFINED if rounded is None else rounded


def add(left: Value, right: Value) -> Value:
    """Addition, or concatenation when either side is a String."""
    if type(left) is int and type(right) is int:
        return _bounded(left + right)
    if type(left) is str or type(right) is str:
        head, tail = text(left), text(right)
        return UNDEFINED if head is None or tail is None else head + tail
    first, second = number(left), number(right)
    if first is None or second is None:
        return UNDEFINED
    return _result(CONTEXT.add(first, second))


def subtract(left: Value, right: Value) -> Value:
    """Subtraction: Int of two Ints, else Decimal."""
    first, second = number(left), number(right)
    if first is None or second is None:
        return UNDEFINED
    if type(first) is int and type(second) is int:
        return _bounded(first - second)
    return _result(CONTEXT.subtract(first, second))


def multiply(left: Value, right: Value) -> Value:
    """Multiplication: Int of two Ints, else Decimal."""
    first, second = number(left), number(right)
    if first is None or second is None:
        return UNDEFINED
    if type(first) is int and type(second) is int:
        return _bounded(first * second)
    return _result(CONTEXT.multiply(first, second))


def divide(left: Value, right: Value) -> Value:
    """Division: Int of two Ints (cut toward zero), else Decimal; by zero Undefined."""
    first, second = number(left), number(right)
    if first is None or second is None or second == 0:
        return UNDEFINED
    if type(first) is int and type(second) is int:
        quotient = abs(first) // abs(second)
        return _bounded(quotient if (first < 0) == (second < 0) else -quotient)
    return _result(CONTEXT.divide(first, second))


def modulo(left: Value, right: Value) -> Value:
    """Remainder with the sign of the dividend; by zero Undefined."""
    first, second = number(left), number(right)
    if first is None or second is None or second == 0:
        return UNDEFINED
    if type(first) is int and type(second) is int:
        rest = abs(first) % abs(second)
        return _bounded(-rest if first < 0 else rest)
    return _result(CONTEXT.remainder(first, second))


def negate(value: Value) -> Value:
    """Unary minus, as 0 - value."""
    return subtract(0, value)


def equals(left: Value, right: Value) -> Value:
    """`=`: Undefined with Undefined, false for mismatched types."""
    if left is UNDEFINED or right is UNDEFINED:
        return UNDEFINED
    return equal(left, right)


def differs(left: Value, right: Value) -> Value:
    """`<>`: Undefined with Undefined, true for mismatched types."""
    if left is UNDEFINED or right is UNDEFINED:
        return UNDEFINED
    return not equal(left, right)


_DIRECT: Final = frozenset({int, float})


def _ordering(compare: Callable[[int | Decimal, int | Decimal], bool]) -> Operator:
    def ordered(left: Value, right: Value) -> Value:
        if type(left) in _DIRECT and type(right) in _DIRECT:
            return compare(left, right)
        first, second = number(left), number(right)
        if first is None or second is None:
            return UNDEFINED
        return compare(first, second)

    return ordered


def both(left: Value, right: Value) -> Value:
    """AND; anything but a Boolean or "true"/"false" on either side makes it Undefined."""
    first, second = boolean(left), boolean(right)
    return UNDEFINED if first is None or second is None else first and second


def either(left: Value, right: Value) -> Value:
    """OR; anything but a Boolean or "true"/"false" on either side makes it Undefined."""
    first, second = boolean(left), boolean(right)
    return UNDEFINED if first is None or second is None else first or second


def inverse(value: Value) -> Value:
    """NOT."""
    known = boolean(value)
    return UNDEFINED if known is None else not known


def contains(value: Value, candidates: Value) -> Value:
    """IN: whether the value equals an item of the array, by the rules of `=`."""
    if value is UNDEFINED or type(candidates) is not list:
        return UNDEFINED
    return any(equal(value, candidate) for candidate in candidates)


OPERATORS: Final[dict[str, Operator]] = {
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide,
    "%": modulo,
    "=": equals,
    "<>": differs,
    "<": _ordering(lambda left, right: left < right),
    "<=": _ordering(lambda left, right: left <= right),
    ">": _ordering(lambda left, right: left > right),
    ">=": _ordering(lambda left, right: left >= right),
}
