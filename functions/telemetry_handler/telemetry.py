"""Telemetry: what a station may say, and what is refused with which reason.

JSON is msgspec's work. The checks are a table and not a msgspec type, because each refusal needs its own code
and field, and msgspec gives those only as an English sentence.
"""

import hashlib
import json
import math
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from telemetry_handler.envelope import Message
from telemetry_handler.refusal import Refused

MAX_BYTES = 128 * 1024  # AWS IoT's limit of an MQTT payload
# A clock that is ahead keeps its station at that time for as long: nothing of a better clock is newer.
MAX_AHEAD = timedelta(minutes=5)
MAX_DEPTH = 64  # far more than telemetry needs; far less than what breaks a reader of the archive
MAX_EXACT = 2**53 - 1  # the greatest integer that every reader of JSON keeps
MAX_SLOTS = 10_000

# What a thing's name may be: https://docs.aws.amazon.com/iot/latest/apireference/API_CreateThing.html
STATION_ID = re.compile(r"[A-Za-z0-9:_-]{1,128}", re.ASCII)
# What stands before a station's name in its topic: Terraform's topic_root.
TOPIC_ROOT = os.environ.get("TOPIC_ROOT", "ev-swap/stations")
# AWS hands a Basic Ingest message on under its topic without the prefix; other brokers may not.
_TOPIC = re.compile(rf"(?:\$aws/rules/[^/]+/)?{re.escape(TOPIC_ROOT)}/([^/]+)/telemetry")

_PLAIN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z", re.ASCII)
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)$", re.ASCII)
# What msgspec, which wants RFC 3339, does not read. Fractions of more than microseconds are cut off.
_ISO_8601 = re.compile(
    r"(?:\d{4}-\d\d-\d\d|\d{8})T(?:\d\d(?::\d\d(?::\d\d(?:[.,]\d+)?)?)?|\d{4}(?:\d\d(?:[.,]\d+)?)?)"
    r"(?:Z|[+-]\d\d(?::?\d\d)?)",
    re.ASCII,
)

_REQUIRED = ("station_id", "battery_available", "timestamp")
# name, whether a fraction is allowed, least, greatest. Sanity bounds: what lies beyond is a broken sensor.
_NUMBERS: tuple[tuple[str, bool, int, int], ...] = (
    ("battery_available", False, 0, MAX_SLOTS),
    ("sequence", False, 0, MAX_EXACT),
    ("slots", False, 1, MAX_SLOTS),
    ("charging", False, 0, MAX_SLOTS),
    ("swaps_total", False, 0, MAX_EXACT),
    ("queue_length", False, 0, 1_000_000),
    ("power_kw", True, -1_000_000, 1_000_000),  # negative: a station may feed the grid
    ("temperature_c", True, -100, 200),
    ("grid_kw", True, 0, 1_000_000),
    ("latitude", True, -90, 90),
    ("longitude", True, -180, 180),
)
_TEXTS: tuple[tuple[str, int], ...] = (("message_id", 256), ("status", 64), ("firmware", 128))
_CHECKED = (*(number[0] for number in _NUMBERS), *(text[0] for text in _TEXTS))
_FIELDS = frozenset({*_REQUIRED, *_CHECKED})
# What every message has, or is given. The stations table shows the other fields where the newest message has them.
_ALWAYS = frozenset({*_REQUIRED, "sequence", "message_id"})
OPTIONAL_FIELDS = tuple(name for name in _CHECKED if name not in _ALWAYS)

_JSON_TYPES = {
    bool: "a boolean",
    int: "an integer",
    float: "a fraction",
    str: "a string",
    list: "an array",
    dict: "an object",
    type(None): "null",
}
_ABSENT = object()
_decoder = msgspec.json.Decoder()


