"""Whether the policies of a principal allow a request.

Follows "AWS IoT Core policies" of the developer guide: a request is denied unless a statement allows it, and a Deny
wins over every Allow; ``*`` and ``?`` are wildcards in actions and resources (MQTT's own ``+`` and ``#`` are plain
characters there); policy variables are filled in from the connection. A resource is compared as a whole ARN: one of
another partition, service, region or account never matches.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from bridge.policies.connection import Connection, Thing, Values
from bridge.policies.patterns import Lookup, Unfilled, matches
from bridge.policies.statements import Policy, Statement

_ARN_PARTS = 6


@dataclass(frozen=True)
class Grant:
    """One resource of a statement, its variables filled in.

    ``resource`` is ``*`` or as in `Policies.allow`, with ``*`` and ``?`` as wildcards and `patterns.STAR` and
    `patterns.QUESTION` for the characters themselves.
    """

    allow: bool
    resource: str


class InexpressibleError(ValueError):
    """A policy that cannot be turned into a list of topics."""


@dataclass(frozen=True)
class Policies:
    """The policies of one principal, and what the registry knows of it.

    Attributes:
        documents: policies, or documents as JSON has them.
        home: ``arn:<partition>:iot:<region>:<account>:`` of this registry; "" takes any ARN of the service iot.
        certificate_id: of the certificate.
        things: by name, those that the certificate is attached to.
    """

    documents: tuple[Mapping[str, Any] | Policy, ...]
    home: str = ""
    certificate_id: str = ""
    things: Mapping[str, Thing] = field(default_factory=dict)

    @cached_property
    def _own(self) -> tuple[Policy, ...]:
        return tuple(one if isinstance(one, Policy) else Policy.of(one) for one in self.documents)

    @cached_property
    def needs_time(self) -> bool:
        """Whether an answer may change while a connection lasts, and so must not be remembered."""
        return any(policy.needs_time for policy in self.all)

    @property
    def all(self) -> Iterator[Policy]:
        """Yield the certificate's policies and those of its things' groups."""
        yield from self._own
        for thing in self.things.values():
            yield from thing.policies

    def renewed(self, read: Callable[[Policy], Policy]) -> "Policies":
        """Return them with what ``read`` gives for each policy; themselves where all are the same."""
        own = tuple(map(read, self._own))
        things = {
            name: replace(thing, policies=tuple(map(read, thing.policies)))
            for name, thing in self.things.items()
        }
        if own == self._own and things == self.things:
            return self
        return replace(self, documents=own, things=things)

    def allow(self, action: str, resource: str, connection: Connection) -> bool:
        """Whether the policies allow ``action`` on ``resource``.

        Args:
            action: such as ``iot:Connect``, ``iot:Publish``, ``iot:RetainPublish``, ``iot:GetThingShadow``.
            resource: the part of the ARN after the account: ``client/<id>``, ``topic/<topic>``,
                ``topicfilter/<filter>``, ``thing/<name>``.
            connection: whose request it is.
        """
        allowed, denying = self._decide(action, resource, connection)
        return allowed and denying is None

    def refusal(self, action: str, resource: str, connection: Connection) -> str:
        """Say why `allow` is false, for a log line: which policy denies, or that none allows."""
        _, denying = self._decide(action, resource, connection)
        if denying:
            policy, statement = denying
            place = f" (Sid {statement.sid})" if statement.sid else ""
            return f"the policy {policy.name or '(unnamed)'} denies {action} on {resource}{place}"
        names = ", ".join(policy.name or "(unnamed)" for policy in self._of(connection)) or "none is attached"
        return f"no policy allows {action} on {self.home}{resource}; policies: {names}"

    def unknowable(self, connection: Connection) -> frozenset[str]:
        """Return the keys that the policies ask for and that cannot be known of this connection.

        With one of them an Allow does not apply, and a Deny does.
        """
        lookup = self._lookup("iot:connect", connection)
        statements = (statement for policy in self._of(connection) for statement in policy.statements)
        return frozenset(key for statement in statements for key in statement.keys if lookup(key) is None)

    def grants(self, action: str, connection: Connection) -> Iterator[Grant]:
        """Yield what the policies say of ``action`` for this connection, for a broker that has lists of its own.

        Args:
            action: as for `allow`.
            connection: whose requests they will be; conditions and variables are worked out for it.

        Raises:
            InexpressibleError: a statement says which resources it does not mean.
        """
        lowered, lookup = action.lower(), self._lookup(action.lower(), connection)
        for policy in self._of(connection):
            for statement in policy.statements:
                if not statement.names_action(lowered) or (statement.faults and not statement.denies):
                    continue
                if not statement.conditions_hold(lookup):
                    continue
                if statement.not_resources:
                    raise InexpressibleError("NotResource cannot be written as a list of topics")
                for text in statement.resources:
                    pattern = text.fill(lookup)
                    if isinstance(pattern, Unfilled):
                        if pattern.known or not statement.denies:
                            continue
                        pattern = "*"
                    own = self._own_part(pattern, denies=statement.denies)
                    if own is not None:
                        yield Grant(not statement.denies, own)

    def _of(self, connection: Connection) -> tuple[Policy, ...]:
        thing = self.things.get(connection.thing_name)
        return self._own if thing is None else (*self._own, *thing.policies)

    def _decide(
        self, action: str, resource: str, connection: Connection
    ) -> tuple[bool, tuple[Policy, Statement] | None]:
        lowered, lookup = action.lower(), self._lookup(action.lower(), connection)
        allowed = False
        for policy in self._of(connection):
            for statement in policy.statements:
                if allowed and not statement.denies:
                    continue
                if self._applies(statement, lowered, resource, lookup):
                    if statement.denies:
                        return allowed, (policy, statement)
                    allowed = True
        return allowed, None

    def _applies(self, statement: Statement, action: str, resource: str, lookup: Lookup) -> bool:
        if self.home:
            return statement.applies(action, self.home + resource, lookup)
        # Nobody has said where we are: take region and account from the statement itself.
        homes = {_home(text.written) for text in statement.resources} or {""}
        return any(statement.applies(action, home + resource, lookup) for home in homes)

    def _lookup(self, action: str, connection: Connection) -> Lookup:
        thing = self.things.get(connection.thing_name)

        def lookup(key: str) -> Values | None:
            return connection.values(
                key, action=action, thing=thing, certificate_id=self.certificate_id, home=self.home
            )

        return lookup

    def _own_part(self, pattern: str, *, denies: bool) -> str | None:
        """Return the pattern of what follows an ARN's account; None for another service, region or account."""
        if pattern == "*":
            return pattern
        parts = pattern.split(":", _ARN_PARTS - 1)
        if len(parts) < _ARN_PARTS:
            # A wildcard runs over colons: all or nothing, so that a Deny loses nothing and an Allow gives nothing away.
            everything = pattern.endswith("*") and matches(pattern, self.home)
            return "*" if denies or everything else None
        home = (self.home or _home(pattern)).split(":", _ARN_PARTS - 1)
        return parts[-1] if all(map(matches, parts[:-1], home)) else None


def _home(pattern: str) -> str:
    """Region and account as a pattern has them, for a principal of whom nobody said where it is registered."""
    parts = pattern.split(":", _ARN_PARTS - 1)
    return ":".join([*parts[:2], "iot", *parts[3:5], ""]) if len(parts) == _ARN_PARTS else ""
