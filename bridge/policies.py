"""AWS IoT policies: whether a certificate's policies allow an action.

Follows "AWS IoT Core policies" of the developer guide: a request is denied unless a statement allows it, and
a Deny wins over every Allow; ``*`` and ``?`` are wildcards in actions and resources (MQTT's own ``+`` and
``#`` are plain characters there); policy variables are filled in from the connection.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any


@dataclass(frozen=True)
class Connection:
    """What policy variables can ask about a connection."""

    client_id: str
    common_name: str
    things: tuple[str, ...]

    def variables(self) -> dict[str, str]:
        """Policy variables that have a value; a statement with any other never applies.

        The thing is the one that is named as the client id is, if it is attached to the certificate.
        """
        attached = self.client_id in self.things
        found = {
            "iot:ClientId": self.client_id,
            "iot:Certificate.Subject.CommonName": self.common_name,
            "iot:Connection.Thing.IsAttached": str(attached).lower(),
        }
        if attached:
            found["iot:Connection.Thing.ThingName"] = self.client_id
        return found


@dataclass(frozen=True)
class Grant:
    """One resource of a statement, its variables filled in.

    ``resource`` is ``*`` or as in `Policies.allow`, with ``*`` and ``?`` as wildcards and ``[*]`` and ``[?]`` for
    the characters themselves.
    """

    allow: bool
    resource: str


class InexpressibleError(ValueError):
    """A policy that cannot be turned into a list of topics."""


@dataclass(frozen=True)
class Policies:
    """The policies of one principal, as documents."""

    documents: tuple[Mapping[str, Any], ...]

    def allow(self, action: str, resource: str, connection: Connection) -> bool:
        """Whether the policies allow ``action`` on ``resource``.

        Args:
            action: ``iot:Connect``, ``iot:Publish``, ``iot:Subscribe`` or ``iot:Receive``.
            resource: the part of the ARN after the account: ``client/<id>``, ``topic/<topic>`` or
                ``topicfilter/<filter>``.
            connection: whose request it is.
        """
        variables = connection.variables()
        allowed = False
        for statement in self._statements():
            if not _applies(statement, action, resource, variables):
                continue
            if statement.get("Effect") == "Deny":
                return False
            allowed = True
        return allowed

    def grants(self, action: str, connection: Connection) -> Iterator[Grant]:
        """What the policies say of ``action`` for this connection, for a broker that has lists of its own.

        Args:
            action: as for `allow`.
            connection: whose requests they will be; conditions and variables are worked out for it.

        Raises:
            InexpressibleError: a statement says which resources it does not mean.
        """
        variables = connection.variables()
        for statement in self._statements():
            if not _listed_or_not(statement, "Action", lambda pattern: _action_matches(pattern, action)):
                continue
            if not _conditions_hold(statement, variables):
                continue
            if "NotResource" in statement:
                raise InexpressibleError("NotResource cannot be written as a list of topics")
            for pattern in _listed(statement.get("Resource", [])):
                filled = _fill(_own(str(pattern)), variables)
                if filled is not None:
                    yield Grant(statement.get("Effect") != "Deny", filled)

    def _statements(self) -> Iterator[Mapping[str, Any]]:
        for document in self.documents:
            yield from _listed(document.get("Statement", []))


def _applies(statement: Mapping[str, Any], action: str, resource: str, variables: Mapping[str, str]) -> bool:
    if not _listed_or_not(statement, "Action", lambda pattern: _action_matches(pattern, action)):
        return False
    if not _listed_or_not(
        statement, "Resource", lambda pattern: _resource_matches(pattern, resource, variables)
    ):
        return False
    return _conditions_hold(statement, variables)


def _conditions_hold(statement: Mapping[str, Any], variables: Mapping[str, str]) -> bool:
    denies = statement.get("Effect") == "Deny"
    for operator, keys in statement.get("Condition", {}).items():
        for key, values in keys.items():
            holds = _condition(operator, key, values, variables)
            # A condition that is not understood must neither open a door nor take away a lock.
            if not (denies if holds is None else holds):
                return False
    return True


def _listed_or_not(statement: Mapping[str, Any], element: str, matches: Callable[[str], bool]) -> bool:
    """Whether ``Action`` (``Resource``) names it, or ``NotAction`` (``NotResource``) does not."""
    if f"Not{element}" in statement:
        return not any(matches(str(pattern)) for pattern in _listed(statement[f"Not{element}"]))
    return any(matches(str(pattern)) for pattern in _listed(statement.get(element, [])))


def _action_matches(pattern: str, action: str) -> bool:
    return _pattern(pattern.lower()).fullmatch(action.lower()) is not None


def _resource_matches(pattern: str, resource: str, variables: Mapping[str, str]) -> bool:
    filled = _fill(_own(pattern), variables)
    if filled is None:
        return False
    # Most are plain once filled in, and differ from client to client: no expression is worth making of them.
    if "*" not in filled and "?" not in filled:
        return filled == resource
    return _pattern(filled).fullmatch(resource) is not None


def _own(pattern: str) -> str:
    # arn:aws:iot:<region>:<account>:<resource>; region and account are this deployment's.
    return pattern if pattern == "*" else pattern.split(":", 5)[-1]


def _condition(operator: str, key: str, values: Any, variables: Mapping[str, str]) -> bool | None:
    """Whether a condition holds; None for an operator that is not known here."""
    wanted = [_fill(str(value), variables) for value in _listed(values)]
    given = variables.get(key)
    match operator:
        case "Bool":
            return given is not None and given in [str(value).lower() for value in wanted]
        case "StringEquals":
            return given is not None and given in wanted
        case "StringNotEquals":
            return given not in wanted
        case "StringLike":
            return given is not None and any(
                value is not None and _pattern(value).fullmatch(given) for value in wanted
            )
        case "ForAnyValue:StringEquals":
            return given is not None and given in wanted
        case _:
            return None


def _fill(text: str, variables: Mapping[str, str]) -> str | None:
    """Fill in policy variables; None if one has no value. A value's own wildcards are plain characters."""
    missing = False

    def value(found: re.Match[str]) -> str:
        nonlocal missing
        known = variables.get(found.group(1))
        if known is None:
            missing = True
            return ""
        return known.replace("*", "[*]").replace("?", "[?]")

    filled = re.sub(r"\$\{([^}]+)\}", value, text)
    return None if missing else filled


@lru_cache(maxsize=65536)
def _pattern(text: str) -> re.Pattern[str]:
    parts = re.split(r"(\[\*\]|\[\?\]|\*|\?)", text)
    words = {"*": ".*", "?": ".", "[*]": r"\*", "[?]": r"\?"}
    return re.compile("".join(words.get(part, re.escape(part)) for part in parts), re.DOTALL)


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]
