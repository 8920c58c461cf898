"""Every parameter of every action of the API is done, or refuses the rule by its name."""

from functools import cache
from typing import Any

import boto3
import botocore.loaders
import pytest
from botocore.model import ListShape, ServiceModel, Shape, StructureShape

from bridge.actions.base import UnsupportedActionError
from bridge.actions.catalogue import BUILDERS, build
from bridge.sql import Context, RuleSqlError, compile_rule

RULE = compile_rule("SELECT * FROM 't'")
_MODEL = ServiceModel(botocore.loaders.Loader().load_service_model("iot", "service-2"), "iot")
_ACTION = _MODEL.shape_for("Action")
assert isinstance(_ACTION, StructureShape)
ACTIONS = _ACTION.members
VALUES = {"url": "https://example.org/x", "qos": 1, "separator": ",", "payloadFormatIndicator": "UTF8_DATA"}
# Not done yet, or nothing to do here: each must refuse.
REFUSED = {"http": {"auth", "enableBatching", "batchConfig"}}


@cache
def client_of(service: str) -> Any:
    make: Any = boto3.Session("test", "test", region_name="eu-central-1").client
    return make(service, endpoint_url="http://127.0.0.1:9")


class Clients:
    """Makes clients that nobody calls."""

    def client(self, service: str) -> Any:
        return client_of(service)

    def publish(self, *_: Any) -> None:
        raise AssertionError


def sample(name: str, shape: Shape) -> Any:
    """Make a value that the API takes."""
    if isinstance(shape, StructureShape):
        return {inner: sample(inner, found) for inner, found in shape.members.items()}
    if isinstance(shape, ListShape):
        return [sample(name, shape.member)]
    if shape.type_name == "boolean":
        return True
    if shape.type_name == "integer":
        return VALUES.get(name, 1)
    if shape.type_name == "map":
        return {"k": "v"}
    enum = getattr(shape, "enum", None)
    return VALUES.get(name, enum[0] if enum else "x")


def minimal(shape: StructureShape) -> dict[str, Any]:
    """List the members that the API demands."""
    return {
        name: minimal(found) if isinstance(found, StructureShape) else sample(name, found)
        for name, found in shape.members.items()
        if name in shape.required_members
    }


MEMBERS = [(action, name) for action in BUILDERS for name in ACTIONS[action].members]


@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_an_action_of_the_api_is_built_or_refused_by_name(action: str) -> None:
    shape = ACTIONS[action]
    assert isinstance(shape, StructureShape)
    if action in BUILDERS:
        assert build({action: minimal(shape)}, Clients(), RULE).name == action
        return
    with pytest.raises(UnsupportedActionError, match=action):
        build({action: minimal(shape)}, Clients(), RULE)


@pytest.mark.parametrize(("action", "member"), MEMBERS)
def test_a_parameter_is_read_or_refused_by_name(action: str, member: str) -> None:
    shape = ACTIONS[action]
    assert isinstance(shape, StructureShape)
    definition = {action: minimal(shape) | {member: sample(member, shape.members[member])}}
    if action == "dynamoDB" and member.startswith("rangeKey"):
        definition[action] |= {"rangeKeyField": "r", "rangeKeyValue": "v"}
    if member in REFUSED.get(action, ()):
        with pytest.raises(UnsupportedActionError, match=member):
            build(definition, Clients(), RULE)
    else:
        build(definition, Clients(), RULE)


@pytest.mark.parametrize(
    ("action", "member"), [pair for pair in MEMBERS if pair[1] in ACTIONS[pair[0]].required_members]
)
def test_what_the_api_demands_is_demanded(action: str, member: str) -> None:
    """roleArn above all: AWS has no action without the role that it may act as."""
    shape = ACTIONS[action]
    assert isinstance(shape, StructureShape)
    definition = {name: value for name, value in minimal(shape).items() if name != member}
    with pytest.raises(UnsupportedActionError, match=f"{member}|missing"):
        build({action: definition}, Clients(), RULE)


@pytest.mark.parametrize("action", sorted(BUILDERS))
def test_a_parameter_that_nobody_knows_refuses_the_rule(action: str) -> None:
    shape = ACTIONS[action]
    assert isinstance(shape, StructureShape)
    with pytest.raises(UnsupportedActionError, match="tomorrowsParameter"):
        build({action: minimal(shape) | {"tomorrowsParameter": "x"}}, Clients(), RULE)


@pytest.mark.parametrize(
    ("action", "member"),
    [
        ("sqs", "roleArn"),
        ("s3", "cannedAcl"),
        ("sns", "messageFormat"),
        ("republish", "qos"),
        ("firehose", "separator"),
    ],
)
def test_a_template_where_aws_takes_none_refuses_the_rule(action: str, member: str) -> None:
    """The pages <action>-rule-action.md say which parameters take substitution templates."""
    shape = ACTIONS[action]
    assert isinstance(shape, StructureShape)
    with pytest.raises(UnsupportedActionError, match=f"{member}.*substitution template"):
        build({action: minimal(shape) | {member: "${x}"}}, Clients(), RULE)


def test_an_error_action_calls_no_other_service() -> None:
    """rule-error-handling: any function "except for external functions"."""
    action = {"s3": {"bucketName": "b", "key": "${aws_lambda('f', *)}", "roleArn": "r"}}

    class Nobody:
        def call(self, *_: Any) -> Any:
            raise AssertionError

    rule = compile_rule("SELECT * FROM 't'", context=Context(outside=Nobody()))
    build(action, Clients(), rule)
    with pytest.raises(RuleSqlError, match="error action cannot call aws_lambda"):
        build(action, Clients(), rule, is_error_action=True)
