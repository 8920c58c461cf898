"""Values of AWS IoT SQL, and the conversions between them.

A value is what JSON has (None, bool, int, float, str, list, dict), plus `UNDEFINED`, plus `Decimal` for the
result of arithmetic and for SQL literals such as `1.5`, plus `bytes` for a payload that is not JSON. Lists
and dicts hold plain JSON values only: `plain` turns a Decimal into int or float before it enters one.

Source of the tables: developerguide/iot-sql-data-types.md of awsdocs/aws-iot-docs.
"""

from __future__ import annotations

import json
import math
import re
from decimal import ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal
from enum import Enum
from typing import Any, Final, Literal, TypeAlias


class Undefined(Enum):
    """AWS's Undefined: not a value, left out when it is serialised."""

    UNDEFINED = "Undefined"

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "UNDEFINED"


UNDEFINED: Final[Literal[Undefined.UNDEFINED]] = Undefined.UNDEFINED
Value: TypeAlias = Any

# 34 digits, magnitudes from 1E-999 to 9.99E999 (iot-sql-data-types.md). Nothing traps: an impossible result
# is an infinity or a NaN here, and Undefined for the caller.
CONTEXT: Final = Context(prec=34, Emin=-999, Emax=999, traps=[])
# Rounding a 1000-digit number to an integer needs room for its digits.
_WIDE: Final = Context(prec=2100, Emin=-9999, Emax=9999, traps=[])
INT_LIMIT: Final = 10**34
_NUMERIC: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE]-?[0-9]+)?")
_EXACT_FLOAT: Final = 2.0**53


def number(value: Value) -> int | Decimal | None:
    """Convert to a number by AWS's "To decimal" table; None where that is Undefined (or Null: no function
    takes it).
    """
    kind = type(value)
    if kind is int:
        return value  # type: ignore[no-any-return]
    if kind is float:
        return Decimal(repr(value))
    if kind is Decimal:
        return value  # type: ignore[no-any-return]
    if kind is str and _NUMERIC.fullmatch(value):
        return finite(CONTEXT.create_decimal(value))
    return None


def finite(value: Decimal) -> Decimal | None:
    """Return the value, or None when a calculation left AWS's range."""
    return value if value.is_finite() else None


def floor_int(value: Value) -> int | None:
    """Convert to Int as the functions do it: "rounded down to the nearest Int"."""
    return round_int(number(value), ROUND_FLOOR)


def index_int(value: Value) -> int | None:
    """Convert to Int by the "To int" table: a Decimal goes to the nearest Int, a String is truncated."""
    return round_int(number(value), ROUND_DOWN if type(value) is str else ROUND_HALF_UP)


def round_int(value: int | Decimal | None, rounding: str) -> int | None:
    """Round to an int; None stays None."""
    if value is None or type(value) is int:
        return value
    return int(_WIDE.create_decimal(value).to_integral_value(rounding, _WIDE))


def truncate(value: Decimal, places: int) -> Decimal:
    """Cut to so many decimal places."""
    return _WIDE.create_decimal(value).quantize(Decimal(1).scaleb(-places), ROUND_DOWN, _WIDE)


def boolean(value: Value) -> bool | None:
    """Convert to Boolean by AWS's table; None is Undefined."""
    if value is True or value is False:
        return bool(value)
    if type(value) is str:
        lowered = value.lower()
        if lowered == "true":
            return True
        if lowered == "false":
            return False
    return None


def text(value: Value) -> str | None:  # noqa: PLR0911 - a line of AWS's table each
    """Convert to String by AWS's table; None is Undefined (Null, Undefined and raw bytes have no string)."""
    kind = type(value)
    if kind is str:
        return value  # type: ignore[no-any-return]
    if kind is int:
        return str(value)
    if kind is bool:
        return "true" if value else "false"
    if kind is float:
        return repr(value) if 1e-6 <= abs(value) < 1e16 else str(Decimal(repr(value)))
    if kind is Decimal:
        whole = integral(value)
        return str(value.normalize(CONTEXT)) if whole is None else str(whole)
    if kind is list or kind is dict:
        return dumps(value)
    return None


def integral(value: Decimal) -> int | None:
    """Return the int that the Decimal equals, or None."""
    if value == value.to_integral_value(context=_WIDE):
        return int(value)
    return None


def plain(value: Value) -> Value:
    """Return a JSON value for output in SQL version 2016-03-23, where a whole Decimal is an Int."""
    kind = type(value)
    if kind is Decimal:
        whole = integral(value)
        return float(value) if whole is None else whole
    if kind is float and value.is_integer() and abs(value) < _EXACT_FLOAT:
        return int(value)
    return value


def plain_2015(value: Value) -> Value:
    """Return a JSON value for output in SQL version 2015-10-08, where 10.0 stays 10.0."""
    if type(value) is Decimal:
        double = float(value)
        return double if math.isfinite(double) else int(value)
    return value


def equal(left: Value, right: Value) -> bool:
    """Return the `=` operator on two defined values: only Int and Decimal mix."""
    kind, other = type(left), type(right)
    if kind is other and kind is not list and kind is not dict:
        return bool(left == right)
    if kind in _NUMBERS and other in _NUMBERS:
        return number(left) == number(right)
    if kind is list and other is list:
        return len(left) == len(right) and all(map(equal, left, right))
    if kind is dict and other is dict:
        return left.keys() == right.keys() and all(equal(item, right[key]) for key, item in left.items())
    return False


_NUMBERS: Final = frozenset({int, float, Decimal})


def dumps(value: Value) -> str:
    """Serialise a plain JSON value, compactly."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def utf8(value: str) -> bytes:
    """UTF-8 bytes; what JSON lets in and UTF-8 does not have (a lone surrogate) becomes `?`."""
    return value.encode("utf-8", "replace")


def _whole_as_int(digits: str) -> Value:
    double = float(digits)
    if math.isinf(double):
        return _beyond_double(digits)
    return int(double) if double.is_integer() and abs(double) < _EXACT_FLOAT else double


def _as_written(digits: str) -> Value:
    double = float(digits)
    return _beyond_double(digits) if math.isinf(double) else double


def _beyond_double(digits: str) -> int:
    value = CONTEXT.create_decimal(digits)
    if not value.is_finite():
        raise ValueError(digits)
    return int(value)


def _no_constant(name: str) -> Value:
    raise ValueError(name)


_DECODERS: Final = {
    True: json.JSONDecoder(parse_float=_whole_as_int, parse_constant=_no_constant),
    False: json.JSONDecoder(parse_float=_as_written, parse_constant=_no_constant),
}


def loads(payload: bytes | str, *, whole_as_int: bool = True) -> Value:
    """Decode JSON; ValueError where it is not JSON. Version 2016-03-23 takes 10.0 as the Int 10."""
    document = payload if isinstance(payload, str) else payload.decode("utf-8")
    try:
        return _DECODERS[whole_as_int].decode(document)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
