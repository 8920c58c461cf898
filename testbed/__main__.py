"""Run the testbed's command line: ``python -m testbed``. Importing a module of commands adds them."""

from testbed.cli import archive, costs, deployment, devices, drills, proofs, stations  # noqa: F401
from testbed.cli.console import main

main()
