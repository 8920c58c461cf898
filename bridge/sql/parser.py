"""Text of a rule to syntax tree: lark's LALR(1) parser on the grammar in rule.lark."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NoReturn

from bridge.sql.errors import RuleSqlError

if TYPE_CHECKING:
    from lark import Lark, Token, Tree
    from lark.exceptions import UnexpectedInput

# Always keywords; the other words below are keywords only where no name can stand.
_RESERVED = frozenset({"SELECT", "FROM", "WHERE", "AS", "AND", "OR", "NOT", "IN", "TRUE", "FALSE", "NULL"})
_CASE_PARTS = frozenset({"WHEN", "THEN", "ELSE", "END"})
# After `SELECT value`, these make `value` a field: `SELECT value FROM 't'`, `SELECT value.x`, `SELECT value >
# 1`.
_AFTER_FIELD = frozenset(
    {"_FROM", "_AS", "COMMA", "DOT", "PLUS", "DIVIDE", "EQ", "COMPARE", "RPAR", "_AND", "_OR"}
)
_ENDS_ITEM = frozenset({"_FROM", "_WHERE", "_AS", "COMMA", "DOT", "RPAR", "LSQB"})

_COMMENT = re.compile(r"--|/\*|//")
_ELSEWHERE = {
    "LIKE": "LIKE is not in AWS IoT SQL: use startswith, endswith or regexp_matches",
    "BETWEEN": "BETWEEN is not in AWS IoT SQL: use >= and <=",
    "IS": "IS is not in AWS IoT SQL: use isNull or isUndefined",
    "ORDER": "ORDER BY is not in AWS IoT SQL",
    "GROUP": "GROUP BY is not in AWS IoT SQL",
    "HAVING": "HAVING is not in AWS IoT SQL",
    "LIMIT": "LIMIT is not in AWS IoT SQL",
    "JOIN": "JOIN is not in AWS IoT SQL",
    "UNION": "UNION is not in AWS IoT SQL",
}
_SIGNS = {
    "!": "the operator != is not in AWS IoT SQL: use <>",
    "#": "a topic filter must be in single quotes",
    "`": "names in backticks are not in AWS IoT SQL: use get(object, 'key')",
    "|": "the operator || is not in AWS IoT SQL: use + or concat",
    "'": "a string is not closed",
    '"': "a string is not closed",
    ";": "a rule is one statement without a semicolon",
}


class _Keywords:
    """Turns IDENT tokens into keywords by their neighbours, so that payload fields may be called `value` or
    `end`.
    """

    always_accept: ClassVar[tuple[str, ...]] = ()

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        tokens = list(stream)
        cases = 0
        for place, token in enumerate(tokens):
            if token.type != "IDENT" or (place and tokens[place - 1].type in {"DOT", "_AS"}):
                continue
            word = token.upper()
            following = tokens[place + 1].type if place + 1 < len(tokens) else "END"
            keyword = word in _RESERVED
            if word == "CASE":
                keyword = following not in {"DOT", "COMMA", "EQ", "COMPARE", "RPAR", "END"}
                cases += keyword
            elif word in _CASE_PARTS:
                keyword = cases > 0
                cases -= keyword and word == "END"
            elif word == "EXISTS":
                keyword = following == "LPAR"
            elif word == "SET":
                keyword = place == 0
            elif word == "VALUE":
                self._value(tokens, place)
                continue
            if keyword:
                token.type = f"_{word}"
        return iter(tokens)

    @staticmethod
    def _value(tokens: list[Token], place: int) -> None:
        """VALUE is a keyword right after SELECT, unless what follows makes it a field's name."""
        if not place or tokens[place - 1].type != "_SELECT" or place + 1 == len(tokens):
            return
        following = tokens[place + 1]
        if following.type == "STAR":
            # `SELECT VALUE * FROM`, or the product `SELECT value * 2 FROM`
            after = tokens[place + 2] if place + 2 < len(tokens) else None
            is_keyword = after is None or after.type in _ENDS_ITEM or after.upper() in {"FROM", "WHERE", "AS"}
        else:
            is_keyword = following.type not in _AFTER_FIELD and following.upper() not in {
                "FROM",
                "AS",
                "AND",
                "OR",
                "IN",
            }
        if is_keyword:
            tokens[place].type = "VALUE"


@cache
def _lark() -> Lark:
    from lark import Lark  # noqa: PLC0415 - 70 ms that a process which compiles no rule need not pay

    return Lark(
        Path(__file__).with_name("rule.lark").read_text("utf-8"),
        parser="lalr",
        lexer="basic",
        postlex=_Keywords(),
        start=["statement", "expression"],
        propagate_positions=True,
        maybe_placeholders=True,
    )


def parse(sql: str, start: str = "statement") -> Tree[Token]:
    """Parse a statement, or with `start="expression"` what stands in a substitution template.

    Raises RuleSqlError with the position of the first token that does not fit.
    """
    from lark.exceptions import LarkError, UnexpectedInput  # noqa: PLC0415

    _refuse_comments(sql)
    try:
        return _lark().parse(sql, start=start)
    except UnexpectedInput as error:
        _explain(error, sql)
    except LarkError as error:
        raise RuleSqlError(f"the rule cannot be parsed: {str(error).splitlines()[0]}") from error


def _refuse_comments(sql: str) -> None:
    """Refuse `a -- b`, which would be read as `a - (-b)`: AWS IoT SQL has no comments."""
    outside = re.sub(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"", lambda quoted: " " * len(quoted.group()), sql)
    found = _COMMENT.search(outside)
    if found:
        raise RuleSqlError("comments are not supported in AWS IoT SQL", found.start())


def _explain(error: UnexpectedInput, sql: str) -> NoReturn:
    from lark.exceptions import UnexpectedCharacters  # noqa: PLC0415

    place = error.pos_in_stream
    token = getattr(error, "token", None)
    if isinstance(error, UnexpectedCharacters) and place is not None:
        sign = sql[place]
        raise RuleSqlError(_SIGNS.get(sign, f"unexpected {sign!r}"), place) from None
    if token is None or token.type == "$END":
        raise RuleSqlError("the statement ends too early", len(sql)) from None
    if not sql[: token.start_pos].strip() and token.type not in {"_SELECT", "_SET"}:
        raise RuleSqlError("a rule begins with SELECT or SET", token.start_pos) from None
    hint = _ELSEWHERE.get(token.upper())
    if hint is None and token.type == "_WHEN":
        hint = "CASE needs a value before WHEN: for a condition write CASE (a > b) WHEN true THEN r END"
    raise RuleSqlError(hint or f"unexpected {str(token)!r}", token.start_pos) from None
