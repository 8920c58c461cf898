"""Commands of devices of the user's own."""

import typer

from testbed.cli.console import app, out
from testbed.deploy.deployment import current
from testbed.deploy.settings import Settings
from testbed.stations import snippet

devices = typer.Typer(no_args_is_help=True, help="Devices of your own.")
app.add_typer(devices, name="device")


@devices.callback()
def _devices() -> None:
    """Keep `add` a command of its own, though it is alone."""


@devices.command("add")
def add_command(name: str) -> None:
    """Register a device with a certificate and print how the AWS IoT Device SDK for Python connects as it."""
    out.file.write(snippet.add(current(Settings.from_environment()), name))
