"""Where things are: the sources, the user's project, and the folder that everything made at run time goes to."""

import os
import tomllib
from pathlib import Path

from testbed.errors import TestbedError

# What holds the packages: the checkout, or site-packages where the testbed was installed.
REPOSITORY = Path(__file__).resolve().parent.parent
TERRAFORM = REPOSITORY / "terraform"
FUNCTIONS = REPOSITORY / "functions"
DASHBOARD = REPOSITORY / "dashboard"

PROJECT_FILE = "testbed.toml"


def project_file() -> Path:
    """Return the project file of the nearest folder, from the working directory upward, that has one.

    It is ``testbed.toml``, or ``pyproject.toml`` with ``[tool.testbed]``; else the checkout's.

    Raises:
        TestbedError: there is none.
    """
    here = Path.cwd()
    for folder in (here, *here.parents, REPOSITORY):
        if (folder / PROJECT_FILE).is_file():
            return folder / PROJECT_FILE
        if _has_our_table(python := folder / "pyproject.toml"):
            return python
    raise TestbedError(f"There is no {PROJECT_FILE} in {here} or above it.", "Make a project: testbed init")


def _has_our_table(file: Path) -> bool:
    if not file.is_file() or b"tool.testbed" not in (text := file.read_bytes()):
        return False
    try:
        return "testbed" in tomllib.loads(text.decode()).get("tool", {})
    except ValueError:  # somebody else's file; whoever reads it will say so
        return False


def project_folder() -> Path:
    """Return the folder of `project_file`.

    Raises:
        TestbedError: there is none.
    """
    return project_file().parent


def state_root() -> Path:
    """Return the folder of deployments, environments and packages: the project's ``.testbed`` or ``$TESTBED_HOME``."""
    return Path(os.environ.get("TESTBED_HOME") or project_folder() / ".testbed").resolve()
