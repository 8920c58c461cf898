"""The page's files: our own in ``dashboard/``, and those of other people's packages, which npm installs from a lock."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from testbed.errors import TestbedError
from testbed.host import node
from testbed.paths import DASHBOARD
from testbed.say import Say

LOCKED = DASHBOARD / "packages"

# What the page calls it, and where its package has it.
_PACKAGED = {
    "uPlot.iife.min.js": "uplot/dist/uPlot.iife.min.js",
    "uPlot.min.css": "uplot/dist/uPlot.min.css",
    "countries-50m.json": "world-atlas/countries-50m.json",
}
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".json": "application/json"}


def packaged(say: Say) -> dict[str, Path]:
    """Install the packages, and return their files by the names that the page has for them.

    Where npm or a registry is missing, say so and return nothing: the page does without charts and outlines.
    """
    try:
        folder = node.packages("page", LOCKED)
    except TestbedError as error:
        first = str(error).splitlines()[0]
        say(f"The page has no charts and no outlines on its map: {first} Install npm, then start it again.")
        return {}
    return {name: folder / "node_modules" / path for name, path in _PACKAGED.items()}


def own() -> dict[str, Path]:
    """Return the page's own files by name."""
    return {file.name: file for file in DASHBOARD.iterdir() if file.suffix in TYPES}


def assemble(folder: Path, packages: Mapping[str, Path]) -> Path:
    """Copy the page's own files and ``packages`` into ``folder``, for Terraform to upload; nothing else stays there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, file in (own() | dict(packages)).items():
        shutil.copyfile(file, folder / name)
    return folder
