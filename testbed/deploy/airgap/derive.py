"""Derives from ``terraform/`` a configuration that the old provider takes, and lists what it had to drop.

Every dropped resource or argument becomes the input of a ``terraform_data`` beside it, with the same ``count`` or
``for_each``, so that Terraform itself computes its value, in modules, too; `testbed.deploy.airgap.finish` sets it by
the AWS API. What `finish` could not set is an error here, before anything is applied: nothing is dropped in silence.
"""

import difflib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testbed.deploy.airgap import provider
from testbed.deploy.airgap.finish import BESIDE, DROPPED, FINISHERS, VALUELESS, finisher
from testbed.deploy.airgap.hcl import Json, bare, bare_words, expression, read, resources, undynamic
from testbed.deploy.airgap.leave_out import leave_out
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
_RENAMED_ARGUMENTS = {
    ("aws_db_instance", "db_name"): "name",
    ("aws_kinesis_firehose_delivery_stream", "buffering_size"): "buffer_size",
    ("aws_kinesis_firehose_delivery_stream", "buffering_interval"): "buffer_interval",
}

# The same attribute under the name that it had then.
_RENAMED_ATTRIBUTES = {
    ("aws_sqs_queue", "url"): "id",
    ("aws_lambda_function", "code_sha256"): "source_code_hash",
    ("aws_s3_bucket", "bucket_region"): "region",
}

# A reference to an attribute of a resource, or of one of several.
_REFERENCE = re.compile(r"(?<![\w.])(aws_\w+)\.(\w+)(?:\[([^\]]*)\])?\.(\w+)")

# What stands before the attribute in a reference that is refused, and all from there: the rest is the resource.
_ATTRIBUTE = "\0"
_RESOURCE_OF = re.compile(f"{_ATTRIBUTE}.*")

# What a resource is in its ARN, of those that are dropped: service, then the word before the name.
_ARNS = {
    "aws_iot_thing_group": ("iot", "thinggroup"),
    "aws_iot_provisioning_template": ("iot", "provisioningtemplate"),
}

# What data sources are called that such an ARN needs.
_OWN_DATA = "air_gapped"

# The argument that is the id of a resource that is dropped; `name` of the others.
_NATURAL_IDS = {
    kind: "bucket" for kind, argument in FINISHERS if kind.startswith("aws_s3_bucket_") and not argument
}

# Blocks of a bucket's website that were arguments then, and what is in them.
_WEBSITE = {"index_document": "suffix", "error_document": "key"}

# What hashicorp/aws 6 calls `region` was `name`.
_NEWER_REGION = re.compile(r"\b(data\.aws_region\.\w+)\.region\b")

