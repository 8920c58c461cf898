"""Derives from ``terraform/`` a configuration that the old provider takes, and lists what it had to drop.

Every dropped resource or argument becomes part of an output, so that Terraform itself computes its
value; `testbed.deploy.airgap.finish` sets it by the AWS API. What `finish` could not set is an error here, before
anything is applied: nothing is dropped in silence.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hcl2
from hcl2 import SerializationOptions
from lark.exceptions import UnexpectedInput

from testbed.deploy.airgap import provider
from testbed.deploy.airgap.finish import DROPPED_OUTPUT, FINISHERS
from testbed.errors import TestbedError

# Arguments that every resource may have: Terraform's own, in no provider's schema.
_META = {"count", "for_each", "depends_on", "lifecycle", "provider"}

# Arguments that the provider knows but whose newer values it refuses; it gets this one instead.
_REFUSED_VALUES = {("aws_lambda_function", "runtime"): "python3.8"}

# The same resource under the name that it had then.
_RENAMED = {"aws_s3_object": "aws_s3_bucket_object"}

_COUNTED = re.compile(r"\b(aws_\w+\.\w+)\[0\]\.(\w+)")

_OPTIONS = SerializationOptions(strip_string_quotes=True, explicit_blocks=False, with_comments=False)

Json = dict[str, Any]


def derive(source: Path, schema: Json) -> tuple[Json, list[str]]:
    """Derive the configuration.

    Args:
        source: folder of ``.tf`` files.
        schema: the old provider's, as ``terraform providers schema -json`` gives it.

    Returns:
        The configuration in Terraform's JSON syntax, and the names of what was dropped from it.

    Raises:
        TestbedError: something must be dropped that `testbed.deploy.airgap.finish` cannot set afterwards.
    """
    merged: Json = {}
    for file in sorted(source.glob("*.tf")):
        try:
            read = hcl2.loads(file.read_text(), serialization_options=_OPTIONS)
        except UnexpectedInput as error:
            raise TestbedError(
                f"{file}:{error.line}: this is not HCL.", "terraform fmt says more."
            ) from error
        for kind, blocks in read.items():
            merged.setdefault(kind, []).extend(blocks)

    _refuse_others(merged)
    merged["terraform"] = [{**block, **provider.requirement()} for block in merged.get("terraform", [{}])]
    dropped: list[Json] = []
    resources: list[Json] = []
    for written, name, body in _resources(merged.get("resource", [])):
        kind = _RENAMED.get(written, written)
        known = schema["resource_schemas"].get(kind)
        if known is None:
            dropped.append(_dropped_whole(kind, name, body))
            continue
        resources.append({kind: {name: _prune(kind, name, body, known["block"], dropped)}})
    merged["resource"] = resources

    gone = {f"{drop['type']}.{drop['name']}" for drop in dropped if drop["argument"] is None}
    for _, _, body in _resources(resources):
        if "depends_on" in body:
            body["depends_on"] = [item for item in map(_bare, body["depends_on"]) if item not in gone]
    for block in merged.get("variable", []):
        for variable in block.values():
            if "type" in variable:
                variable["type"] = _bare(variable["type"])

    unknown = [_label(drop) for drop in dropped if (drop["type"], drop["argument"]) not in FINISHERS]
    if unknown:
        raise TestbedError(
            f"The air-gapped mode cannot set {', '.join(unknown)}: provider {provider.VERSION} does not know it.",
            "Add a finisher to testbed/deploy/airgap/finish.py, or apply where the Terraform registry can be reached.",
        )
    merged.setdefault("output", []).append({DROPPED_OUTPUT: {"value": dropped}})
    return merged, [_label(drop) for drop in dropped]


def _refuse_others(merged: Json) -> None:
    """Refuse by name what needs the registry: modules, and resources of other providers than aws."""
    modules = [f"module.{name}" for block in merged.get("module", []) for name in block]
    foreign = [
        f"{prefix}{kind}.{name}"
        for prefix, blocks in (("", merged.get("resource", [])), ("data.", merged.get("data", [])))
        for kind, name, _ in _resources(blocks)
        if not kind.startswith(("aws_", "terraform_"))
    ]
    if found := modules + foreign:
        raise TestbedError(
            f"The air-gapped mode cannot derive {', '.join(found)}: it has the aws provider alone, and no modules.",
            "Apply where the Terraform registry can be reached.",
        )


def _resources(blocks: list[Json]) -> Iterator[tuple[str, str, Json]]:
    for block in blocks:
        for kind, named in block.items():
            for name, body in named.items():
                yield kind, name, body


def _prune(kind: str, name: str, body: Json, block: Json, dropped: list[Json]) -> Json:
    attributes, blocks = block.get("attributes", {}), block.get("block_types", {})
    kept: Json = {}
    for argument, value in body.items():
        if argument in _META or argument in blocks:
            kept[argument] = value
            _drop_known_nested(kind, None if "for_each" in body else name, argument, value, dropped)
            _refuse_unknown_nested(kind, argument, value, blocks.get(argument))
        elif argument in attributes and (kind, argument) not in _REFUSED_VALUES:
            kept[argument] = value
        else:
            if "for_each" in body:
                raise TestbedError(
                    f"The air-gapped mode cannot drop {argument} from {kind}.{name}, which has for_each.",
                    "Apply where the Terraform registry can be reached.",
                )
            dropped.append(
                {
                    "type": kind,
                    "name": name,
                    "argument": argument,
                    "value": value,
                    "id": _id(kind, name),
                }
            )
            if (kind, argument) in _REFUSED_VALUES:
                kept[argument] = _REFUSED_VALUES[kind, argument]
                # A second apply must not set it back.
                kept.setdefault("lifecycle", [{}])[0].setdefault("ignore_changes", []).append(argument)
    return kept


def _dropped_whole(kind: str, name: str, body: Json) -> Json:
    """Return a resource that is not there; what it says of others must hold where their switch is off."""
    return {
        "type": kind,
        "name": name,
        "argument": None,
        "value": _tolerant(_without_meta(body)),
        "count": body.get("count", 1),
    }


def _tolerant(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _tolerant(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_tolerant(part) for part in value]
    return _COUNTED.sub(r"one(\1[*].\2)", value) if isinstance(value, str) else value


def _id(kind: str, name: str) -> str:
    """Return what `finish` needs to find the deployed thing; null where a switch has left it out."""
    return f"${{one({kind}.{name}[*].id)}}"


def _drop_known_nested(kind: str, name: str | None, argument: str, value: Any, dropped: list[Json]) -> None:
    """Take out of a block what has a finisher of its own, which knows its value: that may name what is dropped."""
    for block in value if isinstance(value, list) else []:
        for nested in [nested for nested in block if (kind, f"{argument}.{nested}") in FINISHERS]:
            del block[nested]
            dropped.append(
                {
                    "type": kind,
                    "name": name or "*",
                    "argument": f"{argument}.{nested}",
                    "value": None,
                    # Of a resource with for_each there are many, and no finisher wants them.
                    "id": None if name is None else _id(kind, name),
                }
            )


def _refuse_unknown_nested(kind: str, argument: str, value: Any, block_type: Json | None) -> None:
    if block_type is None:
        return
    known = block_type["block"]
    names = set(known.get("attributes", {})) | set(known.get("block_types", {}))
    for block in value if isinstance(value, list) else [value]:
        for nested, content in _undynamic(block).items():
            if nested not in names:
                raise TestbedError(
                    f"The air-gapped mode cannot drop {argument}.{nested} from {kind}: it is inside a block.",
                    "Apply where the Terraform registry can be reached.",
                )
            _refuse_unknown_nested(kind, nested, content, known.get("block_types", {}).get(nested))


def _undynamic(block: Json) -> Json:
    """Return a block with what its ``dynamic`` blocks would make in their place."""
    made = {
        name: template["content"]
        for dynamic in block.get("dynamic", [])
        for name, template in dynamic.items()
    }
    return {name: content for name, content in block.items() if name != "dynamic"} | made


def _bare(expression: str) -> str:
    """Return an expression without its ``${}``: Terraform's JSON wants references and types as plain words."""
    return expression.removeprefix("${").removesuffix("}")


def _without_meta(body: Json) -> Json:
    return {argument: value for argument, value in body.items() if argument not in _META}


def _label(drop: Json) -> str:
    name = f"{drop['type']}.{drop['name']}"
    return f"{name}.{drop['argument']}" if drop["argument"] else name


def provider_block(text: str, schema: Json) -> str:
    """tflocal's provider override, in the old provider's words.

    tflocal leaves out endpoints that the old provider knows by another name (``logs`` was
    ``cloudwatchlogs``), and a call without an endpoint would go to AWS itself. So every endpoint that the
    old provider has is set: to what tflocal says of it, or else to where tflocal sends SQS.
    """
    [endpoints] = [schema["provider"]["block"]["block_types"]["endpoints"]["block"]["attributes"]]
    given: dict[str, str] = dict(re.findall(r'^\s*(\w+)\s*=\s*"(http[^"]+)"', text, re.MULTILINE))
    lines = [f'    {name} = "{given.get(name, given["sqs"])}"' for name in sorted(endpoints)]
    head, _, _ = text.partition("endpoints {")
    # S3 by path had another name then.
    head = head.replace("s3_use_path_style", "s3_force_path_style")
    return head + "endpoints {\n" + "\n".join(lines) + "\n  }\n}\n"
