"""Compiled rules and templates, and the one function that does it all: the package's public interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Final, Literal, TypeAlias, TypeVar, Union

from bridge.sql.compiler import NO_ROW, Compiler, Evaluator
from bridge.sql.errors import RuleSqlError
from bridge.sql.parser import parse
from bridge.sql.scope import SQL_VERSIONS, Context, Message, MqttProperties, Scope
from bridge.sql.values import UNDEFINED, dumps, text, utf8
from bridge.topics import basic_ingest, filter_fault, matcher

# Union and not |: the type is recursive
Json: TypeAlias = Union[bool, int, float, str, list["Json"], dict[str, "Json"], None]  # noqa: UP007


_T = TypeVar("_T")


class NotFired(Enum):
    """The type of NOT_FIRED, which is falsy and equal to nothing else: JSON null is a payload."""

    NOT_FIRED = "the rule does not fire"

    def __bool__(self) -> bool:
        return False


NOT_FIRED: Final[Literal[NotFired.NOT_FIRED]] = NotFired.NOT_FIRED
Outgoing: TypeAlias = Json | bytes | Literal[NotFired.NOT_FIRED]

_DEFAULT_CONTEXT: Final = Context()


class CompiledRule:
    """A rule's SQL, ready to run on any number of messages, from any thread."""

    __slots__ = (
        "_account_id",
        "_compiler",
        "_matches",
        "_outgoing",
        "_whole_as_int",
        "calls_out",
        "context",
        "sql",
        "topic_filter",
        "version",
    )

    def __init__(self, sql: str, version: str, context: Context) -> None:
        if version not in SQL_VERSIONS:
            raise RuleSqlError(f"unknown SQL version {version!r}: AWS IoT has {', '.join(SQL_VERSIONS)}")
        self.sql = sql
        self.version = version
        self.context = context
        self._account_id = context.account_id
        self._compiler = Compiler(sql, version, context.outside)
        self._whole_as_int = not self._compiler.is_2015
        topic_filter, self._outgoing = _compiled(lambda: self._compiler.statement(parse(sql)))
        self.calls_out = bool(self._compiler.calls_out)
        """Whether the statement asks other services: then it takes its time."""
        fault = filter_fault(topic_filter) if topic_filter is not None else None
        if fault:
            raise RuleSqlError(fault)
        self.topic_filter: str | None = topic_filter
        """The filter of the FROM clause; None for a rule that only Basic Ingest invokes."""
        self._matches = matcher(topic_filter) if topic_filter is not None else None

    def __repr__(self) -> str:
        return f"CompiledRule({self.sql!r})"

    def matches(self, topic: str) -> bool:
        """Whether the FROM clause covers a topic. Basic Ingest topics name their rule: see `basic_ingest`."""
        return self._matches is not None and self._matches(topic)

    def evaluate(self, message: Message) -> Outgoing:
        """Return the outgoing payload, or NOT_FIRED where WHERE is not true. It does not look at FROM: see
        `matches`.

        JSON values for JSON, bytes where the payload goes through as it is. RuleSqlError where a payload is
        nested too deeply to walk.
        """
        try:
            outgoing = self._outgoing(Scope(message, self._account_id, self._whole_as_int))
        except RecursionError as error:
            raise RuleSqlError("the payload is nested too deeply") from error
        if outgoing is NO_ROW:
            return NOT_FIRED
        if outgoing is UNDEFINED:
            return ""  # "Undefined is converted to an empty string when serialized by itself"
        return outgoing  # type: ignore[no-any-return]

    def compile_template(self, template: str, *, outside: bool = True) -> CompiledTemplate:
        """Compile a substitution template of one of the rule's actions; it may use the variables that the rule sets.

        With `outside` false, as in an error action, functions that ask other services are refused.
        """
        return CompiledTemplate(template, self, outside=outside)


class CompiledTemplate:
    """A text with `${expression}` in it, which sees the incoming payload, not the aliases of SELECT."""

    __slots__ = ("_parts", "_rule", "template")

    def __init__(self, template: str, rule: CompiledRule, *, outside: bool = True) -> None:
        self.template = template
        self._rule = rule
        rule._compiler.may_call_out = outside
        rule._compiler.calls_out = []
        self._parts = _compiled(lambda: _template_parts(template, rule._compiler))

    @property
    def is_constant(self) -> bool:
        """Whether the text holds no expression, and so is the same for every message."""
        return all(isinstance(part, str) for part in self._parts)

    def render(self, message: Message) -> str:
        """Return the text for a message. What is Undefined or Null becomes an empty string."""
        scope = Scope(message, self._rule._account_id, self._rule._whole_as_int)
        try:
            return "".join(part if isinstance(part, str) else text(part(scope)) or "" for part in self._parts)
        except RecursionError as error:
            raise RuleSqlError("the payload is nested too deeply") from error


