"""Provisioning templates are filled in as "Provisioning templates" of the developer guide says."""

import json
from typing import Any

import pytest

from bridge.data_plane.templates import TemplateError, fill


def filled(value: Any, **parameters: str) -> Any:
    """Return what a value becomes in a thing's attributes."""
    template = {
        "Parameters": {"Known": {"Type": "String", "Default": "k"}},
        "Mappings": {"Places": {"k": {"Url": "u"}}},
        "Resources": {"thing": {"Type": "AWS::IoT::Thing", "Properties": {"value": value}}},
    }
    thing = fill(json.dumps(template), parameters).thing
    assert thing is not None
    return thing.properties["value"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"Ref": "Known"}, "k"),
        ({"Ref": "AWS::IoT::Certificate::Id"}, "c"),
        ({"Fn::Join": ["-", ["a", {"Ref": "Known"}]]}, "a-k"),
        ({"Fn::Select": ["1", ["a", "b"]]}, "b"),
        ({"Fn::Split": ["|", "a|b"]}, ["a", "b"]),
        ({"Fn::FindInMap": ["Places", {"Ref": "Known"}, "Url"]}, "u"),
        ({"Fn::Sub": "x/${Known}"}, "x/k"),
        ({"Fn::Sub": ["x/${Own}", {"Own": {"Ref": "Known"}}]}, "x/k"),
        ([{"Ref": "Known"}], ["k"]),
        ({"plain": 1}, {"plain": 1}),
    ],
)
def test_functions_and_parameters_become_values(value: Any, expected: Any) -> None:
    assert filled(value, **{"AWS::IoT::Certificate::Id": "c"}) == expected


@pytest.mark.parametrize(
    "value",
    [
        {"Ref": "Missing"},
        {"Fn::Sub": "${Missing}"},
        {"Fn::Select": ["7", ["a"]]},
        {"Fn::FindInMap": ["Places", "x", "Url"]},
        {"Fn::Unheard": []},
    ],
)
def test_what_has_no_value_fails_the_template(value: Any) -> None:
    with pytest.raises(TemplateError):
        filled(value)


def test_a_resource_that_is_not_known_fails_the_template() -> None:
    with pytest.raises(TemplateError, match="AWS::IoT::Other"):
        fill('{"Resources": {"x": {"Type": "AWS::IoT::Other"}}}', {})
