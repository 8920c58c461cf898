"""Run the testbed's command line: ``python -m testbed``."""

import sys


def run() -> None:
    """Run it; the installed command ``testbed`` is this."""
    # Here, for it takes most of a second, in which somebody may press Ctrl-C.
    try:
        from testbed.cli import load  # noqa: PLC0415
        from testbed.cli.console import main  # noqa: PLC0415

        load(*sys.argv[1:2])
    except KeyboardInterrupt:
        sys.exit(130)
    main()


if __name__ == "__main__":
    run()
