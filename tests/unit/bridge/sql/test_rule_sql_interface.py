"""Compiled rules, messages, templates and errors: what the rest of the bridge builds on."""

import contextlib
import json

import pytest

import bridge
from bridge import NOT_FIRED, Context, Message, MqttProperties, RuleSqlError

TELEMETRY = b'{"station_id":"station-01","temperature_c":25.3,"slots":{"free":4}}'


def test_a_rule_is_compiled_once_and_matches_topics():
    """The runner can ask for the filter, match topics and evaluate any number of messages."""
    rule = bridge.compile_rule("SELECT station_id FROM 'ev/+/telemetry' WHERE temperature_c > 20")
    assert rule.topic_filter == "ev/+/telemetry"
    assert rule.matches("ev/station-01/telemetry")
    assert not rule.matches("ev/station-01/command")
    assert rule.evaluate(Message("ev/station-01/telemetry", TELEMETRY)) == {"station_id": "station-01"}
    assert rule.evaluate(Message("ev/station-01/telemetry", b'{"temperature_c": 5}')) is NOT_FIRED


def test_a_rule_without_from_answers_to_basic_ingest_alone():
    """FROM is optional for Basic Ingest, so such a rule matches no ordinary topic."""
    rule = bridge.compile_rule("SELECT *")
    assert rule.topic_filter is None
    assert not rule.matches("any/topic")
    assert bridge.basic_ingest("$aws/rules/my_rule/a/b") == ("my_rule", "a/b")
    assert bridge.basic_ingest("$aws/rules/my_rule") == ("my_rule", "")
    assert bridge.basic_ingest("a/b") is None


def test_not_fired_cannot_be_taken_for_a_payload():
    """JSON null, false and the empty object are payloads; NOT_FIRED is none of them."""
    null = bridge.evaluate("SELECT VALUE NULL FROM 'a'", "a", {})
    assert null is None
    assert NOT_FIRED is not None
    assert not NOT_FIRED
    for payload in (None, False, 0, "", {}, []):
        assert payload != NOT_FIRED


@pytest.mark.parametrize(
    "payload", [b'{"a": [1, 2]}', '{"a": [1, 2]}', {"a": [1, 2]}, bytearray(b'{"a": [1, 2]}')]
)
def test_a_payload_may_be_bytes_text_or_decoded(payload):
    """evaluate() takes what was published in whichever form the caller holds it."""
    assert bridge.evaluate("SELECT a FROM 't'", "t", payload) == {"a": [1, 2]}


def test_the_incoming_payload_is_never_changed():
    """An alias within an object that `*` brought makes a copy: a second evaluation starts afresh."""
    rule = bridge.compile_rule("SELECT *, 1 AS slots.extra, 2 AS slots.more FROM 't'")
    message = Message("t", TELEMETRY)
    first = rule.evaluate(message)
    assert first == rule.evaluate(message)
    assert first["slots"] == {"free": 4, "extra": 1, "more": 2}


def test_the_account_comes_from_the_context():
    """accountid() is a property of the rule's owner, not of the message."""
    rule = bridge.compile_rule(
        "SELECT accountid() AS id FROM 't'", context=Context(account_id="123456789012")
    )
    assert rule.evaluate(Message("t", b"{}")) == {"id": "123456789012"}


def test_mqtt5_properties_reach_the_rule():
    """get_mqtt_property and get_user_properties give what came with the PUBLISH."""
    properties = MqttProperties(
        "text/plain", True, "reply/here", b"\x01\x02", (("k", "1"), ("o", "x"), ("k", "2"))
    )
    sql = (
        "SELECT get_mqtt_property('content_type') AS c, get_mqtt_property('format_indicator') AS f,"
        " get_mqtt_property('response_topic') AS r, get_mqtt_property('correlation_data') AS d,"
        " get_mqtt_property('other') AS other, get_user_properties('k') AS k, get_user_properties('none') AS n,"
        " get_user_properties() AS all FROM 't'"
    )
    assert bridge.evaluate(sql, "t", b"", properties=properties) == {
        "c": "text/plain",
        "f": "UTF8_DATA",
        "r": "reply/here",
        "d": "AQI=",
        "k": ["1", "2"],
        "all": [{"k": "1"}, {"o": "x"}, {"k": "2"}],
    }
    assert bridge.evaluate(
        "SELECT get_mqtt_property('format_indicator') AS f FROM 't'", "t", b"", properties=MqttProperties()
    ) == {"f": "UNSPECIFIED_BYTES"}


def test_a_trace_id_is_one_per_message():
    """traceid() is made up once for a message that came over MQTT."""
    made = bridge.evaluate("SELECT traceid() AS a, traceid() AS b FROM 't'", "t", b"", client_id="c")
    assert made["a"] == made["b"]
    assert len(made["a"]) == 36


def test_outgoing_payloads_serialise_as_an_action_sends_them():
    """JSON is compact UTF-8, bytes go through untouched."""
    assert bridge.to_bytes({"a": [1, None, "é"]}) == '{"a":[1,null,"é"]}'.encode()
    assert bridge.to_bytes(b"\xff\x00") == b"\xff\x00"
    assert bridge.to_bytes(None) == b"null"


