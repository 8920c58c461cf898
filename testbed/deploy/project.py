"""The project that is deployed, as its ``testbed.toml`` describes it."""

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from testbed.errors import TestbedError
from testbed.paths import PROJECT_FILE, REPOSITORY, project_file

_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_BLOCK = re.compile(r'^\s*(variable|output)\s+"([^"]+)"', re.MULTILINE)
# Folders that hold nothing of a project's own, and endings of what Terraform writes.
_NOT_OURS = {".git", ".terraform", ".testbed", ".venv", "__pycache__"}
_WRITTEN = (".tfstate", ".backup", ".tfplan")

# An address of a resource in Terraform's state.
_ADDRESS = re.compile(r"(module\.[\w\[\]\".-]+\.)*aws_\w+\.[\w\[\]\"-]+")
_PROVIDER = re.compile(r'^provider\s+"aws"\s*\{(.*?)^\}', re.MULTILINE | re.DOTALL)
_REGION = re.compile(r'^\s*region\s*=\s*(?:"([a-z0-9-]+)"|var\.(\w+))', re.MULTILINE)

# msgspec's words of a key that a table has not, with the table's path.
_UNKNOWN_KEY = re.compile(r"unknown field `([^`]*)`(?: - at `\$\.?([^`]*)`)?")

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; a key that nobody knows is refused."""


class TerraformTable(_Table, frozen=True):
    """Where Terraform is, and what a local target sets; see docs/own-project.md.

    ``aws`` is what ``TARGET=aws`` sets in place of ``local``. Values of both may contain ``{packages}``, ``{project}``,
    ``{region}``, ``{environment}``, ``{iot_data}``, ``{python}`` and ``{architecture}``. The variables in ``unset`` are
    set to null, which TOML cannot write. ``api_key`` names the variable that gets a random key.
    """

    folder: str = "terraform"
    local: dict[str, Any] = {}
    aws: dict[str, Any] = {}
    unset: list[str] = []
    api_key: str = ""
    leave_out: list[str] = []


class FunctionTable(_Table, frozen=True):
    """A Lambda package: ``{packages}/<name of the table>.zip``.

    Python: the folder ``source`` (in the zip under ``into``) with the packages of ``requirements``. Other languages:
    ``zip`` is a file that ``command`` makes, or a folder. ``also`` are files of the project that go into a Python
    package at their own paths. ``at`` is where Terraform looks for the zip, if not in ``{packages}``: a path in the
    project. ``only_with`` is a Terraform variable: the package is built only where that is true. ``output`` is the
    Terraform output with the function's name: `dev` then updates the function without an apply. ``loaded`` is part of
    the error by which the function shows, after such an update, that it was imported; empty if it answers ``{}``
    without one. Without it, nothing is invoked.
    """

    source: str = ""
    into: str = ""
    also: list[str] = []
    requirements: str = ""
    zip: str = ""
    command: list[str] = []
    at: str = ""
    output: str = ""
    only_with: str = ""
    loaded: str | None = None


class DevicesTable(_Table, frozen=True):
    """What devices are called and publish.

    ``name`` ends in ``{number}``. ``topic`` has ``{device}``, and may begin with ``{topic_root}``, the output of that
    name. ``model`` is a JSON file of templates, or a Python class as ``module:Class``; ``message`` is such a template
    itself; without both a device is a battery-swap station.
    ``policy`` is the Terraform output with the thing policy's name, or the policy's address in Terraform's state, as
    ``module.iot.aws_iot_policy.sensor``.
    """

    name: str = "device-{number}"
    topic: str = "devices/{device}/telemetry"
    model: str = ""
    message: dict[str, Any] = {}
    policy: str = ""


class Project(_Table, frozen=True):
    """All of the file. ``outputs`` maps fields of `testbed.deploy.outputs.Outputs` to Terraform's names."""

    name: str
    terraform: TerraformTable = msgspec.field(default_factory=TerraformTable)
    functions: dict[str, FunctionTable] = {}
    devices: DevicesTable = msgspec.field(default_factory=DevicesTable)
    outputs: dict[str, str] = {}
    # The route of the REST API that lists the devices.
    api_route: str = "/"