# Arguments of the provider that say whose account it is and where: a local cloud's is nobody's. `version` was one
# until Terraform 0.13.
_ACCOUNT = {
    "version",
    "endpoints",
    "s3_use_path_style",
    "sts_region",
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


@dataclass
class Derived:
    """What came of a configuration.

    ``folders`` maps each folder with a module, relative to the root module's, to its configuration in Terraform's JSON
    syntax; ``dropped`` names what was dropped, and ``stand_ins`` the small providers that it needs.
    """

    folders: dict[Path, Json] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    stand_ins: set[str] = field(default_factory=set)


def derive(source: Path, schema: Json, left_out: Sequence[str] = ()) -> Derived:
    """Derive the configuration, with the modules that are folders.

    Args:
        source: folder of the root module's ``.tf`` files.
        schema: the old provider's, as ``terraform providers schema -json`` gives it.
        left_out: see `leave_out`.

    Raises:
        TestbedError: something must be dropped that `testbed.deploy.airgap.finish` cannot set afterwards.
    """
    made, refused = Derived(), []
    found = _folders(source, left_out)
    leave_out(dict(found.values()), left_out)
    for folder, (address, merged) in found.items():
        module = _Module(merged, address, schema)
        made.folders[folder] = module.derive()
        made.dropped += module.names
        made.stand_ins |= module.stand_ins
        refused += module.refused
    if refused:
        raise _refusal(refused, schema)
    for folder, configuration in made.folders.items():
        configuration["terraform"] = [_terraform_block(configuration, made.stand_ins)]
        made.folders[folder] = {
            kind: kept for kind, blocks in configuration.items() if (kept := [*filter(None, blocks)])
        }
    return made


def whole(source: Path, left_out: Sequence[str]) -> dict[Path, Json]:
    """Return a configuration as it is, in Terraform's JSON syntax, but for what is left out; see `leave_out`."""
    found = _folders(source, left_out)
    leave_out(dict(found.values()), left_out)
    for _, merged in found.values():
        bare_words(merged)
    return {folder: merged for folder, (_, merged) in found.items()}


def _folders(source: Path, left_out: Sequence[str]) -> dict[Path, tuple[str, Json]]:
    """Read a root module and the modules in folders that it calls; return their addresses and configurations."""
    found: dict[Path, tuple[str, Json]] = {}
    to_do = [(Path(), "")]
    while to_do:
        folder, address = to_do.pop(0)
        if folder in found:
            continue
        found[folder] = address, read(source / folder)
        for block in found[folder][1].get("module", []):
            for name, call in block.items():
                if _in_a_folder(call) and f"{address}module.{name}" not in left_out:
                    called = Path(os.path.normpath(folder / call["source"]))
                    to_do.append((called, f"{address}module.{name}."))
    return found


def _in_a_folder(call: Json) -> bool:
    return str(call.get("source", "")).startswith(("./", "../"))


def _refusal(refused: list[str], schema: Json) -> TestbedError:
    names = list(dict.fromkeys(refused))
    addresses = list(dict.fromkeys(_RESOURCE_OF.sub("", name.partition(" ")[0]) for name in names))
    to_leave = [
        f'"{each}"'
        for each in addresses
        if not each.startswith("provider.") and not any(each.startswith(f"{other}.") for other in addresses)
    ]
    return TestbedError(
        f"The air-gapped mode cannot derive {', '.join(name.replace(_ATTRIBUTE, '.') for name in names)}.",
        f"{_typos(names, schema)}Apply where the Terraform registry can be reached; here there are provider aws "
        f"{provider.VERSION}, "
        f"stand-ins for {', '.join(provider.STAND_INS)}, and modules in folders of the project. Or do without, below "
        f"[terraform] in testbed.toml: leave_out = [{', '.join(to_leave)}]",
    )


def _typos(names: Iterable[str], schema: Json) -> str:
    """Ask for each refused name that is nearly a resource, or an argument of one, whether that was meant."""
    kinds = {**schema.get("data_source_schemas", {}), **schema["resource_schemas"]}
    asked = {}
    for name in names:
        words = name.partition(" ")[0].replace(_ATTRIBUTE, ".").split(".")
        kind = next((word for word in words if word.startswith("aws_")), "")
        block = kinds[kind]["block"] if kind in kinds else {}
        written, known = (
            (words[-1], [*block.get("attributes", {}), *block.get("block_types", {})])
            if block
            else (kind, [*kinds])
        )
        if written not in known and (near := difflib.get_close_matches(written, known, n=1, cutoff=0.8)):
            asked[written] = f"Did you mean {near[0]}, not {written}? "
    return "".join(asked.values()) + ("If not: " if asked else "")


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
                    bare(each) for each in aliases["configuration_aliases"]
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

    @property
    def names(self) -> list[str]:
        """Labels of what was dropped."""
        return [f"{self._where}{_label(drop)}" for drop in self._dropped]

    def derive(self) -> Json:
        """Return the module's configuration; see `Derived` for what else there is then."""
        merged = self._merged
        self._check_data()
        self._check_modules()
        kept_resources: list[Json] = []
        websites = _take_websites(merged, self.refused)
        for written, name, body in resources(merged.get("resource", [])):
            kind = _RENAMED.get(written, written)
            if not kind.startswith("aws_"):
                self._stand_in(f"{kind}.{name}", kind)
                kept_resources.append({kind: {name: body}})
                continue
            known = self._schema["resource_schemas"].get(kind)
            if known is None:
                self._dropped.append({"type": kind, "name": name, "argument": None, "body": body})
                continue
            kept_resources.append({kind: {name: self._prune(kind, name, body, known["block"])}})
        self.refused += [
            f"{self._where}{_label(drop)}"
            for drop in self._dropped
            if finisher(drop["type"], drop["argument"], has_arn=drop.get("has_arn", False)) is None
        ]
        merged["resource"] = kept_resources + [
            {"terraform_data": {f"{DROPPED}_{number}": _carrier(drop)}}
            for number, drop in enumerate(self._dropped)
        ]
        for blocks in merged.get("provider", []):
            if "aws" in blocks:
                self._prune_provider(blocks["aws"])
        bare_words(merged)
        gone = {
            f"{drop['type']}.{drop['name']}": drop["body"]
            for drop in self._dropped
            if drop["argument"] is None
        }
        for _, _, body in resources(merged["resource"]):
            if "depends_on" in body:
                body["depends_on"] = [item for item in body["depends_on"] if item not in gone]
        for website, bucket in websites.items():
            gone[f"aws_s3_bucket_website_configuration.{website}"] = {
                name: f"${{aws_s3_bucket.{bucket}.{name}}}"
                for name in ("website_endpoint", "website_domain", "bucket")
            }
        again = _Again(gone, self._attributes())
        older: Json = again.write(merged)
        self.refused += [f"{self._where}{each}" for each in again.refused]
        if again.wants_account:
            older.setdefault("data", []).extend(
                {kind: {_OWN_DATA: {}}} for kind in ("aws_region", "aws_caller_identity")
            )
        return older

    def _attributes(self) -> dict[str, set[str]]:
        """Return by address what the old provider gives of each resource that it knows."""
        found = {}
        for kind, name, _ in resources(self._merged["resource"]):
            if known := self._schema["resource_schemas"].get(kind):
                block = known["block"]
                found[f"{kind}.{name}"] = {"id", *block.get("attributes", {}), *block.get("block_types", {})}
        return found

    def _stand_in(self, label: str, kind: str) -> None:
        name = kind.partition("_")[0]
        if name in provider.STAND_INS:
            self.stand_ins.add(name)
        elif name != "terraform":
            self.refused.append(f"{self._where}{label}")

    def _check_data(self) -> None:
        schemas = self._schema.get("data_source_schemas", {})
        for kind, name, body in resources(self._merged.get("data", [])):
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

    def _check_modules(self) -> None:
        self.refused += [
            f"{self._where}module.{name} of {call.get('source')}"
            for block in self._merged.get("module", [])
            for name, call in block.items()
            if not _in_a_folder(call)
        ]

    def _prune_provider(self, body: Json) -> None:
        """Leave out whose credentials it takes, which the cloud's own replace, and what is newer than it."""
        block = self._schema["provider"]["block"]
        known = {*block.get("attributes", {}), *block.get("block_types", {}), "alias"} - _ACCOUNT
        for argument in [argument for argument in body if argument not in known]:
            if argument not in _ACCOUNT:
                self.refused.append(f"{self._where}provider.aws.{argument}")
            del body[argument]

    def _prune(self, kind: str, name: str, body: Json, block: Json) -> Json:
        attributes, blocks = block.get("attributes", {}), block.get("block_types", {})
        _older(kind, body)
        kept: Json = {}
        for written, value in list(body.items()):
            argument = _RENAMED_ARGUMENTS.get((kind, written), written)
            if argument in _META or argument in blocks:
                kept[argument] = value
                _rename_nested(kind, value, blocks.get(argument))
                self._drop_known_nested(kind, name, argument, value, body)
                self._refuse_unknown_nested(f"{kind}.{name}.{argument}", value, blocks.get(argument))
            elif argument == "dynamic":
                kept[argument] = self._prune_dynamic(kind, name, body, block)
            elif argument in attributes and (kind, argument) not in _REFUSED_VALUES:
                kept[argument] = _completed(value, attributes[argument].get("type"))
            else:
                self._drop(kind, name, argument, value, body)
                if (kind, argument) in _REFUSED_VALUES:
                    kept[argument] = _REFUSED_VALUES[kind, argument]
        kept = {
            argument: value
            for argument, value in kept.items()
            if value != [] or argument not in {"dynamic", *blocks}
        }
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

    def _prune_dynamic(self, kind: str, name: str, body: Json, block: Json) -> list[Json]:
        """Return the ``dynamic`` blocks that are left; what is dropped of them is as an expression what they make."""
        attributes, blocks = block.get("attributes", {}), block.get("block_types", {})
        kept = []
        for made, template in [pair for each in body["dynamic"] for pair in each.items()]:
            content = template["content"]
            if made not in blocks and made not in attributes:
                self._drop(kind, name, made, _repeated(made, template, content), body)
                continue
            _rename_nested(kind, content, blocks.get(made))
            self._drop_known_nested(kind, name, made, content, body, template)
            if content:
                kept.append({made: template})
                self._refuse_unknown_nested(f"{kind}.{name}.{made}", content, blocks.get(made))
        return kept

    def _drop(
        self, kind: str, name: str, argument: str, value: Any, body: Json, beside: Json | None = None
    ) -> None:
        arn = "arn" in self._schema["resource_schemas"].get(kind, {}).get("block", {}).get("attributes", {})
        drop = {
            "type": kind,
            "name": name,
            "argument": argument,
            "value": value,
            "body": body,
            "has_arn": arn,
        }
        self._dropped.append(drop | ({"beside": beside} if beside else {}))

    def _drop_known_nested(
        self, kind: str, name: str, argument: str, value: Any, body: Json, template: Json | None = None
    ) -> None:
        """Take out of blocks what has a finisher of its own, and the blocks themselves where nothing else is in them.

        Args:
            kind: of the resource.
            name: of the resource.
            argument: the blocks' name.
            value: the blocks.
            body: the resource.
            template: the ``dynamic`` block that makes them.
        """
        blocks: list[Json] = value if isinstance(value, list) else []

        def made(what: Any) -> Any:
            return what if template is None else _repeated(argument, template, what)

        emptied = False
        for block in blocks:
            for nested in [nested for nested in block if (kind, f"{argument}.{nested}") in FINISHERS]:
                content, where = block.pop(nested), f"{argument}.{nested}"
                around = {**body, **block}
                beside = {each: around[each] for each in BESIDE.get((kind, where), ()) if each in around}
                self._drop(
                    kind,
                    name,
                    where,
                    None if (kind, where) in VALUELESS else made(content),
                    body,
                    made(beside) if beside else None,
                )
                emptied = not any(blocks)
        if emptied:
            blocks.clear()

    def _refuse_unknown_nested(self, label: str, value: Any, block_type: Json | None) -> None:
        if block_type is None:
            return
        known = block_type["block"]
        names = set(known.get("attributes", {})) | set(known.get("block_types", {}))
        for block in value if isinstance(value, list) else [value]:
            for nested, content in undynamic(block).items():
                if nested not in names:
                    self.refused.append(f"{self._where}{label}.{nested}")
                else:
                    self._refuse_unknown_nested(
                        f"{label}.{nested}", content, known.get("block_types", {}).get(nested)
                    )


def _older(kind: str, body: Json) -> None:
    """Write arguments in older words that mean the same."""
    match kind, body:
        case "aws_cloudwatch_event_rule", {"state": state}:
            body["is_enabled"] = f'${{{expression(state)} != "DISABLED"}}'
            del body["state"]
        case "aws_s3_bucket_object", {"source_hash": str() as value} if "filemd5(" in value:
            body.setdefault("etag", value)
            del body["source_hash"]


def _rename_nested(kind: str, value: Any, block_type: Json | None) -> None:
    """Give arguments of blocks the names that they had then."""
    if block_type is None:
        return
    known = block_type["block"]
    for block in value if isinstance(value, list) else [value]:
        if not isinstance(block, dict):
            continue
        for nested, content in list(block.items()):
            older = _RENAMED_ARGUMENTS.get((kind, nested), nested)
            if nested not in known.get("attributes", {}) and older in known.get("attributes", {}):
                block[older] = block.pop(nested)
            _rename_nested(kind, content, known.get("block_types", {}).get(nested))


def _repeated(name: str, template: Json, made: Any) -> str:
    """Return the expression of what a ``dynamic`` block makes: a list of blocks, or what the first has, else null."""
    iterator = template.get("iterator", name)
    inner = re.sub(rf"\b{iterator}\.(key|value)\b", rf"{iterator}_\1", expression(made))
    each = f"[for {iterator}_key, {iterator}_value in {expression(template['for_each'])} : {inner}]"
    return f"${{flatten({each})}}" if isinstance(made, list) else f"${{try({each}[0], null)}}"


def _adapt(kind: str, kept: Json) -> None:
    """Give a resource what the old provider wants of it, and let it change what a newer one may ignore."""
    for argument in kept.keys() & {named for of, named in _WANTED if of == kind}:
        kept[argument] = f"${{coalesce({bare(str(kept[argument]))}, {_WANTED[kind, argument]})}}"
    for rules in kept.get("lifecycle", []):
        if isinstance(ignored := rules.get("ignore_changes"), list):
            rules["ignore_changes"] = [each for each in ignored if (kind, bare(each)) not in _NOT_IGNORED]


def _take_websites(merged: Json, refused: list[str]) -> dict[str, str]:
    """Write websites into their buckets, as it was done then; return the buckets by the names of the websites."""
    kind, found = "aws_s3_bucket_website_configuration", {}
    buckets = {
        name: body for of, name, body in resources(merged.get("resource", [])) if of == "aws_s3_bucket"
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
    carried: Json = {name: drop[name] for name in ("type", "name", "argument", "beside") if name in drop}
    if drop["argument"] is None:
        return {**repeated, "input": {**carried, "value": _without_meta(body)}}
    index = "[count.index]" if "count" in body else "[each.key]" if "for_each" in body else ""
    found = f"{drop['type']}.{drop['name']}{index}"
    if drop["argument"] == "tags":
        carried["arn"] = f"${{{found}.arn}}"
    return {**repeated, "input": {**carried, "value": drop["value"], "id": f"${{{found}.id}}"}}


class _Again:
    """Writes references in words that the old provider has: to what is gone, and to newer attributes."""

    def __init__(self, gone: dict[str, Json], attributes: dict[str, set[str]]) -> None:
        """Know by their addresses the bodies of what is gone, and the attributes of what is there."""
        self._gone = gone
        self._attributes = attributes
        self.refused: list[str] = []
        self.wants_account = False

    def write(self, value: Any) -> Any:
        """Return a configuration, or a part of one, written again."""
        if isinstance(value, dict):
            return {name: self.write(part) for name, part in value.items()}
        if isinstance(value, list):
            return [self.write(part) for part in value]
        if not isinstance(value, str):
            return value
        text = value
        for newer, older in _RENAMED.items():
            text = re.sub(rf"\b{newer}\.", f"{older}.", text)
        text = _REFERENCE.sub(self._attribute, text) if "${" in text else text
        return _NEWER_REGION.sub(r"\1.name", text)

    def _attribute(self, found: re.Match[str]) -> str:
        kind, name, index, attribute = found.groups()
        body = self._gone.get(f"{kind}.{name}")
        if body is None:
            older = _RENAMED_ATTRIBUTES.get((kind, attribute), attribute)
            if older not in self._attributes.get(f"{kind}.{name}", {older}):
                self.refused.append(f"{kind}.{name}{_ATTRIBUTE}{attribute}")
            return f"{found[0].removesuffix(attribute)}{older}"
        wanted = _NATURAL_IDS.get(kind, "name") if attribute == "id" else attribute
        in_arn = kind in _ARNS and attribute == "arn"
        value = body.get("name" if in_arn else wanted)
        if isinstance(value, str) and index is not None:
            value = value.replace("count.index", f"({index})").replace("each.key", f"({index})")
        # What a repeated resource is called without an index, or by `each.value`, is not to be had so.
        repeated = "count" in body or "for_each" in body
        if not isinstance(value, str) or (repeated and (index in (None, "*") or "each." in value)):
            self.refused.append(f"{kind}.{name}{_ATTRIBUTE}{attribute}")
            return found[0]
        if in_arn:
            self.wants_account = True
            service, word = _ARNS[kind]
            region = f"${{data.aws_region.{_OWN_DATA}.name}}"
            account = f"${{data.aws_caller_identity.{_OWN_DATA}.account_id}}"
            return f'"arn:aws:{service}:{region}:{account}:{word}/{value}"'
        return expression(value)


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
