"""Derives from ``terraform/`` a configuration that the old provider takes, and lists what it had to drop.

Every dropped resource or argument becomes the input of a ``terraform_data`` beside it, with the same ``count`` or
``for_each``, so that Terraform itself computes its value, in modules, too; `testbed.deploy.airgap.finish` sets it by
the AWS API. What `finish` could not set is an error here, before anything is applied: nothing is dropped in silence.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hcl2
from hcl2 import SerializationOptions
from lark.exceptions import UnexpectedInput

from testbed.deploy.airgap import provider
from testbed.deploy.airgap.finish import DROPPED, FINISHERS, VALUELESS
from testbed.errors import TestbedError

# Arguments that every resource may have: Terraform's own, in no provider's schema.
_META = {"count", "for_each", "depends_on", "lifecycle", "provider", "provisioner", "connection"}

# Arguments that the provider knows but whose newer values it refuses; it gets this one instead.
_REFUSED_VALUES = {("aws_lambda_function", "runtime"): "python3.8"}

# Arguments that it wants where a newer provider may go without, as a stream on demand; it gets these in place of null.
_WANTED = {("aws_kinesis_stream", "shard_count"): 1}

# What it may not be told to ignore: a table on demand that becomes a provisioned one must learn its units.
_NOT_IGNORED = {("aws_dynamodb_table", "read_capacity"), ("aws_dynamodb_table", "write_capacity")}

# The same resource under the name that it had then.
_RENAMED = {"aws_s3_object": "aws_s3_bucket_object"}

# The same argument under the name that it had then.
_RENAMED_ARGUMENTS = {("aws_db_instance", "db_name"): "name"}

# A reference to an attribute of a resource.
_REFERENCE = re.compile(r"(?<![\w.])(aws_\w+)\.(\w+)\.(\w+)")

# The argument that is the id of a resource that is dropped; `name` of the others.
_NATURAL_IDS = {
    kind: "bucket" for kind, argument in FINISHERS if kind.startswith("aws_s3_bucket_") and not argument
}

# Blocks of a bucket's website that were arguments then, and what is in them.
_WEBSITE = {"index_document": "suffix", "error_document": "key"}

# What hashicorp/aws 6 calls `region` was `name`.
_NEWER_REGION = re.compile(r"\b(data\.aws_region\.\w+)\.region\b")

# Arguments of the provider that say whose account it is: a local cloud's is nobody's.
_CREDENTIALS = {
    "access_key",
    "secret_key",
    "token",
    "profile",
    "shared_credentials_file",
    "shared_credentials_files",
    "shared_config_files",
    "assume_role",
    "assume_role_with_web_identity",
    "allowed_account_ids",
    "forbidden_account_ids",
}

_HEREDOC = re.compile(r"<<(?P<indented>-?)(\w+)\n(?P<text>(?:.*?\n)??)\s*\2\s*", re.DOTALL | re.MULTILINE)

_OPTIONS = SerializationOptions(strip_string_quotes=True, explicit_blocks=False, with_comments=False)

Json = dict[str, Any]


@dataclass
class Derived:
    """What came of a configuration.

    ``folders`` maps each folder with a module, relative to the root module's, to its configuration in Terraform's JSON
    syntax; ``dropped`` names what was dropped, and ``stand_ins`` the small providers that it needs.
    """

    folders: dict[Path, Json] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    stand_ins: set[str] = field(default_factory=set)


def derive(source: Path, schema: Json, leave_out: Sequence[str] = ()) -> Derived:
    """Derive the configuration, with the modules that are folders.

    Args:
        source: folder of the root module's ``.tf`` files.
        schema: the old provider's, as ``terraform providers schema -json`` gives it.
        leave_out: see `without`.

    Raises:
        TestbedError: something must be dropped that `testbed.deploy.airgap.finish` cannot set afterwards.
    """
    made, refused, to_do = Derived(), [], [Path()]
    while to_do:
        folder = to_do.pop()
        if folder in made.folders:
            continue
        merged = read(source / folder)
        if folder == Path():
            without(merged, leave_out)
        module = _Module(merged, "" if folder == Path() else f"{folder}: ", schema)
        made.folders[folder] = module.derive()
        made.dropped += module.names
        made.stand_ins |= module.stand_ins
        refused += module.refused
        to_do += [Path(os.path.normpath(folder / each)) for each in module.calls]
    if refused:
        raise TestbedError(
            f"The air-gapped mode cannot derive {', '.join(refused)}.",
            f"Apply where the Terraform registry can be reached; here there are provider aws {provider.VERSION}, "
            f"stand-ins for {', '.join(provider.STAND_INS)}, and modules in folders of the project.",
        )
    for folder, configuration in made.folders.items():
        configuration["terraform"] = [_terraform_block(configuration, made.stand_ins)]
        made.folders[folder] = {
            kind: kept for kind, blocks in configuration.items() if (kept := [*filter(None, blocks)])
        }
    return made


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
            found = hcl2.loads(f"{file.read_text()}\n", serialization_options=_OPTIONS)
        except UnexpectedInput as error:
            raise TestbedError(
                f"{file}:{error.line}: this is not HCL.", "terraform fmt says more."
            ) from error
        for kind, blocks in found.items():
            merged.setdefault(kind, []).extend(_without_heredocs(blocks))
    return merged


def whole(source: Path, leave_out: Sequence[str]) -> Json:
    """Return a configuration as it is, in Terraform's JSON syntax, but for what is left out; see `without`."""
    merged = read(source)
    without(merged, leave_out)
    _bare_words(merged)
    return merged


