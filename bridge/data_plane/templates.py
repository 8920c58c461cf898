"""Provisioning templates: parameters, functions and resources ("Provisioning templates", developer guide)."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_REFERENCE = re.compile(r"\$\{([^}]+)\}")


class TemplateError(ValueError):
    """A template that cannot be filled in."""


@dataclass(frozen=True)
class Resource:
    """A resource of a template: its name there, its type, its properties and its ``OverrideSettings``."""

    name: str
    kind: str
    properties: Mapping[str, Any]
    overrides: Mapping[str, str]


@dataclass(frozen=True)
class Plan:
    """What a filled-in template says; None for a resource that it has not."""

    thing: Resource | None
    certificate: Resource | None
    policies: tuple[Resource, ...]
    configuration: dict[str, str] = field(default_factory=dict)


def fill(body: str, parameters: Mapping[str, str]) -> Plan:
    """Fill in a template.

    Args:
        body: its JSON.
        parameters: of the device and the hook, and AWS's own ("AWS::IoT::Certificate::Id").

    Raises:
        TemplateError: a parameter has no value, or a resource or a function is not known.
    """
    try:
        template = json.loads(body)
    except ValueError as error:
        raise TemplateError(f"the template is not JSON: {error}") from error
    values = {
        name: declared["Default"]
        for name, declared in template.get("Parameters", {}).items()
        if "Default" in declared
    }
    values |= parameters
    for name in template.get("Parameters", {}):
        _reference(name, values)
    mappings = template.get("Mappings", {})
    thing: Resource | None = None
    certificate: Resource | None = None
    policies: list[Resource] = []
    for name, written in template.get("Resources", {}).items():
        properties = _value(written.get("Properties", {}), values, mappings)
        resource = Resource(name, written.get("Type", ""), properties, written.get("OverrideSettings", {}))
        match resource.kind:
            case "AWS::IoT::Thing":
                thing = resource
            case "AWS::IoT::Certificate":
                certificate = resource
            case "AWS::IoT::Policy":
                policies.append(resource)
            case kind:
                raise TemplateError(f"resource {name} has the type {kind}, which is not known")
    configuration = _value(template.get("DeviceConfiguration", {}), values, mappings)
    return Plan(thing, certificate, tuple(policies), configuration)


def _value(node: Any, values: Mapping[str, str], mappings: Mapping[str, Any]) -> Any:
    if isinstance(node, list):
        return [_value(one, values, mappings) for one in node]
    if not isinstance(node, dict):
        return node
    if len(node) == 1:
        [(name, argument)] = node.items()
        if name == "Ref":
            return _reference(argument, values)
        if name.startswith("Fn::"):
            return _function(name, _value(argument, values, mappings), values, mappings)
    return {name: _value(one, values, mappings) for name, one in node.items()}


def _reference(name: str, values: Mapping[str, str]) -> str:
    if name not in values:
        raise TemplateError(f"parameter {name} has no value")
    return values[name]


def _function(name: str, argument: Any, values: Mapping[str, str], mappings: Mapping[str, Any]) -> Any:
    try:
        match name:
            case "Fn::Join":
                return str(argument[0]).join(argument[1])
            case "Fn::Select":
                return argument[1][int(argument[0])]
            case "Fn::Split":
                return argument[1].split(argument[0])
            case "Fn::FindInMap":
                return mappings[argument[0]][argument[1]][argument[2]]
            case "Fn::Sub":
                text, own = (argument, {}) if isinstance(argument, str) else argument
                known = {**values, **own}
                return _REFERENCE.sub(lambda found: _reference(found[1], known), text)
            case _:
                raise TemplateError(f"function {name} is not known")
    except (KeyError, IndexError, TypeError, ValueError) as error:
        if isinstance(error, TemplateError):
            raise
        raise TemplateError(f"{name} cannot be worked out: {error}") from error
