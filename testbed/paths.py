"""Where things are: the sources, the user's project, and the folder that everything made at run time goes to."""

import os
from pathlib import Path

from testbed.errors import TestbedError

# What holds the packages: the checkout, or site-packages where the testbed was installed.
REPOSITORY = Path(__file__).resolve().parent.parent
TERRAFORM = REPOSITORY / "terraform"
FUNCTIONS = REPOSITORY / "functions"
DASHBOARD = REPOSITORY / "dashboard"

PROJECT_FILE = "testbed.toml"


def project_folder() -> Path:
    """Return the nearest folder, from the working directory upward, that has a project file; else the checkout.

    Raises:
        TestbedError: there is none.
    """
    here = Path.cwd()
    for folder in (here, *here.parents, REPOSITORY):
        if (folder / PROJECT_FILE).is_file():
            return folder
    raise TestbedError(f"There is no {PROJECT_FILE} in {here} or above it.", "Make a project: testbed init")


def state_root() -> Path:
    """Return the folder of deployments, environments and packages: the project's ``.testbed`` or ``$TESTBED_HOME``."""
    return Path(os.environ.get("TESTBED_HOME") or project_folder() / ".testbed").resolve()
