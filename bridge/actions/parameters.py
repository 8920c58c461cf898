"""Reads the parameters of a rule's action. What no builder reads refuses the rule, by name."""

from collections.abc import Collection, Mapping
from typing import Any

from bridge.actions.base import UnsupportedActionError
from bridge.sql import CompiledRule, CompiledTemplate

_NOT_SET: tuple[Any, ...] = (None, False, "", [], {})


class Parameters:
    """The parameters of one action, or of a structure within it.

    Which of them take substitution templates is in the pages of the developer guide (<action>-rule-action.md).
    """

    def __init__(
        self, action: str, values: Mapping[str, Any], rule: CompiledRule, *, outside: bool, path: str = ""
    ) -> None:
        """Take them as the API has them.

        Args:
            action: the action's name in the API.
            values: its parameters.
            rule: knows the variables of templates.
            outside: whether templates may call functions that ask other services: not those of an error action.
            path: where in the action the structure is, for messages.
        """
        self._action, self._values, self._rule, self._outside = action, values, rule, outside
        self._path = path
        self._read: set[str] = set()
        self._inner: list[Parameters] = []

    @property
    def account_id(self) -> str:
        """The account that the rule is in."""
        return self._rule.context.account_id

    def has(self, name: str) -> bool:
        """Whether the parameter is set: null, false and what is empty are not."""
        return self._values.get(name) not in _NOT_SET

    def literal(self, name: str, default: str | None = None) -> str:
        """Return a parameter that takes no template."""
        value = self._value(name, default)
        if "${" in value:
            raise self.refused(name, "takes no substitution template")
        return value

    def choice(self, name: str, choices: Collection[str], default: str | None = None) -> str:
        """Return a parameter that takes no template and has few values."""
        value = self.literal(name, default)
        if value not in choices:
            raise self.refused(name, f"is one of {', '.join(map(repr, choices))}, not {value!r}")
        return value

    def flag(self, name: str) -> bool:
        """Return a Boolean; false unless it is set."""
        self._read.add(name)
        value = self._values.get(name) or False
        if value not in (True, False, "true", "false"):
            raise self.refused(name, f"is true or false, not {value!r}")
        return value is True or value == "true"

    def template(self, name: str, default: str | None = None) -> CompiledTemplate:
        """Return a parameter that takes a template, compiled."""
        return self._rule.compile_template(self._value(name, default), outside=self._outside)

    def role(self) -> None:
        """Demand ``roleArn``, which AWS assumes; a local engine has no use for it."""
        self.literal("roleArn")

    def structure(self, name: str) -> "Parameters":
        """Return the parameters of a structure; without any if it is not set."""
        self._read.add(name)
        return self._within(name, self._values.get(name) or {})

    def structures(self, name: str) -> "list[Parameters]":
        """Return those of each structure of a list."""
        self._read.add(name)
        listed = self._values.get(name) or []
        return [self._within(f"{name}[{place}]", one) for place, one in enumerate(listed)]

    def refused(self, name: str, why: str) -> UnsupportedActionError:
        """Make the error that refuses the rule for this parameter."""
        return UnsupportedActionError(
            f"the action {self._action!r}: its parameter {self._path + name!r} {why}"
        )

    def refuse_unread(self) -> None:
        """Refuse the rule if a parameter is set that nobody has read.

        Raises:
            UnsupportedActionError: names it.
        """
        for name in self._values:
            if name not in self._read and self.has(name):
                raise self.refused(name, "is not supported")
        for inner in self._inner:
            inner.refuse_unread()

    def _value(self, name: str, default: str | None) -> str:
        self._read.add(name)
        value = self._values.get(name)
        if value is None or value == "":
            if default is None:
                raise self.refused(name, "is missing")
            return default
        if isinstance(value, bool | dict | list):
            raise self.refused(name, f"is a text, not {value!r}")
        return str(value)

    def _within(self, name: str, values: Mapping[str, Any]) -> "Parameters":
        path = f"{self._path}{name}."
        inner = Parameters(self._action, values, self._rule, outside=self._outside, path=path)
        self._inner.append(inner)
        return inner
