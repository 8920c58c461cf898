"""The testbed's command line: importing a module of commands adds them."""

from testbed.commands import benchmarks, deployment, messages, prices, proofs, stations
from testbed.commands.console import app, main

__all__ = ["app", "benchmarks", "deployment", "main", "messages", "prices", "proofs", "stations"]
