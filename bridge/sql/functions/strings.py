"""String, hashing and encoding functions: developerguide/iot-sql-functions.md."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from functools import partial

from bridge.sql.functions import patterns
from bridge.sql.functions.base import Function
from bridge.sql.functions.md2 import md2
from bridge.sql.values import UNDEFINED, Value, floor_int, loads, text, utf8


def _on_text(compute: Callable[..., Value]) -> Callable[..., Value]:
    """All arguments converted to String; Undefined where one cannot be."""

    def call(*arguments: Value) -> Value:
        texts = []
        for argument in arguments:
            known = text(argument)
            if known is None:
                return UNDEFINED
            texts.append(known)
        return compute(*texts)

    return call


def _character(value: Value) -> Value:
    code = floor_int(value)
    return chr(code) if code is not None and 0 <= code < 128 else UNDEFINED


def _pad(value: Value, width: Value, *, left: bool) -> Value:
    known, count = text(value), floor_int(width)
    if known is None or count is None:
        return UNDEFINED
    spaces = " " * max(0, min(1000, count))
    return spaces + known if left else known + spaces


def _substring(value: Value, start: Value, *end: Value) -> Value:
    known, first = text(value), floor_int(start)
    last = floor_int(end[0]) if end else len(known or "")
    if known is None or first is None or last is None:
        return UNDEFINED
    return known[max(0, first) : max(0, last)]


def _matches(value: str, pattern: str) -> Value:
    expression = patterns.compiled(pattern)
    return UNDEFINED if expression is None else expression.search(value) is not None


def _first_match(value: str, pattern: str) -> Value:
    expression = patterns.compiled(pattern)
    found = expression.search(value) if expression else None
    return found[0] if found else UNDEFINED


def _replace_matches(value: str, pattern: str, by: str) -> Value:
    expression = patterns.compiled(pattern)
    if expression is None:
        return UNDEFINED
    parts = patterns.replacement(by, expression.groups, frozenset(expression.groupindex))
    return UNDEFINED if parts is None else expression.sub(partial(patterns.expand, parts), value)


def _regular(arguments: Sequence[Value]) -> str | None:
    pattern = arguments[1]
    if type(pattern) is str and patterns.compiled(pattern) is None:
        return f"{pattern!r} is not a regular expression that this engine can run"
    return None


def _hash(name: str) -> Callable[[str], str]:
    return lambda value: hashlib.new(name, utf8(value), usedforsecurity=False).hexdigest()


def encode_bytes(data: bytes) -> str:
    """Base64 of raw bytes."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def _encode(value: Value, _scheme: Value) -> Value:
    if type(value) is bytes:
        return encode_bytes(value)
    known = text(value)
    return UNDEFINED if known is None else encode_bytes(utf8(known))


def _decode(value: Value, _scheme: Value) -> Value:
    """Return the JSON that the text holds, or the text; Null where it is not base64 of UTF-8."""
    if type(value) is not str:
        return UNDEFINED
    try:
        decoded = base64.b64decode(
            utf8(value.rstrip("=")) + b"=" * (-len(value.rstrip("=")) % 4), validate=True
        ).decode()
    except ValueError:
        return None
    try:
        return loads(decoded)
    except ValueError:
        return decoded


def _scheme(arguments: Sequence[Value]) -> str | None:
    scheme = arguments[1]
    if scheme == "proto":
        return "decoding protobuf needs AWS: it is not supported here"
    if scheme != "base64":
        return "the scheme must be the literal 'base64'"
    if len(arguments) > 2:
        return "with 'base64' it takes 2 arguments"
    return None


_HASHES = {
    name: Function(_on_text(_hash(name)), 1, 1)
    for name in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")
}

FUNCTIONS = {
    "chr": Function(_character, 1, 1),
    "decode": Function(_decode, 2, 6, since_2016=True, check=_scheme),
    "encode": Function(_encode, 2, 2, since_2016=True, check=_scheme),
    "endswith": Function(_on_text(str.endswith), 2, 2),
    "indexof": Function(_on_text(str.find), 2, 2, since_2016=True),
    "length": Function(_on_text(len), 1, 1, since_2016=True),
    "lower": Function(_on_text(str.lower), 1, 1),
    "lpad": Function(partial(_pad, left=True), 2, 2),
    "ltrim": Function(_on_text(lambda value: value.lstrip(" \t")), 1, 1),
    "md2": Function(_on_text(lambda value: md2(utf8(value))), 1, 1),
    "numbytes": Function(_on_text(lambda value: len(utf8(value))), 1, 1, since_2016=True),
    "regexp_matches": Function(_on_text(_matches), 2, 2, check=_regular),
    "regexp_replace": Function(_on_text(_replace_matches), 3, 3, check=_regular),
    "regexp_substr": Function(_on_text(_first_match), 2, 2, check=_regular),
    "replace": Function(_on_text(str.replace), 3, 3),
    "rpad": Function(partial(_pad, left=False), 2, 2),
    "rtrim": Function(_on_text(lambda value: value.rstrip(" \t")), 1, 1),
    "startswith": Function(_on_text(str.startswith), 2, 2),
    "substring": Function(_substring, 2, 3),
    "trim": Function(_on_text(str.strip), 1, 1),
    "upper": Function(_on_text(str.upper), 1, 1),
    **_HASHES,
}
