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
class Plan:
    """What a filled-in template says; None for a resource that it has not."""

    thing: Mapping[str, Any] | None
    certificate: Mapping[str, Any]
    policies: tuple[Mapping[str, Any], ...]
    configuration: dict[str, str] = field(default_factory=dict)


def fill(body: str, parameters: Mapping[str, str]) -> Plan:
    """Fill in a template.

    Args:
        body: its JSON.
        parameters: of the device and the hook, and AWS's own ("AWS::IoT::Certificate::Id").

    Raises:
        TemplateError: a parameter has no value, or a resource or a function is not known.
    """
    template = json.loads(body)
    values = {
        name: declared["Default"]
        for name, declared in template.get("Parameters", {}).items()
        if "Default" in declared
    }
    values |= parameters
    mappings = template.get("Mappings", {})
    thing: Mapping[str, Any] | None = None
    certificate: Mapping[str, Any] = {}
    policies: list[Mapping[str, Any]] = []
    for name, resource in template.get("Resources", {}).items():
        properties = _value(resource.get("Properties", {}), values, mappings)
        match resource.get("Type"):
            case "AWS::IoT::Thing":
                thing = {**properties, "OverrideSettings": resource.get("OverrideSettings", {})}
            case "AWS::IoT::Certificate":
                certificate = properties
            case "AWS::IoT::Policy":
                policies.append(properties)
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