def without(merged: Json, leave_out: Sequence[str]) -> None:
    """Take resources and modules out of a configuration, and the outputs and ``depends_on`` that name them.

    Args:
        merged: of the root module.
        leave_out: their addresses, as ``aws_amplify_app.site`` or ``module.hosting``.

    Raises:
        TestbedError: one is not there, or something else needs it.
    """
    if not leave_out:
        return
    gone = set()
    for block in [*merged.get("module", []), *merged.get("resource", [])]:
        for name, body in list(block.items()):
            if f"module.{name}" in leave_out:
                del block[name]
                gone.add(f"module.{name}")
            for inner in [inner for inner in body if f"{name}.{inner}" in leave_out]:
                del body[inner]
                gone.add(f"{name}.{inner}")
    if missing := set(leave_out) - gone:
        raise TestbedError(f"terraform.leave_out names {', '.join(sorted(missing))}, which is not there.")
    names = re.compile(
        "|".join(rf"(?<![\w.]){re.escape(address)}(?![\w-])" for address in sorted(gone)) or "(?!)"
    )
    merged["output"] = [
        kept
        for block in merged.get("output", [])
        if (kept := {name: output for name, output in block.items() if not names.search(f"{output}")})
    ]
    bodies = [body for kind in ("resource", "data") for _, _, body in _resources(merged.get(kind, []))]
    for body in [*bodies, *(call for block in merged.get("module", []) for call in block.values())]:
        if "depends_on" in body:
            body["depends_on"] = [each for each in body["depends_on"] if not names.search(each)]
    for kind, blocks in merged.items():
        for block in blocks:
            for name, body in block.items():
                if found := names.search(f"{body}"):
                    raise TestbedError(
                        f"{kind} {name} needs {found[0]}, which terraform.leave_out leaves out.",
                        "Leave it out, too.",
                    )


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


def _terraform_block(configuration: Json, stand_ins: set[str]) -> Json:
    """Return the ``terraform`` block without a backend, for a local target keeps its state itself.

    Nor has it ``required_version``: what is derived is for the Terraform that is here, and a sample may ask for 0.15.
    """
    block: Json = provider.requirement(stand_ins)
    for written in configuration.get("terraform", []):
        for providers in written.get("required_providers", []):
            aliases = providers.get("aws", {}) if isinstance(providers.get("aws"), dict) else {}
            if "configuration_aliases" in aliases:
                block["required_providers"]["aws"]["configuration_aliases"] = [
                    _bare(each) for each in aliases["configuration_aliases"]
                ]
    return block


