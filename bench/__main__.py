"""Run a benchmark: ``python -m bench``."""

from bench.cli import app
from testbed.cli.console import main

main(app, name="python -m bench")
