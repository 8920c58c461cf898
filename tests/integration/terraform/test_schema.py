"""Holds ``terraform/`` against the schema of hashicorp/aws 6: no registry is needed for it."""

import hashlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hcl2
import pytest
from hcl2 import SerializationOptions

from testbed.host.environments import unpack
from testbed.paths import TERRAFORM, state_root

# Bindings generated from the schema of provider 6.62.0; each argument's docstring links to its documentation.
BINDINGS = Path(__file__).with_name("bindings.txt")
LINK = re.compile(rb"/docs/(resources|data-sources)/([a-z0-9_]+)#([a-z0-9_]+)")
META = {"count", "for_each", "depends_on", "lifecycle", "provider"}
OPTIONS = SerializationOptions(strip_string_quotes=True, explicit_blocks=False, with_comments=False)

# The bindings take any value for a WAF rule's statement, and so link nothing inside of it. Not held against
# anything: WAF has not been applied.
UNLINKED = {
    ("wafv2_web_acl", argument)
    for argument in (
        "rate_based_statement",
        "limit",
        "aggregate_key_type",
        "managed_rule_group_statement",
        "vendor_name",
    )
}

Arguments = set[tuple[str, str, str]]


@pytest.fixture(scope="session")
def schema() -> Arguments:
    """List every (resources or data-sources, type, argument) of the provider, nested arguments included."""
    folder = state_root() / "schema"
    links = folder / f"{hashlib.sha256(BINDINGS.read_bytes()).hexdigest()}.txt"
    if not links.is_file():
        with tempfile.TemporaryDirectory() as package:
            unpack(BINDINGS, package)
            files = Path(package).rglob("__init__.py")
            found = {match for file in files for match in LINK.findall(file.read_bytes())}
        folder.mkdir(parents=True, exist_ok=True)
        links.write_bytes(b"\n".join(b" ".join(match) for match in sorted(found)))
    return {tuple(line.split()) for line in links.read_text().splitlines()}  # type: ignore[misc]


def test_every_resource_and_argument_is_in_provider_6(schema: Arguments) -> None:
    unknown = sorted(
        f"{where} {kind}.{argument}"
        for where, kind, argument in used(TERRAFORM)
        if (where, kind, argument) not in schema and (kind, argument) not in UNLINKED
    )
    assert not unknown


def test_a_wrong_argument_is_found(schema: Arguments, tmp_path: Path) -> None:
    """The test above can fail."""
    (tmp_path / "main.tf").write_text(
        'resource "aws_sqs_queue" "q" {\n  visibility_timeout = 3\n}\n'
        'resource "aws_s3_bucket" "b" {\n  versioning {\n    colour = 1\n  }\n}\n'
        'resource "aws_s3_bucket" "c" {\n  dynamic "versioning" {\n    for_each = {}\n    content {\n      size = 1\n'
        "    }\n  }\n}\n"
    )
    wrong = [argument for where, kind, argument in used(tmp_path) if (where, kind, argument) not in schema]
    assert sorted(wrong) == ["colour", "size", "visibility_timeout"]


def used(folder: Path) -> Iterator[tuple[str, str, str]]:
    """List every argument in a folder of .tf files."""
    for file in folder.glob("*.tf"):
        with file.open() as text:
            blocks = hcl2.load(text, serialization_options=OPTIONS)
        for section, where in (("resource", "resources"), ("data", "data-sources")):
            for block in blocks.get(section, []):
                for kind, named in block.items():
                    for body in named.values():
                        for argument in arguments(body):
                            yield where, kind.removeprefix("aws_"), argument


def arguments(body: Any) -> Iterator[str]:
    """List the argument names of a block and of the blocks in it; not the keys of maps, which are data."""
    for name, value in body.items():
        if name in META:
            continue
        if name == "dynamic":  # Terraform's own: what it makes counts
            for dynamic in value:
                for made, template in dynamic.items():
                    yield from arguments({made: template["content"]})
            continue
        yield name
        if isinstance(value, list):
            for nested in value:
                if isinstance(nested, dict):
                    yield from arguments(nested)
