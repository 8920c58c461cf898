"""Policy documents, read once: what is not understood is found then, and said."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import structlog

from bridge.policies.conditions import Condition, parse_condition
from bridge.policies.connection import asks_for_thing, asks_for_time
from bridge.policies.patterns import Lookup, Text, Unfilled, arn_matches, matches

log = structlog.get_logger()

_ELEMENTS: Final = frozenset({"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"})


@dataclass(frozen=True)
class Statement:
    """One statement of a policy.

    ``faults`` say what is not understood of it. With a fault an Allow never applies, and a Deny applies wherever the
    rest of it does.
    """

    sid: str
    denies: bool
    actions: tuple[str, ...]
    not_actions: bool
    resources: tuple[Text, ...]
    not_resources: bool
    conditions: tuple[Condition, ...]
    faults: tuple[str, ...]

    def applies(self, action: str, arn: str, lookup: Lookup) -> bool:
        """Whether it says something of ``action`` (lower case) on the resource of this ARN."""
        return (
            self.names_action(action)
            and self._names_resource(arn, lookup)
            and self.conditions_hold(lookup)
            and (self.denies or not self.faults)
        )

    def names_action(self, action: str) -> bool:
        """Whether it is about ``action`` (lower case)."""
        return any(matches(pattern, action) for pattern in self.actions) is not self.not_actions

    def _names_resource(self, arn: str, lookup: Lookup) -> bool:
        named = False
        for text in self.resources:
            pattern = text.fill(lookup)
            if isinstance(pattern, Unfilled):
                # Without a value the text stays as it is written, and is no topic's. What cannot be known closes.
                if not pattern.known and self.denies:
                    return True
                if not pattern.known or (self.not_resources and not self.denies):
                    return False
                continue
            named = named or pattern == "*" or arn_matches(pattern, arn)
        return named is not self.not_resources

    def conditions_hold(self, lookup: Lookup) -> bool:
        """Whether all conditions hold; one that cannot be said keeps an Allow from applying, and no Deny."""
        for condition in self.conditions:
            holds = condition.holds(lookup)
            if not (self.denies if holds is None else holds):
                return False
        return True

    @cached_property
    def keys(self) -> frozenset[str]:
        """All condition keys and variables that it asks for."""
        texts = [*self.resources, *(text for condition in self.conditions for text in condition.wanted)]
        return frozenset(condition.key for condition in self.conditions).union(*(text.keys for text in texts))


@dataclass(frozen=True)
class Policy:
    """A policy document as it is evaluated."""

    name: str
    statements: tuple[Statement, ...]

    @classmethod
    def of(cls, document: Mapping[str, Any] | str, name: str = "") -> "Policy":
        """Read a document; what is not understood is logged with policy, statement and word.

        A document that is none at all denies everything.
        """
        try:
            parsed = json.loads(document) if isinstance(document, str) else document
            statements = tuple(_statements(parsed))
        except (ValueError, AttributeError, TypeError) as error:
            fault = f"the document cannot be read: {error}"
            statements = (_faulty(fault),)
        for place, statement in enumerate(statements):
            for fault in statement.faults:
                log.error(
                    "policy_not_understood",
                    policy=name,
                    statement=statement.sid or place,
                    reason=fault,
                    effect="it denies all the same" if statement.denies else "it allows nothing",
                )
        return cls(name, statements)

    @property
    def faults(self) -> list[str]:
        """What is not understood of it."""
        return [fault for statement in self.statements for fault in statement.faults]

    @cached_property
    def needs_things(self) -> bool:
        """Whether it asks for a thing's type or attributes."""
        return any(asks_for_thing(key) for statement in self.statements for key in statement.keys)

    @cached_property
    def needs_time(self) -> bool:
        """Whether its answer may change while a connection lasts."""
        return any(asks_for_time(key) for statement in self.statements for key in statement.keys)


def listed(value: Any) -> Sequence[Any]:
    """Return the list, or a list of the one value."""
    return value if isinstance(value, list) else [value]


def _statements(document: Mapping[str, Any]) -> Iterator[Statement]:
    may_have_variables = document.get("Version") == "2012-10-17"
    for written in listed(document.get("Statement", [])):
        yield _statement(written, may_have_variables=may_have_variables)


def _statement(written: Mapping[str, Any], *, may_have_variables: bool) -> Statement:
    faults = [f"the element {name} is not known" for name in written if name not in _ELEMENTS]
    effect = written.get("Effect")
    if effect not in ("Allow", "Deny"):
        faults.append(f"Effect is Allow or Deny, not {effect}")
    denies = effect != "Allow"
    actions, not_actions = _element(written, "Action", faults)
    resources, not_resources = _element(written, "Resource", faults)
    texts = tuple(Text.of(text, may_have_variables=may_have_variables) for text in resources)
    for text in texts:
        faults += text.faults
        if text.written != "*" and not text.written.startswith("arn:") and not text.written.startswith("*"):
            faults.append(f"the resource {text.written} is no ARN")
    if not_resources and any(text.faults for text in texts):
        texts = ()  # a Deny of "all but this" where nobody knows what this is: all
    conditions: list[Condition] = []
    for operator, keys in (written.get("Condition") or {}).items():
        for key, values in keys.items():
            condition, wrong = parse_condition(
                operator, key, listed(values), denies=denies, may_have_variables=may_have_variables
            )
            faults += wrong
            if condition:
                conditions.append(condition)
    if any("is no ARN" in fault for fault in faults):
        texts = tuple(Text.of("*", may_have_variables=False) for _ in texts[:1])
    lowered = tuple(action.lower() for action in actions)
    return Statement(
        str(written.get("Sid", "")),
        denies,
        lowered,
        not_actions,
        texts,
        not_resources,
        tuple(conditions),
        tuple(faults),
    )


def _element(written: Mapping[str, Any], name: str, faults: list[str]) -> tuple[list[str], bool]:
    """Return the texts of ``Action`` or ``NotAction`` (``Resource``, ``NotResource``), and whether it is the latter."""
    negated = f"Not{name}" in written
    if negated and name in written:
        faults.append(f"{name} and Not{name} stand in one statement")
        return ["*"], False
    if not negated and name not in written:
        faults.append(f"the statement has no {name}")
        return ["*"], False
    found = listed(written[f"Not{name}" if negated else name])
    if not all(isinstance(one, str) for one in found):
        faults.append(f"{name} holds what is no text")
    return [str(one) for one in found], negated


def _faulty(fault: str) -> Statement:
    anything = (Text.of("*", may_have_variables=False),)
    return Statement("", True, ("*",), False, anything, False, (), (fault,))
