"""AWS IoT policies: whether a certificate's policies allow an action.

Follows "AWS IoT Core policies" of the developer guide: a request is denied unless a statement allows it, and
a Deny wins over every Allow; ``*`` and ``?`` are wildcards in actions and resources (MQTT's own ``+`` and
``#`` are plain characters there); policy variables are filled in from the connection.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
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

    def _statements(self) -> Iterator[Mapping[str, Any]]:
        for document in self.documents:
            yield from _listed(document.get("Statement", []))


def _applies(statement: Mapping[str, Any], action: str, resource: str, variables: Mapping[str, str]) -> bool:
    actions = _listed(statement.get("Action", []))
    if not any(_pattern(str(pattern).lower()).fullmatch(action.lower()) for pattern in actions):
        return False
    if not any(
        _resource_matches(str(pattern), resource, variables)
        for pattern in _listed(statement.get("Resource", []))
    ):
        return False
    return all(
        _condition(operator, key, values, variables)
        for operator, keys in statement.get("Condition", {}).items()
        for key, values in keys.items()
    )


def _resource_matches(pattern: str, resource: str, variables: Mapping[str, str]) -> bool:
    # arn:aws:iot:<region>:<account>:<resource>; region and account are this deployment's.
    own = pattern if pattern == "*" else pattern.split(":", 5)[-1]
    filled = _fill(own, variables)
    return filled is not None and _pattern(filled).fullmatch(resource) is not None


def _condition(operator: str, key: str, values: Any, variables: Mapping[str, str]) -> bool:
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
            # A condition that is not understood must not open a door.
            return False


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
