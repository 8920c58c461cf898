"""Run ``python -m simulator``."""

from simulator.cli import main

if __name__ == "__main__":  # the processes of `--processes` import this, too
    main()
