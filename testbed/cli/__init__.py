"""The testbed's commands, a module for each kind; `make` calls them."""

import importlib

# A command imports what it needs and no more: all modules together take a quarter longer.
COMMANDS = {
    "archive": ("query", "compact"),
    "costs": ("cost", "scale"),
    "deployment": ("up", "down", "dev", "plan", "leftovers", "package", "status", "logs", "policies"),
    "devices": ("device",),
    "drills": ("parity-record", "parity", "faults", "region-lost", "replicate", "clients", "rehearse"),
    "fleet": ("firmware", "fleet-settings"),
    "projects": ("init", "doctor"),
    "proofs": ("audit", "trace", "redrive"),
    "stations": ("simulate", "demo", "dashboard", "publish", "listen", "api", "load-test"),
}

# What is about the battery-swap network alone: its prices, its drills, its page's demonstration.
OF_THE_NETWORK = frozenset(
    ("cost", "scale", "demo", "faults", "parity", "parity-record", "region-lost", "replicate", "rehearse")
)


def load(command: str = "") -> None:
    """Add a command to the application, or all of them if there is none of that name."""
    wanted = [module for module, commands in COMMANDS.items() if command in commands]
    for module in wanted or COMMANDS:
        importlib.import_module(f"{__name__}.{module}")