class _Module:
    """One module's derivation: what it keeps, drops, and refuses."""

    def __init__(self, merged: Json, where: str, schema: Json) -> None:
        self._merged = merged
        self._where = where
        self._schema = schema
        self._dropped: list[Json] = []
        self.refused: list[str] = []
        self.stand_ins: set[str] = set()
        self.calls: list[str] = []

    @property
    def names(self) -> list[str]:
        """Labels of what was dropped."""
        return [f"{self._where}{_label(drop)}" for drop in self._dropped]

    def derive(self) -> Json:
        """Return the module's configuration; see `Derived` for what else there is then."""
        merged = self._merged
        self._check_data()
        self._call_modules()
        resources: list[Json] = []
        websites = _take_websites(merged, self.refused)
        for written, name, body in _resources(merged.get("resource", [])):
            kind = _RENAMED.get(written, written)
            if not kind.startswith("aws_"):
                self._stand_in(f"{kind}.{name}", kind)
                resources.append({kind: {name: body}})
                continue
            known = self._schema["resource_schemas"].get(kind)
            if known is None:
                self._dropped.append({"type": kind, "name": name, "argument": None, "body": body})
                continue
            resources.append({kind: {name: self._prune(kind, name, body, known["block"])}})
        self.refused += [
            f"{self._where}{_label(drop)}"
            for drop in self._dropped
            if (drop["type"], drop["argument"]) not in FINISHERS
        ]
        merged["resource"] = resources + [
            {"terraform_data": {f"{DROPPED}_{number}": _carrier(drop)}}
            for number, drop in enumerate(self._dropped)
        ]
        for blocks in merged.get("provider", []):
            if "aws" in blocks:
                self._prune_provider(blocks["aws"])
        _bare_words(merged)
        gone = {
            f"{drop['type']}.{drop['name']}": drop["body"]
            for drop in self._dropped
            if drop["argument"] is None
        }
        for _, _, body in _resources(merged["resource"]):
            if "depends_on" in body:
                body["depends_on"] = [item for item in body["depends_on"] if item not in gone]
        for website, bucket in websites.items():
            gone[f"aws_s3_bucket_website_configuration.{website}"] = {
                name: f"${{aws_s3_bucket.{bucket}.{name}}}"
                for name in ("website_endpoint", "website_domain", "bucket")
            }
        written_again: Json = _written_again(merged, gone, self.refused)
        return written_again

    def _stand_in(self, label: str, kind: str) -> None:
        name = kind.partition("_")[0]
        if name in provider.STAND_INS:
            self.stand_ins.add(name)
        elif name != "terraform":
            self.refused.append(f"{self._where}{label}")

    def _check_data(self) -> None:
        schemas = self._schema.get("data_source_schemas", {})
        for kind, name, body in _resources(self._merged.get("data", [])):
            label = f"data.{kind}.{name}"
            if kind == "terraform_remote_state":
                self.refused.append(f"{self._where}{label}")
            elif not kind.startswith("aws_"):
                self._stand_in(label, kind)
            elif kind not in schemas:
                self.refused.append(f"{self._where}{label}")
            else:
                block = schemas[kind]["block"]
                known = {*block.get("attributes", {}), *block.get("block_types", {}), *_META, "dynamic"}
                self.refused += [f"{self._where}{label}.{each}" for each in body if each not in known]

    def _call_modules(self) -> None:
        for block in self._merged.get("module", []):
            for name, call in block.items():
                if str(call.get("source", "")).startswith(("./", "../")):
                    self.calls.append(call["source"])
                else:
                    self.refused.append(f"{self._where}module.{name} of {call.get('source')}")

    def _prune_provider(self, body: Json) -> None:
        """Leave out whose credentials it takes, which the cloud's own replace, and what is newer than it."""
        block = self._schema["provider"]["block"]
        known = {*block.get("attributes", {}), *block.get("block_types", {}), "alias"} - _CREDENTIALS
        for argument in [argument for argument in body if argument not in known]:
            if argument not in _CREDENTIALS:
                self.refused.append(f"{self._where}provider.aws.{argument}")
            del body[argument]

    def _prune(self, kind: str, name: str, body: Json, block: Json) -> Json:
        attributes, blocks = block.get("attributes", {}), block.get("block_types", {})
        kept: Json = {}
        for written, value in list(body.items()):
            argument = _RENAMED_ARGUMENTS.get((kind, written), written)
            if argument in _META or argument in blocks:
                kept[argument] = value
                self._drop_known_nested(kind, name, argument, value, body)
                self._refuse_unknown_nested(f"{kind}.{name}.{argument}", value, blocks.get(argument))
            elif argument == "dynamic":
                kept[argument] = value
                for made, template in [pair for each in value for pair in each.items()]:
                    self._drop_known_nested(kind, name, made, template["content"], body)
                for made, content in _undynamic(body).items():
                    if made in blocks:
                        self._refuse_unknown_nested(f"{kind}.{name}.{made}", content, blocks[made])
                    elif made not in body:
                        self.refused.append(f"{self._where}{kind}.{name}.{made}")
            elif argument in attributes and (kind, argument) not in _REFUSED_VALUES:
                kept[argument] = _completed(value, attributes[argument].get("type"))
            else:
                self._dropped.append(
                    {"type": kind, "name": name, "argument": argument, "value": value, "body": body}
                )
                if (kind, argument) in _REFUSED_VALUES:
                    kept[argument] = _REFUSED_VALUES[kind, argument]
        kept = {argument: value for argument, value in kept.items() if value != [] or argument not in blocks}
        _adapt(kind, kept)
        refused = [argument for argument in kept if (kind, argument) in _REFUSED_VALUES]
        if refused:
            # A second apply must not set it back.
            lifecycle: Json = dict(*kept.get("lifecycle", [{}]))
            ignored = lifecycle.get("ignore_changes", [])
            kept["lifecycle"] = [
                {**lifecycle, "ignore_changes": ignored if ignored == "${all}" else [*ignored, *refused]}
            ]
        return kept

    def _drop_known_nested(self, kind: str, name: str, argument: str, value: Any, body: Json) -> None:
        """Take out of a block what has a finisher of its own, which knows its value: that may name what is dropped."""
        blocks: list[Json] = value if isinstance(value, list) else []
        for block in blocks:
            for nested in [nested for nested in block if (kind, f"{argument}.{nested}") in FINISHERS]:
                content, where = block.pop(nested), f"{argument}.{nested}"
                self._dropped.append(
                    {
                        "type": kind,
                        "name": name,
                        "argument": where,
                        "value": None if (kind, where) in VALUELESS else content,
                        "body": body,
                    }
                )
        if blocks and all(block == {} for block in blocks):
            body.pop(argument)
            blocks.clear()

    def _refuse_unknown_nested(self, label: str, value: Any, block_type: Json | None) -> None:
        if block_type is None:
            return
        known = block_type["block"]
        names = set(known.get("attributes", {})) | set(known.get("block_types", {}))
        for block in value if isinstance(value, list) else [value]:
            for nested, content in _undynamic(block).items():
                if nested not in names:
                    self.refused.append(f"{self._where}{label}.{nested}")
                else:
                    self._refuse_unknown_nested(
                        f"{label}.{nested}", content, known.get("block_types", {}).get(nested)
                    )


