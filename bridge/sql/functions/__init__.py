"""The functions of AWS IoT SQL, by lower-case name, and those that ask other services."""

from __future__ import annotations

from bridge.sql.functions import collections, dates, message, numbers, strings
from bridge.sql.functions.base import COMPUTED, Function
from bridge.sql.outside import CALLS, NOWHERE, Outside

__all__ = ["CALLS", "COMPUTED", "FUNCTIONS", "NOWHERE", "Function", "Outside"]

FUNCTIONS: dict[str, Function] = {
    **collections.FUNCTIONS,
    **dates.FUNCTIONS,
    **message.FUNCTIONS,
    **numbers.FUNCTIONS,
    **strings.FUNCTIONS,
}
