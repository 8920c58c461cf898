"""Where things are: the sources, and the folder that everything made at run time goes to."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
TERRAFORM = REPOSITORY / "terraform"
FUNCTIONS = REPOSITORY / "functions"
DASHBOARD = REPOSITORY / "dashboard"


def state_root() -> Path:
    """Return the folder of deployments, environments and packages: ``.testbed`` or ``$TESTBED_HOME``."""
    return Path(os.environ.get("TESTBED_HOME") or REPOSITORY / ".testbed").resolve()