def _adapt(kind: str, kept: Json) -> None:
    """Give a resource what the old provider wants of it, and let it change what a newer one may ignore."""
    for argument in kept.keys() & {named for of, named in _WANTED if of == kind}:
        kept[argument] = f"${{coalesce({_bare(str(kept[argument]))}, {_WANTED[kind, argument]})}}"
    for rules in kept.get("lifecycle", []):
        if isinstance(ignored := rules.get("ignore_changes"), list):
            rules["ignore_changes"] = [each for each in ignored if (kind, _bare(each)) not in _NOT_IGNORED]


def _take_websites(merged: Json, refused: list[str]) -> dict[str, str]:
    """Write websites into their buckets, as it was done then; return the buckets by the names of the websites."""
    kind, found = "aws_s3_bucket_website_configuration", {}
    buckets = {
        name: body for of, name, body in _resources(merged.get("resource", [])) if of == "aws_s3_bucket"
    }
    for block in merged.get("resource", []):
        for name, body in block.pop(kind, {}).items():
            bucket = re.fullmatch(r"\$\{aws_s3_bucket\.(\w+)\.(id|bucket)\}", str(body["bucket"]))
            if not bucket or bucket[1] not in buckets or body.keys() - {"bucket", *_WEBSITE}:
                refused.append(f"{kind}.{name}")
                continue
            buckets[bucket[1]]["website"] = [
                {
                    argument: body[argument][0][inner]
                    for argument, inner in _WEBSITE.items()
                    if argument in body
                }
            ]
            found[name] = bucket[1]
    return found


