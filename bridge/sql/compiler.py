"""Syntax tree to closures: each node becomes a function of the Scope, made once when the rule is loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import ROUND_FLOOR
from typing import TYPE_CHECKING, Any, Final

from bridge.sql.errors import RuleSqlError
from bridge.sql.functions import CALLS, COMPUTED, FUNCTIONS, NOWHERE, Function, Outside
from bridge.sql.functions.collections import get
from bridge.sql.functions.strings import encode_bytes
from bridge.sql.operators import OPERATORS, both, contains, either, equals, inverse, negate
from bridge.sql.scope import UNREAD, Scope
from bridge.sql.values import (
    CONTEXT,
    UNDEFINED,
    Value,
    boolean,
    integral,
    number,
    plain,
    plain_2015,
    round_int,
    text,
)

if TYPE_CHECKING:
    from lark import Token, Tree

Evaluator = Callable[[Scope], Value]
Node = Any  # a lark Tree or Token: the walk below knows which by the grammar

# What needs no conversion on its way out, which is nearly everything.
_AS_IS: Final = frozenset({str, int, bool, dict, list, type(None)})
_MAX_VARIABLES: Final = 10
_MAX_VARIABLE_NAME: Final = 64
_MAX_INT_DIGITS: Final = 34


class _NoRow:
    """What a SELECT gives when its WHERE is not true."""


NO_ROW: Final = _NoRow()


def unquote(literal: str) -> str:
    """Return the text of a string literal: a doubled quote stands for one, a backslash for itself."""
    quote = literal[0]
    return literal[1:-1].replace(quote * 2, quote)


def _cast_text(value: Value) -> Value:
    known = text(value)
    return UNDEFINED if known is None else known


def _cast_int(value: Value) -> Value:
    known = int(value) if type(value) is bool else round_int(number(value), ROUND_FLOOR)
    return UNDEFINED if known is None else known


def _cast_decimal(value: Value) -> Value:
    known = int(value) if type(value) is bool else number(value)
    return UNDEFINED if known is None else CONTEXT.create_decimal(known)


def _cast_double(value: Value) -> Value:
    known = int(value) if type(value) is bool else number(value)
    if known is None:
        return UNDEFINED
    try:
        double = float(known)
    except OverflowError:
        return UNDEFINED
    return double if abs(double) != float("inf") else UNDEFINED


def _cast_boolean(value: Value) -> Value:
    if type(value) is not str and number(value) is not None:
        return bool(value)
    known = boolean(value)
    return UNDEFINED if known is None else known


def _whole_first(convert: Callable[[Value], Value]) -> Callable[[Value], Value]:
    """Version 2016-03-23 returns an Int where a cast to a Decimal meets a whole number."""

    def cast(value: Value) -> Value:
        result = convert(value)
        if result is UNDEFINED:
            return UNDEFINED
        whole = integral(CONTEXT.create_decimal(result))
        return result if whole is None else whole

    return cast


_TEXT_TYPES = dict.fromkeys(("string", "nvarchar", "text", "ntext", "varchar"), _cast_text)
_CASTS_2015: Final = {**_TEXT_TYPES, "int": _cast_int, "integer": _cast_int, "double": _cast_double}
_CASTS_2016: Final = {
    **_CASTS_2015,
    "double": _whole_first(_cast_double),
    "decimal": _whole_first(_cast_decimal),
    "bool": _cast_boolean,
    "boolean": _cast_boolean,
}


class Compiler:
    """Compiles the trees of one rule: its statement, and later the templates of its actions."""

    def __init__(self, sql: str, version: str, outside: Outside | None = None) -> None:
        self.sql = sql
        self.outside = outside
        self.may_call_out = True
        self.calls_out: list[str] = []
        self.is_2015 = version == "2015-10-08"
        self.version = version
        self.plain = plain_2015 if self.is_2015 else plain
        self.depth = 0
        self.variables: dict[str, Evaluator] = {}

    # clauses

    def statement(self, tree: Tree[Token]) -> tuple[str | None, Evaluator]:
        """Return the topic filter (None without FROM) and what makes the outgoing payload, NO_ROW where WHERE is not
        true.
        """
        clause, select = tree.children
        if clause is not None:
            self._needs_2016(tree, "the SET clause")
            for assignment in clause.children:  # type: ignore[union-attr]
                self._assign(assignment)
        return self._select(select)

    def _assign(self, tree: Node) -> None:
        name = tree.children[0]
        if name in self.variables:
            raise RuleSqlError(f"the variable {name} is set twice", name.start_pos)
        if len(name) - 1 > _MAX_VARIABLE_NAME:
            raise RuleSqlError(f"a variable name has at most {_MAX_VARIABLE_NAME} characters", name.start_pos)
        if len(self.variables) == _MAX_VARIABLES:
            raise RuleSqlError(f"a rule sets at most {_MAX_VARIABLES} variables", name.start_pos)
        value = self.expression(tree.children[2])
        self.variables[str(name)] = self._once(str(name), value)

    def _once(self, name: str, value: Evaluator) -> Evaluator:
        def variable(scope: Scope) -> Value:
            # of the message, also where a nested SELECT asks
            root = scope.root or scope
            if name not in root.variables:
                result = self.plain(value(root))
                root.variables[name] = UNDEFINED if type(result) is bytes else result
            return root.variables[name]

        return variable

    def _select(self, tree: Node) -> tuple[str | None, Evaluator]:
        is_value, items, source, where = tree.children
        topic_filter = None
        if source is not None:
            if source.data != "string":
                raise RuleSqlError("FROM takes a topic filter in single quotes", self._start(source))
            topic_filter = unquote(source.children[0])
        row = self._row(items, is_value)
        if where is None:
            return topic_filter, row
        condition = self.expression(where)

        def filtered(scope: Scope) -> Value:
            return row(scope) if boolean(condition(scope)) else NO_ROW

        return topic_filter, filtered

    def _row(self, items: Node, is_value: Node) -> Evaluator:
        plain_value = self.plain
        if is_value is not None:
            if len(items.children) > 1:
                raise RuleSqlError("SELECT VALUE takes one item", self._start(items.children[1]))
            item, alias = items.children[0].children
            if alias is not None:
                raise RuleSqlError("SELECT VALUE takes no alias", self._start(alias))
            value = self.expression(item)
            return lambda scope: plain_value(value(scope))

        steps = [self._item(item) for item in items.children]
        if len(steps) == 1 and steps[0] is None:
            return _star
        if all(step is not None and len(step[0]) == 1 for step in steps):
            return self._flat_row([(step[0][0], step[1]) for step in steps if step])
        return self._deep_row(steps)

    def _flat_row(self, fields: Sequence[tuple[str, Evaluator]]) -> Evaluator:
        plain_value = self.plain

        def row(scope: Scope) -> Value:
            out = {}
            for name, value in fields:
                result = value(scope)
                if type(result) in _AS_IS:
                    out[name] = result
                elif result is not UNDEFINED:
                    out[name] = plain_value(_attached(result))
            return out

        return row

    def _deep_row(self, steps: Sequence[tuple[list[str], Evaluator] | None]) -> Evaluator:
        plain_value = self.plain
        nested = self.depth > 0

        def row(scope: Scope) -> Value:
            out: dict[str, Value] = {}
            for step in steps:
                if step is None:
                    whole = _star(scope)
                    if type(whole) is dict:
                        out.update(whole)
                    elif not nested and whole != b"":
                        # a payload that is no object has no place for more: it goes through as it is
                        return whole
                    continue
                path, value = step
                result = value(scope)
                if result is not UNDEFINED:
                    _put(out, path, plain_value(_attached(result)))
            return out

        return row

    def _item(self, tree: Node) -> tuple[list[str], Evaluator] | None:
        """Where in the outgoing object an item goes, and its value; None for a bare `*`."""
        item, alias = tree.children
        if item.data == "star" and alias is None:
            return None
        if alias is None:
            path = [self._default_name(item)]
        elif alias.data == "alias_text":
            path = [unquote(alias.children[0])]
        else:
            path = [str(name) for name in alias.children]
        return path, self.expression(item)

    def _default_name(self, item: Node) -> str:
        """Name a path by its last member, a function by its name, anything else by its own text."""
        if item.data == "member":
            return str(item.children[1])
        if item.data in {"field", "call", "cast"}:
            return str(item.children[0])
        if item.data == "variable":
            return str(item.children[0][1:])
        if item.data == "index":
            return self._default_name(item.children[0])
        return self.sql[item.meta.start_pos : item.meta.end_pos]

    # expressions

    def expression(self, tree: Node) -> Evaluator:
        """Return the evaluator of any expression node."""
        made: Evaluator = getattr(self, f"_{tree.data}")(tree)
        return made

    def _start(self, tree: Node) -> int | None:
        place: int | None = getattr(tree.meta, "start_pos", None)
        return place

    def _needs_2016(self, tree: Node, what: str) -> None:
        if self.is_2015:
            raise RuleSqlError(f"{what} needs SQL version 2016-03-23", self._start(tree))

    def _number(self, tree: Node) -> Evaluator:
        digits = tree.children[0]
        if digits.isdigit():
            if len(digits.lstrip("0")) > _MAX_INT_DIGITS:
                raise RuleSqlError(f"an Int has at most {_MAX_INT_DIGITS} digits", digits.start_pos)
            return _constant(int(digits))
        value = CONTEXT.create_decimal(str(digits))
        if not value.is_finite():
            raise RuleSqlError("a Decimal is smaller than 1E1000", digits.start_pos)
        return _constant(value)

    def _string(self, tree: Node) -> Evaluator:
        return _constant(unquote(tree.children[0]))

    def _true(self, _tree: Node) -> Evaluator:
        return _constant(True)

    def _false(self, _tree: Node) -> Evaluator:
        return _constant(False)

    def _null(self, _tree: Node) -> Evaluator:
        return _constant(None)

    def _group(self, tree: Node) -> Evaluator:
        return self.expression(tree.children[0])

    def _star(self, _tree: Node) -> Evaluator:
        return _star

    def _field(self, tree: Node) -> Evaluator:
        name = str(tree.children[0])

        def field(scope: Scope) -> Value:
            row = scope.row
            if row is UNREAD:
                row = scope.read()
            return row.get(name, UNDEFINED) if type(row) is dict else UNDEFINED

        return field

    def _member(self, tree: Node) -> Evaluator:
        parent, name = self.expression(tree.children[0]), str(tree.children[1])

        def member(scope: Scope) -> Value:
            value = parent(scope)
            return value.get(name, UNDEFINED) if type(value) is dict else UNDEFINED

        return member

    def _index(self, tree: Node) -> Evaluator:
        return self._get(tree.children)

    def _get(self, nodes: Sequence[Node]) -> Evaluator:
        """Compile `get(collection, key)`; a nested SELECT gives its rows, also where it reads an object."""
        collection, key = map(self.expression, nodes)
        if nodes[0].data != "subquery":
            return lambda scope: get(collection(scope), key(scope))
        called, self.calls_out = self.calls_out, []  # it is the same SELECT: what it calls is counted already
        rows = self._nested(nodes[0].children[0], always_rows=True)
        self.calls_out = called

        def of_rows(scope: Scope) -> Value:
            place = key(scope)
            return get((collection if type(place) is str else rows)(scope), place)

        return of_rows

    def _variable(self, tree: Node) -> Evaluator:
        name = tree.children[0]
        if name not in self.variables:
            raise RuleSqlError(f"the variable {name} is not set", name.start_pos)
        return self.variables[name]

    def _negative(self, tree: Node) -> Evaluator:
        value = self.expression(tree.children[1])
        return _fold(lambda scope: negate(value(scope)), value)

    def _binary(self, tree: Node) -> Evaluator:
        left, right = self.expression(tree.children[0]), self.expression(tree.children[2])
        operate = OPERATORS[tree.children[1]]
        return _fold(lambda scope: operate(left(scope), right(scope)), left, right)

    _arithmetic = _compare = _binary

    def _or_test(self, tree: Node) -> Evaluator:
        left, right = map(self.expression, tree.children)
        return lambda scope: either(left(scope), right(scope))

    def _and_test(self, tree: Node) -> Evaluator:
        left, right = map(self.expression, tree.children)
        return lambda scope: both(left(scope), right(scope))

    def _not_test(self, tree: Node) -> Evaluator:
        value = self.expression(tree.children[0])
        return lambda scope: inverse(value(scope))

    def _in_test(self, tree: Node) -> Evaluator:
        value, candidates = map(self.expression, tree.children)
        if tree.children[1].data == "group":
            # `x IN (5)` is a list of one; `x IN (list)` takes the list
            single = candidates

            def candidates(scope: Scope) -> Value:
                known = single(scope)
                return known if type(known) is list or known is UNDEFINED else [known]

        return lambda scope: contains(value(scope), candidates(scope))

    def _not_in_test(self, tree: Node) -> Evaluator:
        test = self._in_test(tree)
        return lambda scope: inverse(test(scope))

    def _case(self, tree: Node) -> Evaluator:
        subject, *whens, otherwise = tree.children
        if subject is None:
            raise RuleSqlError(
                "CASE needs a value before WHEN: for a condition write CASE (a > b) WHEN true THEN r END",
                self._start(tree),
            )
        value = self.expression(subject)
        branches = [(self.expression(when.children[0]), self.expression(when.children[1])) for when in whens]
        fallback = _constant(UNDEFINED) if otherwise is None else self.expression(otherwise)

        def case(scope: Scope) -> Value:
            known = value(scope)
            if known is UNDEFINED:
                return UNDEFINED
            for candidate, result in branches:
                if equals(known, candidate(scope)) is True:
                    return result(scope)
            return fallback(scope)

        return case

    def _object(self, tree: Node) -> Evaluator:
        self._needs_2016(tree, "an object literal")
        plain_value = self.plain
        pairs = [
            (unquote(pair.children[0]), self.expression(pair.children[1]))
            for pair in tree.children
            if pair is not None
        ]

        def build(scope: Scope) -> Value:
            out = {}
            for name, value in pairs:
                result = value(scope)
                if result is not UNDEFINED:
                    out[name] = plain_value(_attached(result))
            return out

        return build

    def _array(self, tree: Node) -> Evaluator:
        if tree.meta.empty or self.sql[tree.meta.start_pos] == "[":
            self._needs_2016(tree, "an array literal")
        plain_value = self.plain
        items = [self.expression(item) for item in tree.children if item is not None]

        def build(scope: Scope) -> Value:
            results = (item(scope) for item in items)
            return [plain_value(_attached(result)) for result in results if result is not UNDEFINED]

        return build

    # nested SELECT

    def _subquery(self, tree: Node) -> Evaluator:
        return self._nested(tree.children[0])

    def _bare_select(self, tree: Node) -> Evaluator:
        return self._nested(tree.children[0])

    def _exists(self, tree: Node) -> Evaluator:
        rows = self._nested(tree.children[0])

        def exists(scope: Scope) -> Value:
            found = rows(scope)
            return bool(found) if type(found) is list else found is not UNDEFINED

        return exists

    def _nested(self, tree: Node, *, always_rows: bool = False) -> Evaluator:
        """Compile a SELECT over an array to an array of its rows, over an object to one row; `FROM *` and
        `always_rows` to an array of one.
        """
        self._needs_2016(tree, "a nested SELECT")
        is_value, items, source, where = tree.children
        if source is None:
            raise RuleSqlError("a nested SELECT needs FROM", self._start(tree))
        if source.data == "string":
            raise RuleSqlError(
                "a nested SELECT reads from a path of the payload, not from a topic", self._start(source)
            )
        rows = self.expression(source)
        whole = source.data == "star" or always_rows
        self.depth += 1
        try:
            row = self._row(items, is_value)
            condition = None if where is None else self.expression(where)
        finally:
            self.depth -= 1

        def one(element: Value, scope: Scope) -> Value:
            inner = scope.nested(element)
            if condition is not None and not boolean(condition(inner)):
                return UNDEFINED
            return row(inner)

        def select(scope: Scope) -> Value:
            elements = rows(scope)
            if type(elements) is dict:
                if not whole:
                    return one(elements, scope)
                elements = [elements]
            if type(elements) is not list:
                return UNDEFINED
            results = (one(element, scope) for element in elements)
            return [result for result in results if result is not UNDEFINED]

        return select

    # functions

    def _cast(self, tree: Node) -> Evaluator:
        name, value, kind = tree.children
        if name.lower() != "cast":
            raise RuleSqlError(f"AS stands only in cast(), not in {name}()", name.start_pos)
        convert = (_CASTS_2015 if self.is_2015 else _CASTS_2016).get(kind.lower())
        if convert is None:
            later = " before SQL version 2016-03-23" if kind.lower() in _CASTS_2016 else ""
            raise RuleSqlError(f"cast() has no type {kind}{later}", kind.start_pos)
        source = self.expression(value)
        return _fold(lambda scope: convert(source(scope)), source)

    def _call(self, tree: Node) -> Evaluator:
        name, arguments = tree.children
        if arguments is None:
            nodes = []
        elif arguments.data == "bare_select":
            nodes = [arguments]
        else:
            nodes = list(arguments.children)
        lowered = name.lower()
        if lowered in CALLS:
            return self._call_out(tree, name, nodes)
        if lowered == "sql_version" and not nodes:
            return _constant(self.version)
        function = self._function(name)
        if function.since_2016:
            self._needs_2016(tree, f"{lowered}()")
        self._check_count(name, function.least, function.most, len(nodes))
        if lowered == "get":
            return self._get(nodes)
        values = [self.expression(node) for node in nodes]
        if function.check:
            fault = function.check([getattr(value, "constant", COMPUTED) for value in values])
            if fault:
                raise RuleSqlError(f"{lowered}(): {fault}", name.start_pos)
        if lowered == "encode" and nodes[0].data == "star" and self.depth == 0:
            return _encoded_payload
        if function.on_message:
            return _call_on_message(function.call, values)
        return _call(function.call, values)

    @staticmethod
    def _function(name: Token) -> Function:
        lowered = name.lower()
        if lowered in NOWHERE:
            raise RuleSqlError(
                f"{lowered}() needs AWS ({NOWHERE[lowered]}): it is not supported here", name.start_pos
            )
        function = FUNCTIONS.get(lowered)
        if function is None:
            hint = ": write cast(value AS type)" if lowered == "cast" else ""
            raise RuleSqlError(f"unknown function {name}(){hint}", name.start_pos)
        return function

    def _call_out(self, tree: Node, name: Token, nodes: Sequence[Node]) -> Evaluator:
        """Compile a function that asks another service."""
        lowered = name.lower()
        function, outside = CALLS[lowered], self.outside
        if outside is None:
            raise RuleSqlError(
                f"{lowered}() needs AWS ({function.asks}): it is not supported here", name.start_pos
            )
        if not self.may_call_out:
            raise RuleSqlError(f"an error action cannot call {lowered}()", name.start_pos)
        if function.since_2016:
            self._needs_2016(tree, f"{lowered}()")
        self._check_count(name, function.least, function.most, len(nodes))
        if lowered == "get_dynamodb" and lowered in self.calls_out:
            raise RuleSqlError("a rule calls get_dynamodb() once at most", name.start_pos)
        self.calls_out.append(lowered)
        values = [self.expression(node) for node in nodes]
        plain_value = self.plain
        return lambda scope: outside.call(lowered, [plain_value(_attached(value(scope))) for value in values])

    @staticmethod
    def _check_count(name: Token, least: int, most: int | None, count: int) -> None:
        if least <= count and (most is None or count <= most):
            return
        if most is None:
            wanted = f"at least {least}"
        elif least == most:
            wanted = str(least)
        else:
            wanted = f"{least} to {most}"
        plural = "" if wanted == "1" else "s"
        raise RuleSqlError(f"{name.lower()}() takes {wanted} argument{plural}, not {count}", name.start_pos)


def _star(scope: Scope) -> Value:
    row = scope.row
    return scope.read() if row is UNREAD else row


def _encoded_payload(scope: Scope) -> Value:
    return encode_bytes(scope.message.payload)


def _attached(value: Value) -> Value:
    """Raw bytes within JSON are "encoded as base64 and attached" (binary-payloads.md)."""
    return encode_bytes(value) if type(value) is bytes else value


def _put(out: dict[str, Value], path: Sequence[str], value: Value) -> None:
    """Set a nested alias, in copies of what `*` brought: the payload is not ours to change."""
    for name in path[:-1]:
        inner = out.get(name)
        inner = dict(inner) if type(inner) is dict else {}
        out[name] = inner
        out = inner
    out[path[-1]] = value


def _constant(value: Value) -> Evaluator:
    def constant(_scope: Scope) -> Value:
        return value

    constant.constant = value  # type: ignore[attr-defined]
    return constant


def _fold(made: Evaluator, *parts: Evaluator) -> Evaluator:
    """Calculate now what depends on literals only."""
    if all(hasattr(part, "constant") for part in parts):
        return _constant(made(None))  # type: ignore[arg-type]
    return made


def _call(call: Callable[..., Value], values: Sequence[Evaluator]) -> Evaluator:
    if len(values) == 1:
        only = values[0]
        return lambda scope: call(only(scope))
    if len(values) == 2:
        first, second = values
        return lambda scope: call(first(scope), second(scope))
    return lambda scope: call(*[value(scope) for value in values])


def _call_on_message(call: Callable[..., Value], values: Sequence[Evaluator]) -> Evaluator:
    if not values:
        return call
    return lambda scope: call(scope, *[value(scope) for value in values])
