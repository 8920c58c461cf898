"""hashicorp/null, time, external and template: what is left of the small ones."""

import json
import re
import secrets
import subprocess
import time
from datetime import UTC, datetime
from typing import Any, ClassVar

from base import TEXT, Made, Read, State, UnsupportedError, computed, given, needed
from tf.schema import Attribute
from tf.types import List, Map

_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def _identity() -> str:
    return str(secrets.randbelow(2**63))


class Null(Made):
    """``null_resource``; Terraform itself runs its provisioners."""

    name = "resource"
    attributes: ClassVar[list[Attribute]] = [given("triggers", Map(TEXT)), *computed("id")]

    def make(self, state: State) -> State:  # noqa: ARG002
        """Give it an id."""
        return {"id": _identity()}


class NullData(Read):
    """``null_data_source``."""

    name = "data_source"
    attributes: ClassVar[list[Attribute]] = [
        given("inputs", Map(TEXT)),
        given("has_computed_default"),
        *computed("outputs", kind=Map(TEXT)),
        *computed("random", "id"),
    ]

    def make(self, state: State) -> State:
        """Give the inputs back."""
        return {"outputs": state["inputs"] or {}, "random": _identity(), "id": "static"}


def _wait(text: str | None) -> None:
    """Wait as long as ``1m30s`` says."""
    time.sleep(sum(float(n) * _SECONDS[unit] for n, unit in re.findall(r"([\d.]+)(ms|h|m|s)", text or "")))


class Sleep(Made):
    """``time_sleep``."""

    name = "sleep"
    attributes: ClassVar[list[Attribute]] = [
        given("create_duration"),
        Attribute("destroy_duration", TEXT, optional=True),
        given("triggers", Map(TEXT)),
        *computed("id"),
    ]

    def make(self, state: State) -> State:
        """Wait."""
        _wait(state["create_duration"])
        return {"id": _now()}

    def delete(self, ctx: Any, current: State) -> None:  # noqa: ARG002
        """Wait."""
        _wait(current["destroy_duration"])


class Static(Made):
    """``time_static``."""

    name = "static"
    attributes: ClassVar[list[Attribute]] = [
        given("triggers", Map(TEXT)),
        Attribute("rfc3339", TEXT, optional=True, computed=True, requires_replace=True),
        *computed("id"),
    ]

    def make(self, state: State) -> State:
        """Note the time."""
        when = state["rfc3339"] if isinstance(state["rfc3339"], str) else _now()
        return {"rfc3339": when, "id": when}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class External(Read):
    """``external``: the answer of a program of the user's, JSON in and JSON out."""

    name = ""
    attributes: ClassVar[list[Attribute]] = [
        needed("program", List(TEXT)),
        given("query", Map(TEXT)),
        given("working_dir"),
        *computed("id"),
        *computed("result", kind=Map(TEXT)),
    ]

    def make(self, state: State) -> State:
        """Ask the program."""
        done = subprocess.run(
            state["program"],
            input=json.dumps(state["query"] or {}),
            cwd=state["working_dir"] or None,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise UnsupportedError(f"{state['program'][0]} failed: {done.stderr.strip()}")
        return {"id": "-", "result": json.loads(done.stdout)}


class Template(Read):
    """``template_file``; a template with more than ``${name}`` is refused."""

    name = "file"
    attributes: ClassVar[list[Attribute]] = [
        needed("template"),
        given("vars", Map(TEXT)),
        *computed("id", "rendered"),
    ]

    def make(self, state: State) -> State:
        """Fill in the variables."""
        known = state["vars"] or {}

        def fill(found: re.Match[str]) -> str:
            if found[2] not in known:
                raise UnsupportedError(f"{found[0]} is more than a name of vars, which is not built here")
            return str(known[found[2]])

        rendered = re.sub(r"(?<!\$)\$\{(\s*([^}]*?)\s*)\}", fill, state["template"])
        if re.search(r"(?<!%)%\{", rendered):
            raise UnsupportedError("directives (%{...}) are not built here")
        return {"id": "-", "rendered": rendered.replace("$${", "${")}


# Resources and data sources by the provider's name.
PROVIDERS = {
    "external": ([], [External]),
    "null": ([Null], [NullData]),
    "template": ([], [Template]),
    "time": ([Sleep, Static], []),
}
