"""Whatever is thrown at the engine, RuleSqlError is the only thing that comes back as an error."""

import contextlib
import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bridge
from bridge.sql.functions import FUNCTIONS

_SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(10**60), max_value=10**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["5", "-1.5", "1E300", "1E-400", "true", "FALSE", "aGk=", "\ud800", "(", "$1", "yyyy"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcxy"), inner, max_size=3),
    max_leaves=8,
)
_PAYLOADS = st.one_of(
    st.dictionaries(st.sampled_from("abcxy"), _JSON).map(lambda value: json.dumps(value).encode()),
    _JSON.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=40),
    st.sampled_from(
        [b"1e400", b'{"a":1e999}', b'{"a":1e99999}', b'{"a":-0.0}', b'{"a":' + b"9" * 5000 + b"}"]
    ),
)
_LITERALS = st.sampled_from(
    [
        "1",
        "0",
        "-1",
        "2.5",
        "1E300",
        "9E900",
        "'5'",
        "'x'",
        "''",
        "'('",
        "true",
        "null",
        "[1, 'a']",
        "{'a': 1}",
    ]
)
_NAMES = st.sampled_from(["a", "b", "a.b", "c.x.y", "*", "missing", "x[1]", "get(*, 'a')"])
_CASTS = st.sampled_from(["int", "string", "decimal", "double", "boolean"])


def _calls(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    names = [name for name in FUNCTIONS if name not in {"encode", "decode"}]

    def arguments(name: str) -> st.SearchStrategy[str]:
        function = FUNCTIONS[name]
        count = st.integers(function.least, 4 if function.most is None else function.most)
        return count.flatmap(lambda n: st.lists(inner, min_size=n, max_size=n)).map(
            lambda parts: f"{name}({', '.join(parts)})"
        )

    return st.sampled_from(names).flatmap(arguments)


_EXPRESSIONS = st.recursive(
    _LITERALS | _NAMES,
    lambda inner: st.one_of(
        st.tuples(
            inner,
            st.sampled_from(["+", "-", "*", "/", "%", "=", "<>", "<", "<=", ">", ">=", "AND", "OR", "IN"]),
            inner,
        ).map(lambda parts: f"({parts[0]}) {parts[1]} ({parts[2]})"),
        inner.map(lambda part: f"NOT ({part})"),
        inner.map(lambda part: f"-({part})"),
        st.tuples(inner, _CASTS).map(lambda parts: f"cast({parts[0]} AS {parts[1]})"),
        st.tuples(inner, inner, inner).map(
            lambda parts: f"CASE ({parts[0]}) WHEN {parts[1]} THEN {parts[2]} END"
        ),
        st.tuples(inner, inner).map(lambda parts: f"(SELECT *, {parts[0]} AS n FROM ({parts[1]}))"),
        inner.map(lambda part: f"(SELECT VALUE {part} FROM * WHERE {part})"),
        inner.map(lambda part: f"encode({part}, 'base64')"),
        inner.map(lambda part: f"decode({part}, 'base64')"),
        _calls(inner),
    ),
    max_leaves=6,
)
_TOKENS = st.sampled_from(
    [
        "SELECT",
        "VALUE",
        "FROM",
        "WHERE",
        "AS",
        "AND",
        "OR",
        "NOT",
        "IN",
        "EXISTS",
        "CASE",
        "WHEN",
        "THEN",
        "ELSE",
        "END",
        "SET",
        "NULL",
        "TRUE",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ".",
        ":",
        "+",
        "-",
        "*",
        "/",
        "%",
        "=",
        "<>",
        "<",
        ">=",
        "'a'",
        '"b"',
        "'a/+'",
        "1",
        "2.5",
        "a",
        "b",
        "@v",
        "topic()",
        "cast",
        "'",
        "!",
        "#",
        "$",
        "\\",
        "é",
        "\x00",
    ]
)


_SOUP = st.lists(_TOKENS, max_size=14).map(" ".join)
_TEXTS = st.text(max_size=40) | _SOUP | _SOUP.map(lambda soup: f"SELECT {soup}")


@_SETTINGS
@given(sql=_TEXTS)
def test_any_text_compiles_or_is_refused(sql: str):
    """No rule text raises anything but RuleSqlError, as a rule or as a template."""
    for compile_text in (bridge.compile_rule, bridge.compile_template):
        with contextlib.suppress(bridge.RuleSqlError):
            compile_text(sql)


@_SETTINGS
@given(expression=_EXPRESSIONS, payload=_PAYLOADS, topic=st.sampled_from(["a", "a/b", "$aws/rules/r/a", ""]))
def test_any_rule_on_any_payload_gives_json_or_bytes(expression: str, payload: bytes, topic: str):
    """No payload makes a loaded rule raise anything but RuleSqlError, and what comes out can be sent."""
    for version in ("2016-03-23", "2015-10-08"):
        for sql in (
            f"SELECT *, {expression} AS x.y",
            f"SELECT VALUE {expression}",
            f"SELECT a WHERE {expression}",
        ):
            try:
                rule = bridge.compile_rule(sql, version=version)
                outgoing = rule.evaluate(bridge.Message(topic, payload))
            except bridge.RuleSqlError:
                continue
            if outgoing is not bridge.NOT_FIRED:
                assert isinstance(bridge.to_bytes(outgoing), bytes)
    with contextlib.suppress(bridge.RuleSqlError):
        assert isinstance(
            bridge.compile_template(f"x${{{expression}}}").render(bridge.Message(topic, payload)), str
        )