def compile_rule(
    sql: str, *, version: str = "2016-03-23", context: Context = _DEFAULT_CONTEXT
) -> CompiledRule:
    """Compile a rule; RuleSqlError names what is wrong or not supported, and where."""
    return CompiledRule(sql, version, context)


def compile_template(template: str, rule: CompiledRule | None = None) -> CompiledTemplate:
    """Compile a substitution template; with `rule`, its variables are known."""
    return CompiledTemplate(template, rule or _no_rule())


@lru_cache(maxsize=1)
def _no_rule() -> CompiledRule:
    return compile_rule("SELECT *")


_cached_rule = lru_cache(maxsize=256)(CompiledRule)


def evaluate(
    sql: str,
    topic: str,
    payload: bytes | str | Mapping[str, Json] | Sequence[Json] | float | None,
    *,
    client_id: str | None = None,
    principal: str | None = None,
    account_id: str = "000000000000",
    now_ms: int | None = None,
    trace_id: str | None = None,
    source_ip: str | None = None,
    properties: MqttProperties | None = None,
    version: str = "2016-03-23",
) -> Outgoing:
    """Return what a rule makes of one message: the outgoing payload, or NOT_FIRED.

    `payload` is what was published: bytes, or the same as text, or an already decoded JSON value (a str is
    text, not a JSON string). The rule fires when its topic filter matches, or the topic is a Basic Ingest
    topic, and WHERE is true. The result is a JSON value, or bytes where a payload that is not JSON goes
    through. Raises RuleSqlError for a rule that AWS, or this engine, would not accept.
    """
    rule = _cached_rule(sql, version, Context(account_id))
    if not rule.matches(topic) and basic_ingest(topic) is None:
        return NOT_FIRED
    return rule.evaluate(
        Message(topic, _as_bytes(payload), client_id, principal, now_ms, trace_id, source_ip, properties)
    )


def to_bytes(outgoing: Json | bytes) -> bytes:
    """Return the outgoing payload as an action sends it: bytes as they are, JSON compact in UTF-8."""
    return outgoing if isinstance(outgoing, bytes) else utf8(dumps(outgoing))


def _as_bytes(payload: object) -> bytes:
    if isinstance(payload, bytes):
        return payload
    if isinstance(payload, bytearray | memoryview):
        return bytes(payload)
    if isinstance(payload, str):
        return utf8(payload)
    try:
        return utf8(dumps(payload))
    except (TypeError, ValueError, RecursionError) as error:
        raise RuleSqlError(f"the payload is not a JSON value: {error}") from error


def _compiled(make: Callable[[], _T]) -> _T:
    try:
        return make()
    except RecursionError as error:
        raise RuleSqlError("the expression is nested too deeply") from error


def _template_parts(template: str, compiler: Compiler) -> list[str | Evaluator]:
    parts: list[str | Evaluator] = []
    place = 0
    while True:
        start = template.find("${", place)
        if start < 0:
            break
        end = _closing_brace(template, start + 2)
        source = template[start + 2 : end]
        if template[place:start]:
            parts.append(template[place:start])
        compiler.sql = source
        try:
            parts.append(compiler.expression(parse(source, start="expression")))
        except RuleSqlError as error:
            offset = None if error.position is None else start + 2 + error.position
            message = str(error).split(" (at character ")[0]
            raise RuleSqlError(f"in the template {template!r}: {message}", offset) from None
        place = end + 1
    if template[place:]:
        parts.append(template[place:])
    return parts


def _closing_brace(template: str, place: int) -> int:
    """Where the `}` of a `${` is, past strings and object literals."""
    opened = place - 2
    depth, quote = 1, ""
    while place < len(template):
        sign = template[place]
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign == "{":
            depth += 1
        elif sign == "}":
            depth -= 1
            if not depth:
                return place
        place += 1
    raise RuleSqlError(f"in the template {template!r}: ${{ is not closed", opened)