class Telemetry(msgspec.Struct, frozen=True, gc=False):
    """A message that passed every check.

    ``timestamp`` is normalised to ``YYYY-MM-DDTHH:MM:SS.ffffffZ``, so it sorts as text; ``sequence`` is 0 and
    ``message_id`` derived when the station sent none; ``document`` is all that it sent, unknown fields too.
    ``through_broker_at``: epoch ms at which the broker had it, None when it came otherwise.
    """

    station_id: str
    timestamp: str
    sequence: int
    message_id: str
    document: dict[str, Any]
    through_broker_at: int | None = None

    @property
    def order(self) -> tuple[str, int, str]:
        """What makes a station's message newer than another. The id settles a tie, everywhere alike."""
        return self.timestamp, self.sequence, self.message_id


def validate(message: Message, now: datetime) -> Telemetry:
    """Check ``message`` against the contract. A timestamp may be as old as it likes: late data is good data.

    Raises:
        Refused: with the first thing that is wrong.
    """
    document = _decode(message.payload)
    for name in _REQUIRED:
        if name not in document:
            raise Refused("missing_field", f"{name} is required", name)
    station_id = _station_id(document["station_id"], message.topic)
    _check_numbers(document)
    slots = document.get("slots", MAX_SLOTS)
    for name in ("battery_available", "charging"):
        if document.get(name, 0) > slots:
            raise Refused("out_of_range", f"{name} is greater than slots", name)
    for name, longest in _TEXTS:
        value = document.get(name, _ABSENT)
        if value is _ABSENT:
            continue
        if type(value) is not str:
            raise _wrong_type(name, "a string", value)
        if not 1 <= len(value) <= longest:
            raise Refused("out_of_range", f"{name} must have 1 to {longest} characters", name)
    timestamp = _timestamp(document["timestamp"], now)
    if not _RFC_3339.match(document["timestamp"]):
        # What reads the archive, Athena and DuckDB, knows RFC 3339.
        document["timestamp"] = timestamp
    message_id = document.get("message_id") or derived_id(message)
    seen_at = None if message.client_id is None else message.received_at
    return Telemetry(station_id, timestamp, document.get("sequence", 0), message_id, document, seen_at)


def _check_numbers(document: dict[str, Any]) -> None:
    """Check each number's type and bounds; write 3.0 as 3 where an integer is due."""
    for name, fraction, least, greatest in _NUMBERS:
        value = document.get(name, _ABSENT)
        if value is _ABSENT:
            continue
        kind = type(value)  # not isinstance: a bool is an int to that
        if kind is float and not fraction and value.is_integer():
            # JSON knows one kind of number: a station that writes 3.0 means 3.
            kind, value = int, int(value)
            document[name] = value
        if kind is not int and not (fraction and kind is float):
            raise _wrong_type(name, "a number" if fraction else "an integer", value)
        if not least <= value <= greatest:
            raise Refused("out_of_range", f"{name} must be between {least} and {greatest}", name)


def derived_id(message: Message) -> str:
    """Derive the id of a message whose station gave it none: equal bytes on an equal topic are the same message."""
    return hashlib.sha256(f"{message.topic or ''}\0".encode() + message.payload).hexdigest()


def _station_id(value: Any, topic: str | None) -> str:
    if type(value) is not str:
        raise _wrong_type("station_id", "a string", value)
    if not STATION_ID.fullmatch(value):
        detail = "station_id must be 1 to 128 letters, digits, colons, underscores or hyphens"
        raise Refused("bad_station_id", detail, "station_id")
    if topic is not None and topic != f"{TOPIC_ROOT}/{value}/telemetry":
        named = _TOPIC.fullmatch(topic)
        if named is None:
            raise Refused("bad_envelope", f"the topic is not {TOPIC_ROOT}/<station_id>/telemetry", "topic")
        if named[1] != value:
            raise Refused("station_mismatch", "station_id is not the topic's", "station_id")
    return value