class Here:
    """A project in its folder."""

    def __init__(self, folder: Path, description: Project) -> None:
        """Keep both."""
        self.folder = folder
        self.described = description

    @property
    def terraform(self) -> Path:
        """The folder of Terraform's files, none of which is ever written to."""
        return self.folder / self.described.terraform.folder

    def declared(self, kind: Literal["variable", "output"]) -> set[str]:
        """Return the names of the variables, or of the outputs, that the Terraform configuration declares."""
        text = "\n".join(path.read_text() for path in self.terraform.glob("*.tf"))
        return {name for block, name in _BLOCK.findall(text) if block == kind}

    def switched_on(self, variable: str) -> bool:
        """Return whether a boolean variable may be true: TF_VAR_ decides, else any .tfvars file or testbed.toml."""
        given = os.environ.get(f"TF_VAR_{variable}")
        if given is not None:
            return given.lower() in ("true", "1")
        files = [self.terraform / "terraform.tfvars", *self.terraform.glob("*.auto.tfvars")]
        files += self.terraform.glob("environments/*.tfvars")
        text = "\n".join(file.read_text() for file in files if file.is_file())
        return self.described.terraform.local.get(variable) is True or bool(
            re.search(rf"^{variable}\s*=\s*true\b", text, re.MULTILINE)
        )

    def has_stream(self) -> bool:
        """Return whether Terraform may make a Kinesis stream on a local target; the own project's is a switch."""
        if self.folder == REPOSITORY:
            switch = "ingest"
            chosen = os.environ.get(f"TF_VAR_{switch}") or self.described.terraform.local.get(switch)
            return chosen == "kinesis"
        return any(
            '"aws_kinesis_stream"' in file.read_text(errors="replace")
            for file in self.files()
            if file.suffix == ".tf"
        )

    def files(self) -> Iterator[Path]:
        """Yield the project's own files, sorted."""
        for folder, below, names in os.walk(self.folder, followlinks=True):
            below[:] = sorted(name for name in below if name not in _NOT_OURS)
            for name in sorted(names):
                path = Path(folder) / name
                if not name.endswith(_WRITTEN) and path.is_file():
                    yield path

    def region(self, target: Literal["local", "aws"] = "local") -> str:
        """Return the region that its `provider "aws"` says, itself or by a variable; empty if it does not say."""
        set_here = self.described.terraform.local if target == "local" else self.described.terraform.aws
        text = "\n".join(path.read_text() for path in sorted(self.terraform.glob("*.tf")))
        for block in _PROVIDER.findall(text):
            found = _REGION.search(block)
            if found and not re.search(r"^\s*alias\s*=", block, re.MULTILINE):
                return found[1] or self._variable(found[2], text, set_here)
        return ""

    def _variable(self, name: str, text: str, set_here: Mapping[str, Any]) -> str:
        """Return a variable's value as far as it is written: in testbed.toml, a .tfvars file, or as its default."""
        for table in (set_here, os.environ):
            value = table.get(name if table is not os.environ else f"TF_VAR_{name}")
            if isinstance(value, str):
                return "" if "{" in value else value
        files = [
            *sorted(self.terraform.glob("*.auto.tfvars"), reverse=True),
            self.terraform / "terraform.tfvars",
        ]
        given = "\n".join(file.read_text() for file in files if file.is_file())
        in_file = re.search(rf'^\s*{name}\s*=\s*"([^"]*)"', given, re.MULTILINE)
        default = re.search(
            rf'^variable\s+"{name}"\s*\{{.*?^\s*default\s*=\s*"([^"]*)".*?^\}}',
            text,
            re.MULTILINE | re.DOTALL,
        )
        found = in_file or default
        return found[1] if found else ""

    def local_variables(self, values: Mapping[str, str]) -> dict[str, Any]:
        """Return the variables that a local target sets, with ``values`` in place of their placeholders."""
        table = self.described.terraform
        return self._filled(table.local, "local", values) | dict.fromkeys(table.unset)

    def aws_variables(self, values: Mapping[str, str]) -> dict[str, Any]:
        """Return the variables that ``TARGET=aws`` sets, with ``values`` in place of their placeholders."""
        return self._filled(self.described.terraform.aws, "aws", values)

    def _filled(self, variables: Mapping[str, Any], table: str, values: Mapping[str, str]) -> dict[str, Any]:
        known = dict(values) | {"project": str(self.folder)}
        return {name: _filled(value, known, f"{table}.{name}") for name, value in variables.items()}

    def device_topic(self, device: str, topic_root: str) -> str:
        """Return the topic that a device publishes to, or with ``+`` for it all devices' topic filter."""
        return self.described.devices.topic.replace("{topic_root}", topic_root).replace("{device}", device)

    @property
    def device_prefix(self) -> str:
        """What stands before the number in a device's name."""
        return self.described.devices.name.removesuffix("{number}")