def _completed(value: Any, kind: Any) -> Any:
    """Return blocks that the provider takes as objects (``ingress``): in JSON an object needs all of its attributes."""
    match kind:
        case ["list" | "set", ["object", dict() as parts]] if isinstance(value, list):
            return [
                dict.fromkeys(parts) | item if isinstance(item, dict) else item  # an expression otherwise
                for item in value
            ]
    return value


def _carrier(drop: Json) -> Json:
    """Return the ``terraform_data`` that carries what was dropped to `finish`."""
    body = drop["body"]
    repeated = {name: body[name] for name in ("count", "for_each") if name in body}
    carried = {name: drop[name] for name in ("type", "name", "argument")}
    if drop["argument"] is None:
        return {**repeated, "input": {**carried, "value": _without_meta(body)}}
    index = "[count.index]" if "count" in body else "[each.key]" if "for_each" in body else ""
    found = f"${{{drop['type']}.{drop['name']}{index}.id}}"
    return {**repeated, "input": {**carried, "value": drop["value"], "id": found}}


def _written_again(merged: Json, gone: dict[str, Json], refused: list[str]) -> Json:
    """Return it with references that the old provider has words for: to what is gone, and to newer attributes."""

    def argument_of(found: re.Match[str]) -> str:
        body = gone.get(f"{found[1]}.{found[2]}")
        if body is None:
            return found[0]
        wanted = _NATURAL_IDS.get(found[1], "name") if found[3] == "id" else found[3]
        value = body.get(wanted)
        if not isinstance(value, str) or "count" in body or "for_each" in body:
            refused.append(found[0])
            return found[0]
        whole = re.fullmatch(r"\$\{(.*)\}", value, re.DOTALL)
        return f"({whole[1]})" if whole and "${" not in whole[1] else f'"{value}"'

    def again(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: again(part) for name, part in value.items()}
        if isinstance(value, list):
            return [again(part) for part in value]
        if not isinstance(value, str):
            return value
        text = _REFERENCE.sub(argument_of, value) if gone and "${" in value else value
        for newer, older in _RENAMED.items():
            text = re.sub(rf"\b{newer}\.", f"{older}.", text)
        return _NEWER_REGION.sub(r"\1.name", text)

    written: Json = again(merged)
    return written


def _bare_words(merged: Json) -> None:
    """Take the ``${}`` off references and key words, which Terraform's JSON wants as plain words."""
    for block in merged.get("variable", []):
        for variable in block.values():
            if "type" in variable:
                variable["type"] = _bare(variable["type"])
    for section in ("resource", "data"):
        for _, _, body in _resources(merged.get(section, [])):
            _bare_meta(body)
    for block in merged.get("module", []):
        for call in block.values():
            _bare_meta(call)
            if "providers" in call:
                call["providers"] = {name: _bare(value) for name, value in call["providers"].items()}
    for block in merged.get("output", []):
        for output in block.values():
            if "depends_on" in output:
                output["depends_on"] = [_bare(each) for each in output["depends_on"]]
    for block in merged.get("moved", []):
        block |= {name: _bare(value) for name, value in block.items()}


def _bare_meta(body: Json) -> None:
    if "depends_on" in body:
        body["depends_on"] = [_bare(each) for each in body["depends_on"]]
    if isinstance(body.get("provider"), str):
        body["provider"] = _bare(body["provider"])
    for lifecycle in body.get("lifecycle", []) if isinstance(body.get("lifecycle"), list) else []:
        for name in ("ignore_changes", "replace_triggered_by"):
            if name in lifecycle:
                written = lifecycle[name]
                lifecycle[name] = (
                    [_bare(each) for each in written] if isinstance(written, list) else _bare(written)
                )
    for provisioners in body.get("provisioner", []):
        for provisioner in provisioners.values():
            for name in ("when", "on_failure"):
                if name in provisioner:
                    provisioner[name] = _bare(provisioner[name])


def _resources(blocks: list[Json]) -> Iterator[tuple[str, str, Json]]:
    for block in blocks:
        for kind, named in block.items():
            for name, body in named.items():
                yield kind, name, body


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
