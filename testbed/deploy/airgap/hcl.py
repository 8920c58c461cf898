"""Terraform's configuration language, read into Terraform's JSON syntax and written back as expressions."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hcl2
from hcl2 import SerializationOptions
from lark.exceptions import UnexpectedInput

from testbed.errors import TestbedError

_HEREDOC = re.compile(r"<<(?P<indented>-?)(\w+)\n(?P<text>(?:.*?\n)??)\s*\2\s*", re.DOTALL | re.MULTILINE)

_OPTIONS = SerializationOptions(strip_string_quotes=True, explicit_blocks=False, with_comments=False)

Json = dict[str, Any]


def read(folder: Path) -> Json:
    """Return all ``.tf`` files of a folder as one, in Terraform's JSON syntax.

    Raises:
        TestbedError: one is not HCL, or there is none.
    """
    files = sorted(folder.glob("*.tf"))
    if not files:
        raise TestbedError(f"{folder} has no .tf file, and a module names it.")
    merged: Json = {}
    for file in files:
        try:
            found = hcl2.loads(f"{file.read_text(encoding='utf-8')}\n", serialization_options=_OPTIONS)
        except UnexpectedInput as error:
            raise TestbedError(
                f"{file}:{error.line}: this is not HCL.", "terraform fmt says more."
            ) from error
        except UnicodeDecodeError as error:
            raise TestbedError(f"{file} is not UTF-8, which Terraform wants.") from error
        for kind, blocks in found.items():
            merged.setdefault(kind, []).extend(_without_heredocs(blocks))
    return merged


def resources(blocks: list[Json]) -> Iterator[tuple[str, str, Json]]:
    """Yield the type, the name and the body of each resource or data source."""
    for block in blocks:
        for kind, named in block.items():
            for name, body in named.items():
                yield kind, name, body


def undynamic(block: Json) -> Json:
    """Return a block with what its ``dynamic`` blocks would make in their place."""
    made = {
        name: template["content"]
        for dynamic in block.get("dynamic", [])
        for name, template in dynamic.items()
    }
    return {name: content for name, content in block.items() if name != "dynamic"} | made


def expression(value: Any) -> str:
    """Return a value of Terraform's JSON syntax as an expression of its language."""
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f"{json.dumps(name)} = {expression(part)}" for name, part in value.items()) + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(expression(part) for part in value) + "]"
    if not isinstance(value, str):
        return json.dumps(value)
    inner = re.fullmatch(r"\$\{(.*)\}", value, re.DOTALL)
    return f"({inner[1]})" if inner and "${" not in inner[1] else json.dumps(value, ensure_ascii=False)


def bare(expression: str) -> str:
    """Return an expression without its ``${}``: Terraform's JSON wants references and types as plain words."""
    return expression.removeprefix("${").removesuffix("}")


def bare_words(merged: Json) -> None:
    """Take the ``${}`` off references and key words, which Terraform's JSON wants as plain words."""
    for block in merged.get("variable", []):
        for variable in block.values():
            if "type" in variable:
                variable["type"] = bare(variable["type"])
    for section in ("resource", "data"):
        for _, _, body in resources(merged.get(section, [])):
            _bare_meta(body)
    for block in merged.get("module", []):
        for call in block.values():
            _bare_meta(call)
            if "providers" in call:
                call["providers"] = {name: bare(value) for name, value in call["providers"].items()}
    for block in merged.get("output", []):
        for output in block.values():
            if "depends_on" in output:
                output["depends_on"] = [bare(each) for each in output["depends_on"]]
    for block in merged.get("moved", []):
        block |= {name: bare(value) for name, value in block.items()}


def _bare_meta(body: Json) -> None:
    if "depends_on" in body:
        body["depends_on"] = [bare(each) for each in body["depends_on"]]
    if isinstance(body.get("provider"), str):
        body["provider"] = bare(body["provider"])
    for lifecycle in body.get("lifecycle", []) if isinstance(body.get("lifecycle"), list) else []:
        for name in ("ignore_changes", "replace_triggered_by"):
            if name in lifecycle:
                written = lifecycle[name]
                lifecycle[name] = (
                    [bare(each) for each in written] if isinstance(written, list) else bare(written)
                )
    for provisioners in body.get("provisioner", []):
        for provisioner in provisioners.values():
            for name in ("when", "on_failure"):
                if name in provisioner:
                    provisioner[name] = bare(provisioner[name])


def _without_heredocs(value: Any) -> Any:
    """Return it with the text of heredocs, which the parser leaves as they are written."""
    if isinstance(value, dict):
        return {name: _without_heredocs(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_without_heredocs(part) for part in value]
    if not isinstance(value, str) or not (found := _HEREDOC.fullmatch(value)):
        return value
    lines = found["text"].splitlines()
    margin = 0
    if found["indented"]:
        margin = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "".join(f"{line[margin:]}\n" for line in lines)
