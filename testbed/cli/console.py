"""What all commands share: the application, the terminal, questions and errors."""

import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.markup import escape

from testbed.errors import TestbedError


def application() -> typer.Typer:
    """Make an application whose commands fail as ours do."""
    return typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


app = application()

# A pipe has no width: tables keep their columns there.
out = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def main(application: typer.Typer = app) -> None:
    """Run a command; an error is one line with its remedy, a traceback only with ``--debug``."""
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    try:
        application()
    except TestbedError as error:
        if debug:
            raise
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"[red]error[/red] {error}", markup=True)
        sys.exit(1)
    except (BotoCoreError, ClientError) as error:
        if debug:
            raise
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"[red]error[/red] {escape(str(error))}")
        sys.exit(1)
    except KeyboardInterrupt:
        if debug:
            raise
        sys.exit(130)


def confirm(question: str) -> bool:
    """Ask at the terminal.

    Raises:
        TestbedError: there is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise TestbedError(f"{question} There is nobody to ask.", "Say yes beforehand: ARGS=--yes")
    return typer.confirm(question)


def say(line: str) -> None:
    """Print a line as it is."""
    out.print(line, soft_wrap=True, markup=False)


Yes = Annotated[bool, typer.Option("--yes", help="Do not ask before changing or removing anything on AWS.")]


def asking_unless(yes: bool) -> Callable[[str], bool]:
    """What answers questions: somebody at the terminal, unless yes was said beforehand."""
    return (lambda _: True) if yes else confirm


def short(path: str) -> str:
    """A path as seen from here, where that is shorter."""
    return min(path, os.path.relpath(path), key=len)