def _filled(value: Any, known: Mapping[str, str], name: str) -> Any:
    if not isinstance(value, str):
        return value

    def fill(found: re.Match[str]) -> str:
        if found[1] not in known:
            raise TestbedError(
                f"{PROJECT_FILE}: terraform.{name} has {found[0]}, which is no placeholder.",
                f"There are {', '.join(f'{{{each}}}' for each in sorted(known))}.",
            )
        return known[found[1]]

    return _PLACEHOLDER.sub(fill, value)


def project() -> Here:
    """Return the project of the working directory; see `testbed.paths.project_file`.

    Raises:
        TestbedError: there is none, or its file has something that is not understood.
    """
    file = project_file()
    return _read(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _read(file: Path, _changed: int) -> Here:
    try:
        read = tomllib.loads(file.read_text())
        described = msgspec.convert(read if file.name == PROJECT_FILE else read["tool"]["testbed"], Project)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise TestbedError(
            f"{file}: {_in_words(error)}.",
            f"{_keys_there(error)}docs/own-project.md says what the keys mean.",
        ) from error
    here = Here(file.parent, described)
    for problem in _problems(here):
        raise TestbedError(f"{file}: {problem}.", "docs/own-project.md lists the keys.")
    return here


def _in_words(error: Exception) -> str:
    """Return msgspec's error with the key in the file's own notation: `$.devices.topic` is devices.topic."""
    return re.sub(r" - at `\$\.?([^`]*)`", lambda found: f" in {found[1]}" if found[1] else "", str(error))


def _keys_there(error: Exception) -> str:
    """Return which keys a table has where one is unknown, the nearest first; empty for another error."""
    found = _UNKNOWN_KEY.search(str(error))
    if not found:
        return ""
    tables: dict[str, type[_Table]] = {
        "terraform": TerraformTable,
        "devices": DevicesTable,
        "functions": FunctionTable,
    }
    table = tables.get((found[2] or "").partition("[")[0], Project)
    keys = [field.name for field in msgspec.structs.fields(table)]
    near = difflib.get_close_matches(found[1], keys, n=1)
    return (f"Did you mean {near[0]}? " if near else "") + f"There are {', '.join(keys)}; "


def _problems(here: Here) -> list[str]:
    described, found = here.described, []
    if not _NAME.fullmatch(described.name):
        found.append(f"name = {described.name!r} is not up to 32 lower-case letters, digits and hyphens")
    if not here.terraform.resolve().is_relative_to(here.folder.resolve()):
        found.append(f"terraform.folder = {described.terraform.folder!r} is not inside the project's folder")
    elif not list(here.terraform.glob("*.tf")):
        found.append(f"terraform.folder = {described.terraform.folder!r} has no .tf file")
    devices = described.devices
    for key, output in {**described.outputs, "policy of devices": devices.policy}.items():
        address = key == "policy of devices" and _ADDRESS.fullmatch(output)
        if output and not address and output not in here.declared("output"):
            found.append(f"{key} names the Terraform output {output!r}, which {here.terraform} has not")
    if not devices.name.endswith("{number}") or devices.name.count("{") != 1:
        found.append(f"devices.name = {devices.name!r} does not end in {{number}}, or has another brace")
    if devices.model and devices.message:
        found.append("devices has both model and message")
    if devices.model.endswith(".json") and not (here.folder / devices.model).is_file():
        found.append(f"devices.model = {devices.model!r} is not there")
    return found + _problems_of_functions(here)


def _problems_of_functions(here: Here) -> list[str]:
    found = []
    for name, function in here.described.functions.items():
        if bool(function.source) == bool(function.zip):
            found.append(f"functions.{name} wants either source (Python) or zip")
        elif function.source and not (here.folder / function.source).is_dir():
            found.append(f"functions.{name}.source = {function.source!r} is not a folder")
        elif gone := [file for file in function.also if not (here.folder / file).is_file()]:
            found.append(f"functions.{name}.also has {gone[0]!r}, which is not there")
        elif function.also and not function.source:
            found.append(f"functions.{name}.also wants source")
        elif function.only_with and function.only_with not in here.declared("variable"):
            found.append(f"functions.{name}.only_with names no Terraform variable: {function.only_with!r}")
        elif function.requirements and not (here.folder / function.requirements).is_file():
            found.append(f"functions.{name}.requirements = {function.requirements!r} is not there")
        elif function.zip and not function.command and not (here.folder / function.zip).exists():
            found.append(f"functions.{name}.zip = {function.zip!r} is not there, and no command makes it")
    return found
