"""Condition operators of IAM's policy language, as AWS IoT evaluates them.

Source: IAM user guide, "Condition operators" and "Multivalued context keys"; developerguide/connect-policy.md and
certificate-policy-examples.md of awsdocs/aws-iot-docs. A condition holds, does not hold, or cannot be said (None): then
an Allow does not apply, and a Deny does.
"""

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from bridge.policies.connection import Values, canonical
from bridge.policies.patterns import Lookup, Text, Unfilled, arn_matches, matches, plain

# Says whether a value of the request fits a text of the policy; ValueError: the text is none for this operator.
_Fits = Callable[[str, str], bool]


def _number(text: str) -> float:
    return float(text)


def _moment(text: str) -> datetime:
    try:
        return datetime.fromtimestamp(float(text), UTC)
    except ValueError:
        found = datetime.fromisoformat(text)
        return found if found.tzinfo else found.replace(tzinfo=UTC)


def _bool(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError(text)
    return text.lower() == "true"


def _in_network(given: str, wanted: str) -> bool:
    network = ipaddress.ip_network(wanted, strict=False)
    address = ipaddress.ip_address(given)
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address) in network


def _arn(given: str, wanted: str) -> bool:
    return wanted.count(":") >= 5 and given.count(":") >= 5 and arn_matches(wanted, given)


def _compared(convert: Callable[[str], Any], compare: Callable[[Any, Any], bool]) -> _Fits:
    return lambda given, wanted: compare(convert(given), convert(wanted))


_ORDERS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "Equals": lambda given, wanted: given == wanted,
    "LessThan": lambda given, wanted: given < wanted,
    "LessThanEquals": lambda given, wanted: given <= wanted,
    "GreaterThan": lambda given, wanted: given > wanted,
    "GreaterThanEquals": lambda given, wanted: given >= wanted,
}
_POSITIVE: Final[dict[str, _Fits]] = {
    "StringEquals": lambda given, wanted: given == plain(wanted),
    "StringEqualsIgnoreCase": lambda given, wanted: given.casefold() == plain(wanted).casefold(),
    "StringLike": lambda given, wanted: matches(wanted, given),
    "ArnEquals": _arn,
    "ArnLike": _arn,
    "IpAddress": _in_network,
    "Bool": _compared(_bool, _ORDERS["Equals"]),
    **{f"Numeric{name}": _compared(_number, order) for name, order in _ORDERS.items()},
    **{f"Date{name}": _compared(_moment, order) for name, order in _ORDERS.items()},
}
_NEGATED: Final = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NotIpAddress": "IpAddress",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
}
# Tried on the texts of a policy when it is read, so that one that is none (a date, a network) is found then.
_EXAMPLES: Final = {"IpAddress": "192.0.2.1", "Bool": "true"}
_QUANTIFIERS: Final = ("ForAllValues", "ForAnyValue")


@dataclass(frozen=True)
class Condition:
    """One operator on one key."""

    key: str
    fits: _Fits | None
    negated: bool
    quantifier: str
    if_exists: bool
    wanted: tuple[Text, ...]
    denies: bool

    def holds(self, lookup: Lookup) -> bool | None:
        """Whether it holds for a request; None where that cannot be said here."""
        given = lookup(self.key)
        if given is None:
            return None
        if self.fits is None:  # Null
            return any((plain(text.written).lower() == "true") is not bool(given) for text in self.wanted)
        if not given:
            return (
                self.if_exists or self.quantifier == "ForAllValues" or (self.negated and not self.quantifier)
            )
        wanted = [text.fill(lookup) for text in self.wanted]
        if any(isinstance(text, Unfilled) and not text.known for text in wanted):
            return None
        return self._compare(given, [text for text in wanted if isinstance(text, str)])

    def _compare(self, given: Values, texts: list[str]) -> bool:
        results = [any(self._suits(value, text) for text in texts) is not self.negated for value in given]
        if self.quantifier == "ForAnyValue":
            return any(results)
        if self.quantifier == "ForAllValues" or len(results) == 1:
            return all(results)
        # IAM leaves open what an operator for one value makes of several: an Allow needs all of them, a Deny one.
        return any(results) if self.denies else all(results)

    def _suits(self, value: str, text: str) -> bool:
        assert self.fits is not None  # noqa: S101  # asked after Null
        try:
            return self.fits(value, text)
        except (ValueError, OverflowError):
            return False


def parse_condition(
    operator: str, key: str, values: Sequence[Any], *, denies: bool, may_have_variables: bool
) -> tuple[Condition | None, list[str]]:
    """Read one operator on one key; what is not understood is said instead."""
    quantifier, _, name = operator.rpartition(":")
    bare = name.removesuffix("IfExists")
    negated = bare in _NEGATED
    fits = _POSITIVE.get(_NEGATED.get(bare, bare))
    null = bare == "Null" and not quantifier and bare == name
    if (fits is None and not null) or (quantifier and quantifier not in _QUANTIFIERS):
        return None, [f"the condition operator {operator} is not known"]
    known = canonical(key)
    if known is None:
        return None, [f"the condition key {key} is not known"]
    if any(isinstance(value, dict | list) or value is None for value in values):
        return None, [f"{operator} on {key} compares with what is no text, number or boolean"]
    texts = tuple(
        Text.of(
            str(value).lower() if isinstance(value, bool) else str(value),
            may_have_variables=may_have_variables,
        )
        for value in values
    )
    faults = [fault for text in texts for fault in text.faults]
    if null:
        faults += [
            f"Null takes true or false, not {text.written}" for text in texts if not _is_bool(text.written)
        ]
    elif fits is not None:
        faults += [
            f"{operator} on {key} cannot compare with {text.written}"
            for text in texts
            if text.constant is not None and not _usable(fits, _NEGATED.get(bare, bare), text.constant)
        ]
    if faults:
        return None, faults
    return Condition(known, fits, negated, quantifier, name != bare, texts, denies), []


def _usable(fits: _Fits, name: str, text: str) -> bool:
    try:
        fits(_EXAMPLES.get(name, "0"), text)
    except (ValueError, OverflowError):
        return False
    return True


def _is_bool(text: str) -> bool:
    return text.lower() in {"true", "false"}