def test_whole_decimals_are_ints_on_output():
    """Version 2016-03-23 writes 5 and not 5.0; version 2015-10-08 keeps what came."""
    assert (
        json.dumps(bridge.evaluate("SELECT 2.5 * 2 AS x, y FROM 't'", "t", '{"y": 10.0}'))
        == '{"x": 5, "y": 10}'
    )
    old = bridge.evaluate("SELECT 2.5 * 2 AS x, y FROM 't'", "t", '{"y": 10.0}', version="2015-10-08")
    assert json.dumps(old) == '{"x": 5.0, "y": 10.0}'


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff\xfe",
        b"plain",
        b'{"a":1',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'"text"',
        b"80",
        b"true",
        b"null",
        b'"\\ud800"',
    ],
)
def test_payloads_that_are_no_object_go_through_whole(payload):
    """`SELECT *` loses nothing: what is not JSON comes out as the same bytes, JSON as the same JSON."""
    outgoing = bridge.evaluate("SELECT * FROM 't'", "t", payload)
    assert outgoing == payload or outgoing == json.loads(payload)
    assert bridge.evaluate("SELECT a FROM 't'", "t", payload) == {}
    assert bridge.evaluate("SELECT encode(*, 'base64') AS p FROM 't'", "t", payload)["p"] is not None


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("plain", "plain"),
        ("", ""),
        ("${topic()}/republish", "ev/station-01/telemetry/republish"),
        ("key/${station_id}-${temperature_c * 2}", "key/station-01-50.6"),
        ("${missing}", ""),
        ("a${null}b", "ab"),
        ("${slots}", '{"free":4}'),
        ("${get({'k': '}'}, 'k')}", "}"),
        ("${replace(topic(), '/', '-') + '-' + timestamp()}", "ev-station-01-telemetry-1700000000000"),
        ("${parse_time('yyyy', timestamp(), 'UTC')}", "2023"),
        ("$ {x} }", "$ {x} }"),
        ("${slots.free > 3}", "true"),
    ],
)
def test_templates_render_from_the_incoming_message(template, expected):
    """${...} holds any expression; it sees the payload, functions and operators, not the aliases of SELECT."""
    message = Message("ev/station-01/telemetry", TELEMETRY, now_ms=1_700_000_000_000)
    compiled = bridge.compile_template(template)
    assert compiled.render(message) == expected
    assert compiled.is_constant == ("${" not in template)


def test_templates_see_the_variables_of_their_rule():
    """SET variables can be used in substitution templates of the same rule."""
    rule = bridge.compile_rule("SET @half = temperature_c / 2 SELECT @half AS half FROM 't'")
    assert rule.compile_template("t-${@half}C.json").render(Message("t", TELEMETRY)) == "t-12.65C.json"
    with pytest.raises(RuleSqlError, match="@half is not set"):
        bridge.compile_template("t-${@half}C.json")


@pytest.mark.parametrize(
    ("template", "fault", "position"),
    [
        ("a${", "not closed", 1),
        ("a${topic(", "not closed", 1),
        ("${}", "too early", 2),
        ("x/${nosuch()}", "unknown function nosuch()", 4),
        ("x/${a b}", "unexpected 'b'", 6),
        ("${get_thing_shadow('t', 'role')}", "get_thing_shadow()", 2),
    ],
)
def test_a_bad_template_is_refused_with_its_place(template, fault, position):
    """A template is refused when the rule is loaded, not when the first message comes."""
    with pytest.raises(RuleSqlError) as refusal:
        bridge.compile_template(template)
    assert fault in str(refusal.value)
    assert refusal.value.position == position


@pytest.mark.parametrize(
    ("sql", "position"),
    [
        ("SELECT nosuch() FROM 't'", 7),
        ("SELECT a FROM 't' WHERE b != 1", 26),
        ("SELECT a AS FROM 't'", 17),
        ("SELECT a, 'b FROM t", 10),
        ("SELECT aws_lambda('x', *) FROM 't'", 7),
        ("SELECT a FROM 't' WHERE", 23),
    ],
)
def test_errors_point_to_the_place(sql, position):
    """An error names its position, 0-based, and says it in the message, counted from 1."""
    with pytest.raises(RuleSqlError) as refusal:
        bridge.compile_rule(sql)
    assert refusal.value.position == position
    assert f"at character {position + 1}" in str(refusal.value)


def test_deep_nesting_is_an_error_and_no_crash():
    """Neither a rule nor a payload can exhaust the stack of the bridge."""
    with pytest.raises(RuleSqlError):
        bridge.compile_rule("SELECT " + "(" * 20_000 + "1" + ")" * 20_000 + " FROM 't'")
    deep = b"[" * 100_000 + b"]" * 100_000
    assert bridge.evaluate("SELECT * FROM 't'", "t", deep) == deep
    nested = b'{"a":' * 900 + b"1" + b"}" * 900
    with contextlib.suppress(RuleSqlError):
        bridge.evaluate("SELECT lower(a) AS x, a = a AS y FROM 't'", "t", nested)


def test_default_names():
    """Without AS, a path is called by its last member, a function by its name, the rest by its own text."""
    sql = "SELECT a.b, upper(c), (d + 1) * 2, get(a, 'b').x, cast(d AS int), 5, a.list[0] FROM 't'"
    outgoing = bridge.evaluate(sql, "t", {"a": {"b": {"x": 1}, "list": [9]}, "c": "x", "d": 2})
    assert outgoing == {"b": {"x": 1}, "upper": "X", "(d + 1) * 2": 6, "x": 1, "cast": 2, "5": 5, "list": 9}
