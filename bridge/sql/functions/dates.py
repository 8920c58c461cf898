"""parse_time (Joda-Time patterns) and time_to_epoch (JDK 11 DateTimeFormatter patterns), in English."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from bridge.sql.functions.base import Function
from bridge.sql.values import UNDEFINED, Value, floor_int

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MONTHS: Final = [
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
]  # fmt: skip
_DAYS: Final = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
# Zone abbreviations that the JDK reads, with the zone it takes for each.
_ABBREVIATIONS: Final = {
    "EST": "America/New_York", "EDT": "America/New_York", "CST": "America/Chicago", "CDT": "America/Chicago",
    "MST": "America/Denver", "MDT": "America/Denver",
    "PST": "America/Los_Angeles", "PDT": "America/Los_Angeles",
    "CET": "Europe/Paris", "CEST": "Europe/Paris", "EET": "Europe/Bucharest", "EEST": "Europe/Bucharest",
    "WET": "Europe/Lisbon", "WEST": "Europe/Lisbon",
    "BST": "Europe/London", "JST": "Asia/Tokyo", "IST": "Asia/Kolkata",
}  # fmt: skip
_OFFSET: Final = re.compile(r"(?:UTC|GMT|UT)?([+-])(\d{1,2})(?::?(\d{2})(?::?(\d{2}))?)?")
_MAX_PATTERN: Final = 256


@lru_cache(maxsize=256)
def zone(name: str) -> tzinfo | None:
    """Return a time zone by id (`America/Belize`), offset (`+01:00`, `UTC+01:00`) or abbreviation; None where there
    is none.
    """
    if name in {"UTC", "GMT", "UT", "Z"}:
        return UTC
    offset = _OFFSET.fullmatch(name)
    if offset:
        sign, hours, minutes, seconds = offset[1], int(offset[2]), int(offset[3] or 0), int(offset[4] or 0)
        if hours > 18 or minutes > 59 or seconds > 59:
            return None
        span = timedelta(hours=hours, minutes=minutes, seconds=seconds)
        return timezone(span if sign == "+" else -span)
    try:
        return ZoneInfo(_ABBREVIATIONS.get(name, name))
    except (KeyError, ValueError, OSError):
        return None


def _pattern_parts(pattern: str) -> Iterator[tuple[str, str]]:
    """("letter", run of one letter) or ("text", literal) pieces; ValueError where a quote is not closed."""
    place = 0
    while place < len(pattern):
        sign = pattern[place]
        if sign == "'":
            end = place + 1
            literal = ""
            while True:
                close = pattern.find("'", end)
                if close < 0:
                    raise ValueError("a quote is not closed")
                literal += pattern[end:close]
                if pattern[close + 1 : close + 2] != "'":
                    break
                literal += "'"
                end = close + 2
            yield "text", literal or "'"
            place = close + 1
        elif sign.isascii() and sign.isalpha():
            end = place
            while end < len(pattern) and pattern[end] == sign:
                end += 1
            yield "letter", pattern[place:end]
            place = end
        else:
            yield "text", sign
            place += 1


# parse_time: Joda-Time

_Field = Callable[[datetime, int, str], str]


def _short_or_full(names: list[str], place: int, count: int) -> str:
    return names[place] if count > 3 else names[place][:3]


def _offset(when: datetime, separator: str) -> str:
    seconds = int((when.utcoffset() or timedelta()).total_seconds())
    minutes = abs(seconds) // 60
    return f"{'-' if seconds < 0 else '+'}{minutes // 60:02d}{separator}{minutes % 60:02d}"


def _zone_name(when: datetime, count: int, name: str) -> str:
    if count > 3 and name in {"UTC", "GMT", "Z"}:
        return "Coordinated Universal Time"
    shown = when.tzname() or name
    # zones without an abbreviation, and offsets, show as +hh:mm
    return _offset(when, ":") if shown[:1] in "+-" or re.match(r"UTC[+-]", shown) else shown


def _year(value: int, count: int) -> str:
    return f"{value % 100:02d}" if count == 2 else str(value).zfill(count)


_JODA: Final[dict[str, _Field]] = {
    "G": lambda _when, _count, _zone: "AD",
    "C": lambda when, count, _zone: str(when.year // 100).zfill(count),
    "y": lambda when, count, _zone: _year(when.year, count),
    "Y": lambda when, count, _zone: _year(when.year, count),
    "x": lambda when, count, _zone: _year(when.isocalendar().year, count),
    "w": lambda when, count, _zone: str(when.isocalendar().week).zfill(count),
    "e": lambda when, count, _zone: str(when.isoweekday()).zfill(count),
    "E": lambda when, count, _zone: _short_or_full(_DAYS, when.weekday(), count),
    "D": lambda when, count, _zone: str(when.timetuple().tm_yday).zfill(count),
    "M": lambda when, count, _zone: (
        str(when.month).zfill(count) if count < 3 else _short_or_full(_MONTHS, when.month - 1, count)
    ),
    "d": lambda when, count, _zone: str(when.day).zfill(count),
    "a": lambda when, _count, _zone: "AM" if when.hour < 12 else "PM",
    "K": lambda when, count, _zone: str(when.hour % 12).zfill(count),
    "h": lambda when, count, _zone: str(when.hour % 12 or 12).zfill(count),
    "H": lambda when, count, _zone: str(when.hour).zfill(count),
    "k": lambda when, count, _zone: str(when.hour or 24).zfill(count),
    "m": lambda when, count, _zone: str(when.minute).zfill(count),
    "s": lambda when, count, _zone: str(when.second).zfill(count),
    "S": lambda when, count, _zone: f"{when.microsecond // 1000:03d}".ljust(count, "0")[:count],
    "z": _zone_name,
    "Z": lambda when, count, zone: zone if count > 2 else _offset(when, ":" if count == 2 else ""),
}


@lru_cache(maxsize=256)
def _joda(pattern: str) -> tuple[tuple[_Field | None, int, str], ...] | None:
    """Return the compiled pattern: (field, count, "") or (None, 0, literal); None where Joda would refuse it."""
    parts: list[tuple[_Field | None, int, str]] = []
    if not pattern or len(pattern) > _MAX_PATTERN:
        return None
    try:
        for kind, piece in _pattern_parts(pattern):
            parts.append((None, 0, piece) if kind == "text" else (_JODA[piece[0]], len(piece), ""))
    except (KeyError, ValueError):
        return None
    return tuple(parts)


def _parse_time(pattern: Value, milliseconds: Value, zone_name: Value = "UTC") -> Value:
    epoch_ms = floor_int(milliseconds)
    if type(pattern) is not str or type(zone_name) is not str or epoch_ms is None:
        return UNDEFINED
    parts, place = _joda(pattern), zone(zone_name)
    if parts is None or place is None:
        return UNDEFINED
    try:
        when = (_EPOCH + timedelta(milliseconds=epoch_ms)).astimezone(place)
    except (OverflowError, ValueError):
        return UNDEFINED
    return "".join(
        literal if field is None else field(when, count, zone_name) for field, count, literal in parts
    )


# time_to_epoch: java.time.format.DateTimeFormatter

_NUMBERS: Final = {"u", "y", "M", "L", "d", "D", "H", "k", "K", "h", "m", "s", "n", "A", "N"}


def _one_of(names: Sequence[str]) -> str:
    return "|".join(sorted(map(re.escape, names), key=len, reverse=True))


def _offset_expression(letter: str, count: int) -> str:
    if letter == "Z":
        return {4: r"GMT(?:[+-]\d{2}:\d{2})?", 5: r"Z|[+-]\d{2}:\d{2}(?::\d{2})?"}.get(count, r"[+-]\d{4}")
    if letter == "O":
        return r"GMT(?:[+-]\d{1,2}(?::\d{2})?)?"
    width = {
        1: r"[+-]\d{2}(?:\d{2})?",
        2: r"[+-]\d{4}",
        3: r"[+-]\d{2}:\d{2}",
        4: r"[+-]\d{4}(?:\d{2})?",
    }.get(count, r"[+-]\d{2}:\d{2}(?::\d{2})?")
    return f"Z|{width}" if letter == "X" else width


def _expression(letter: str, count: int) -> str:
    """Return the regular expression that reads one field; KeyError for a letter that is not supported."""
    if letter in {"u", "y"}:
        return r"\d{2}" if count == 2 else rf"\d{{{min(count, 9)},9}}"
    if letter in {"M", "L"} and count > 2:
        return _one_of(_MONTHS if count > 3 else [month[:3] for month in _MONTHS])
    if letter == "S":
        return rf"\d{{{min(count, 9)}}}"
    if letter in _NUMBERS:
        widest = 19 if letter in {"n", "A", "N"} else 3 if letter == "D" else 2
        return rf"\d{{{count}}}" if 1 < count <= widest else rf"\d{{1,{widest}}}"
    if letter in {"X", "x", "Z", "O"}:
        return _offset_expression(letter, count)
    return {
        "E": _one_of(_DAYS if count > 3 else [day[:3] for day in _DAYS]),
        "a": "AM|PM",
        "G": "AD",
        "V": r"[A-Za-z][A-Za-z0-9_/+:\-]*|[+-]\d{2}(?::?\d{2})?",
        "z": r"[A-Za-z][A-Za-z0-9_/+:\-]*|[+-]\d{2}(?::?\d{2})?",
    }[letter]


@lru_cache(maxsize=256)
def _jdk(pattern: str) -> tuple[re.Pattern[str], tuple[tuple[str, int], ...]] | None:
    """Return the compiled pattern and the (letter, count) of each group; None where it cannot be read."""
    expression, fields = "", []
    if not pattern or len(pattern) > _MAX_PATTERN:
        return None
    try:
        for kind, piece in _pattern_parts(pattern):
            if kind == "text":
                expression += {"[": "(?:", "]": ")?"}.get(piece, re.escape(piece))
            else:
                expression += f"({_expression(piece[0], len(piece))})"
                fields.append((piece[0], len(piece)))
        return re.compile(expression, re.ASCII), tuple(fields)
    except (KeyError, ValueError, re.error):
        return None


def _field(letter: str, count: int, found: str) -> int:
    if letter in {"u", "y"}:
        return 2000 + int(found) if count == 2 else int(found)
    if letter in {"M", "L"} and count > 2:
        return next(place for place, month in enumerate(_MONTHS, 1) if month.startswith(found))
    if letter == "S":
        return int(found.ljust(9, "0"))
    if letter == "a":
        return int(found == "PM")
    return int(found)


def _hour(fields: dict[str, int]) -> int:
    """Return the hour of day; KeyError for a 12-hour clock without AM or PM."""
    if "H" in fields:
        return fields["H"]
    if "k" in fields:
        return fields["k"] % 24 if fields["k"] <= 24 else 99
    for letter, highest in (("h", 12), ("K", 11)):
        if letter in fields:
            return fields[letter] % 12 + 12 * fields["a"] if fields[letter] <= highest else 99
    return 0


def _instant(fields: dict[str, int], place: tzinfo) -> int:
    """Epoch milliseconds; KeyError, ValueError or OverflowError where the fields make no instant."""
    year = fields["u"] if "u" in fields else fields["y"]
    if "D" in fields:
        day = datetime(year, 1, 1, tzinfo=place) + timedelta(days=fields["D"] - 1)
        if day.year != year:
            raise ValueError("day of year")
    else:
        month = fields["M"] if "M" in fields else fields["L"]
        if fields["d"] > 31:
            raise ValueError("day of month")
        # as Java's SMART resolver: 31 February is the last of February
        day = datetime(year, month, min(fields["d"], calendar.monthrange(year, month)[1]), tzinfo=place)
    if "A" in fields or "N" in fields:
        nanos = fields["N"] if "N" in fields else fields["A"] * 1_000_000
        if nanos >= 86_400_000_000_000:
            raise ValueError("time of day")
        seconds, nanos = divmod(nanos, 1_000_000_000)
        when = day.replace(hour=seconds // 3600, minute=seconds // 60 % 60, second=seconds % 60)
    else:
        nanos = fields.get("S", fields.get("n", 0))
        when = day.replace(hour=_hour(fields), minute=fields.get("m", 0), second=fields.get("s", 0))
    return (when.astimezone(UTC) - _EPOCH) // timedelta(milliseconds=1) + nanos // 1_000_000


def _time_to_epoch(timestamp: Value, pattern: Value) -> Value:
    if type(timestamp) is not str or type(pattern) is not str:
        return UNDEFINED
    known = _jdk(pattern)
    found = known[0].fullmatch(timestamp) if known else None
    if known is None or found is None:
        return UNDEFINED
    fields: dict[str, int] = {}
    place: tzinfo | None = UTC
    for (letter, count), part in zip(known[1], found.groups(), strict=True):
        if part is None:
            continue
        if letter in {"X", "x", "Z", "O", "V", "z"}:
            place = zone(part)
        elif letter not in {"E", "G"}:
            fields[letter] = _field(letter, count, part)
    try:
        return UNDEFINED if place is None else _instant(fields, place)
    except (KeyError, ValueError, OverflowError):
        return UNDEFINED


def _joda_literal(arguments: Sequence[Value]) -> str | None:
    pattern = arguments[0]
    return (
        f"{pattern!r} is not a Joda-Time pattern" if type(pattern) is str and _joda(pattern) is None else None
    )


def _jdk_literal(arguments: Sequence[Value]) -> str | None:
    pattern = arguments[1]
    if type(pattern) is str and _jdk(pattern) is None:
        return f"{pattern!r} is not a DateTimeFormatter pattern that this engine can read"
    return None


FUNCTIONS = {
    "parse_time": Function(_parse_time, 2, 3, since_2016=True, check=_joda_literal),
    "time_to_epoch": Function(_time_to_epoch, 2, 2, since_2016=True, check=_jdk_literal),
}
