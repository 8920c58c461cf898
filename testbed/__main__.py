"""Run the testbed's command line: ``python -m testbed``."""

import sys


def run() -> None:
    """Run it; the installed command ``testbed`` is this."""
    # Here, for it takes a second in which somebody may press Ctrl-C. Importing a module of commands adds them.
    try:
        from testbed.cli import (  # noqa: F401, PLC0415
            archive,
            costs,
            deployment,
            devices,
            drills,
            projects,
            proofs,
            stations,
        )
        from testbed.cli.console import main  # noqa: PLC0415
    except KeyboardInterrupt:
        sys.exit(130)
    main()


if __name__ == "__main__":
    run()
