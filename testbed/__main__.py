"""Run the testbed's command line: ``python -m testbed``. Importing a module of commands adds them."""

from testbed.cli import archive, costs, deployment, devices, drills, projects, proofs, stations  # noqa: F401
from testbed.cli.console import main


def run() -> None:
    """Run it; the installed command ``testbed`` is this."""
    main()


if __name__ == "__main__":
    run()
