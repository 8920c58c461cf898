"""Number functions: developerguide/iot-sql-functions.md, abs to trunc."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal

from bridge.sql.functions.base import Function
from bridge.sql.operators import modulo
from bridge.sql.values import UNDEFINED, Value, floor_int, number, round_int, truncate


def _double(compute: Callable[..., float]) -> Callable[..., Value]:
    """Make a function on doubles: arguments are rounded to double first, results that are no real number are
    Undefined.
    """

    def call(*arguments: Value) -> Value:
        doubles = []
        for argument in arguments:
            known = number(argument)
            if known is None:
                return UNDEFINED
            doubles.append(known)
        try:
            result = compute(*map(float, doubles))
        except (ValueError, OverflowError, ZeroDivisionError):
            return UNDEFINED
        return result if math.isfinite(result) else UNDEFINED

    return call


def _rounded(rounding: str) -> Callable[[Value], Value]:
    def call(value: Value) -> Value:
        whole = round_int(number(value), rounding)
        return UNDEFINED if whole is None else whole

    return call


def _absolute(value: Value) -> Value:
    known = number(value)
    return UNDEFINED if known is None else abs(known)


def _sign(value: Value) -> Value:
    known = number(value)
    return UNDEFINED if known is None else (known > 0) - (known < 0)


def _bits(compute: Callable[[int, int], int]) -> Callable[[Value, Value], Value]:
    def call(left: Value, right: Value) -> Value:
        first, second = floor_int(left), floor_int(right)
        return UNDEFINED if first is None or second is None else compute(first, second)

    return call


def _bit_not(value: Value) -> Value:
    """Follow the reference's example, bitnot(13) = 2: the complement within the argument's own bits, not two's
    complement.
    """
    known = floor_int(value)
    if known is None:
        return UNDEFINED
    return ~known if known < 0 else known ^ ((1 << max(1, known.bit_length())) - 1)


def _cut(value: Value, places: Value) -> Value:
    known = number(value)
    count = None if type(places) is str else floor_int(places)
    if known is None or count is None:
        return UNDEFINED
    if isinstance(known, Decimal):
        return truncate(known, max(0, min(34, count)))
    return known


def _valid_number(value: Value, otherwise: Value) -> Value:
    return otherwise if value is UNDEFINED or value is None else value


FUNCTIONS = {
    "abs": Function(_absolute, 1, 1),
    "bitand": Function(_bits(lambda left, right: left & right), 2, 2),
    "bitnot": Function(_bit_not, 1, 1),
    "bitor": Function(_bits(lambda left, right: left | right), 2, 2),
    "bitxor": Function(_bits(lambda left, right: left ^ right), 2, 2),
    "ceil": Function(_rounded(ROUND_CEILING), 1, 1),
    "floor": Function(_rounded(ROUND_FLOOR), 1, 1),
    "round": Function(_rounded(ROUND_HALF_UP), 1, 1),
    "mod": Function(modulo, 2, 2),
    "remainder": Function(modulo, 2, 2),
    "nanvl": Function(_valid_number, 2, 2),
    "rand": Function(random.random, 0, 0),
    "sign": Function(_sign, 1, 1),
    "trunc": Function(_cut, 2, 2),
    "power": Function(_double(math.pow), 2, 2),
    "atan2": Function(_double(math.atan2), 2, 2),
    "ln": Function(_double(math.log), 1, 1),
    "log": Function(_double(math.log10), 1, 1),
    **{
        name: Function(_double(getattr(math, name)), 1, 1)
        for name in ("acos", "asin", "atan", "cos", "cosh", "exp", "sin", "sinh", "sqrt", "tan", "tanh")
    },
}