def _timestamp(value: Any, now: datetime) -> str:
    if type(value) is not str:
        raise _wrong_type("timestamp", "a string", value)
    try:
        moment = _moment(value)
        if moment.tzinfo is None:
            raise Refused("bad_timestamp", "timestamp has no time zone: end it with Z", "timestamp")
        if moment.tzinfo is not UTC:
            moment = moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        detail = "timestamp is not ISO 8601, as 2024-01-15T14:00:00.000Z"
        raise Refused("bad_timestamp", detail, "timestamp") from error
    if moment - now > MAX_AHEAD:
        raise Refused("timestamp_in_future", "timestamp is more than five minutes ahead", "timestamp")
    # What nearly all stations send only needs its fraction filled up; to format it anew takes 2 µs.
    fraction = value[19:-1]
    if _PLAIN.fullmatch(value):
        return f"{value[:19]}{fraction or '.':0<7}Z"
    return as_text(moment)


def _moment(value: str) -> datetime:
    """Read ISO 8601: the form of RFC 3339 by msgspec, and the other forms that the contract allows by Python.

    Raises:
        ValueError: it is neither.
    """
    try:
        return msgspec.convert(value, datetime)
    except msgspec.ValidationError:  # it is a ValueError
        # Basic form, hours as zone, no seconds, a comma: Python takes more than ISO 8601 knows as separator.
        if not _ISO_8601.fullmatch(value):
            raise
        return datetime.fromisoformat(value)


def as_text(moment: datetime) -> str:
    """Write ``moment`` (aware, UTC) as ``YYYY-MM-DDTHH:MM:SS.ffffffZ``."""
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _wrong_type(name: str, wanted: str, value: Any) -> Refused:
    return Refused("wrong_type", f"{name} must be {wanted}, not {_JSON_TYPES[type(value)]}", name)


def _decode(payload: bytes) -> dict[str, Any]:
    if len(payload) > MAX_BYTES:
        raise Refused("too_large", f"the payload has more than {MAX_BYTES} bytes")
    try:
        document: Any = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _why_not_json(payload) from error
    # Counting bytes is nearly free and mostly enough: brackets in strings only cause the exact count.
    if payload.count(b"{") + payload.count(b"[") > MAX_DEPTH and _depth(document) > MAX_DEPTH:
        raise _too_deep()
    if type(document) is not dict:
        raise Refused("not_object", f"the payload must be a JSON object, not {_JSON_TYPES[type(document)]}")
    return document


def _why_not_json(payload: bytes) -> Refused:  # noqa: PLR0911 - one return a reason
    """Say why msgspec could not read it: Python's own reader takes NaN and 1e999, so it can tell those."""
    constants: list[str] = []

    def constant(token: str) -> float:
        constants.append(token)
        return float(token)

    try:
        document = json.loads(payload.decode(), parse_constant=constant)
    except UnicodeDecodeError:
        return Refused("not_json", "the payload is not UTF-8")
    except json.JSONDecodeError as error:
        return Refused("not_json", f"the payload is not JSON (byte {error.pos})")
    except ValueError:  # Python refuses integers of more than 4,300 digits
        return Refused("out_of_range", "the payload has an integer of thousands of digits")
    except RecursionError:
        return _too_deep()
    for name, value in document.items() if isinstance(document, dict) else [(None, document)]:
        if any(isinstance(leaf, float) and not math.isfinite(leaf) for leaf, _ in _leaves(value)):
            field = name if name in _FIELDS else None
            return Refused("not_finite", "the payload has NaN, Infinity or a number beyond a double", field)
    if constants:  # one that a later duplicate of its key hid
        return Refused("not_finite", "the payload has NaN or Infinity")
    return Refused("not_json", "the payload is not JSON")


def _too_deep() -> Refused:
    return Refused("not_json", f"the payload is nested more than {MAX_DEPTH} levels deep")


def _depth(document: Any) -> int:
    return max((depth for _, depth in _leaves(document)), default=1)


def _leaves(document: Any) -> Iterator[tuple[Any, int]]:
    """Yield every value without children, with the number of arrays and objects around it (itself, when empty)."""
    waiting: list[tuple[Any, int]] = [(document, 0)]
    while waiting:
        value, depth = waiting.pop()
        children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        if children is None:
            yield value, depth
        elif children:
            waiting.extend((child, depth + 1) for child in children)
        else:
            yield value, depth + 1
