"""The form of a result: one JSON object a file, the same head whatever was measured.

``schema`` is 1; ``what`` names the kind of figures, ``command`` what made them, ``measured_at`` is ISO 8601 in UTC.
``machine`` has ``cores``, ``memory_gib``, ``architecture``, and the load average of one minute at the begin and at the
end (``load_before``, ``load_after``). ``versions`` are those of the programs measured. ``scale`` is what was asked for,
``figures`` what was found; their fields are those of the dataclasses that the benchmark's module has. ``note`` is a
sentence more, where there is one.
"""

import json
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from testbed.errors import TestbedError
from testbed.paths import REPOSITORY

SCHEMA = 1
# Where a benchmark writes, out of git's sight, and where the documentation's figures are kept.
MEASURED = REPOSITORY / "results"
KEPT = REPOSITORY / "docs" / "results"
_HEAD = ("schema", "what", "command", "measured_at", "machine", "versions", "scale", "figures")


@dataclass(frozen=True)
class Run:
    """A measurement that has begun: made before it, so that the load of others is seen without its own.

    ``target`` is the benchmark's name: ``make bench WHAT=<target>``.
    """

    what: str
    target: str
    load_before: float = field(default_factory=lambda: os.getloadavg()[0])
    begun: datetime = field(default_factory=lambda: datetime.now(UTC))

    def document(
        self, figures: Mapping[str, Any], scale: Mapping[str, Any], versions: Mapping[str, str]
    ) -> dict[str, Any]:
        """Return its result."""
        return {
            "schema": SCHEMA,
            "what": self.what,
            "command": made_by(self.target),
            "measured_at": self.begun.isoformat(timespec="seconds"),
            "machine": {
                "cores": os.cpu_count() or 1,
                "memory_gib": round(psutil.virtual_memory().total / 2**30),
                "architecture": platform.machine(),
                "load_before": round(self.load_before, 1),
                "load_after": round(os.getloadavg()[0], 1),
            },
            "versions": {"python": platform.python_version(), **versions},
            "scale": dict(scale),
            "figures": rounded(figures),
        }


def made_by(target: str) -> str:
    """Return the command that is running, as a person types it; where its files go is left out."""
    words, skip = [], False
    for word in sys.argv[2:]:
        if skip or word in ("--report", "--out"):
            skip = not skip
        elif not word.startswith(("--report=", "--out=")):
            words.append(word)
    engine = os.environ.get("ENGINE")
    return (
        ("make bench" if target == "pipeline" else f"make bench WHAT={target}")
        + (f" ENGINE={engine}" if engine else "")
        + (f' ARGS="{" ".join(words)}"' if words else "")
    )


def rounded(value: Any) -> Any:
    """Return the same with six significant digits: the file is for people."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {str(name): rounded(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(entry) for entry in value]
    return value


def write(document: Mapping[str, Any], path: Path) -> None:
    """Write it as indented JSON, and make the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")


def read(path: Path) -> dict[str, Any]:
    """Return the result in a file.

    Raises:
        TestbedError: it is none, or of a form that this version does not know.
    """
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise TestbedError(f"{path} cannot be read: {error}.", "Measure again.") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA or set(_HEAD) - set(document):
        raise TestbedError(f"{path} is no result of schema {SCHEMA}.", "Measure again.")
    return document
