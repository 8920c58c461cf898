"""What all commands share: the application, the terminal, questions and errors."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup

from bridge.loopback import never_by_proxy
from testbed.cli import COMMANDS, OF_THE_NETWORK
from testbed.errors import TestbedError
from testbed.host.endings import clean_up_when_terminated
from testbed.paths import REPOSITORY, project_folder

# What says which deployment is meant, and what else `up` is told; a hint repeats those that were given.
_WHICH = {"local": ("DEPLOYMENT", "ENGINE"), "aws": ("TARGET", "PROJECT", "ENVIRONMENT", "AWS_REGION")}
_OF_UP = ("ENVIRONMENT", "AWS_REGION", "AWS_PORT", "MQTT_PORT", "METRICS_PORT", "AIR_GAPPED", "ENFORCE_IAM")

# A command in a hint, with the settings that it names itself: after make's target, before a program.
_SETTING = r"[A-Z_]+=\S*[^\s.,;:)`]"
_MAKE = re.compile(rf"\bmake (?P<command>[a-z-]+)(?P<named>(?: {_SETTING})*)")
_PROGRAM = re.compile(rf"(?P<named>(?:\b{_SETTING} )*)scripts/testbed (?P<command>[a-z-]+)")


def _debug_option() -> Any:
    only_that = typer.Typer()

    @only_that.command()
    def command(
        debug: Annotated[bool, typer.Option("--debug", help="Show an error with its traceback.")] = False,
    ) -> None:
        """Exist for its option: typer makes options of functions alone."""

    (option, *_) = typer.main.get_command(only_that).params
    option.expose_value = False  # `main` looks for it
    return option


_DEBUG = _debug_option()


class _Command(TyperCommand):
    def get_params(self, ctx: Any) -> list[Any]:
        """Return the command's parameters and ``--debug``."""
        return [*super().get_params(ctx), _DEBUG]

    def invoke(self, ctx: Any) -> Any:
        """Run the command, where it is one for this project."""
        if ctx.info_name in OF_THE_NETWORK and project_folder() != REPOSITORY:
            raise TestbedError(
                f"`{ctx.info_name}` is about the battery-swap network, the testbed's own project.",
                "docs/own-project.md lists what works for any project.",
            )
        return super().invoke(ctx)


class _Group(TyperGroup):
    def get_params(self, ctx: Any) -> list[Any]:
        """Return the group's parameters and ``--debug``."""
        return [*super().get_params(ctx), _DEBUG]


class Application(typer.Typer):
    """Commands that fail in one line and know ``--debug``."""

    def __init__(self) -> None:
        """Add no command yet."""
        super().__init__(cls=_Group, no_args_is_help=True, pretty_exceptions_enable=False)
        self.callback()(lambda: None)

    def command(self, name: str | None = None, **options: Any) -> Callable[[Any], Any]:
        """Add a command, as typer does."""
        return super().command(name, cls=_Command, **options)


app = Application()

# A pipe has no width: tables keep their columns there.
out = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def main(application: typer.Typer = app, *, name: str = "testbed") -> None:
    """Run a command; an error is one line with its remedy, a traceback only with ``--debug``."""
    never_by_proxy()
    clean_up_when_terminated()
    debug = "--debug" in sys.argv
    try:
        application(prog_name=name)
    except TestbedError as error:
        if debug:
            raise
        _fail(str(TestbedError(error.problem, with_settings(error.remedy, os.environ))))
    except (BotoCoreError, ClientError) as error:
        if debug:
            raise
        _fail(str(error))
    except KeyboardInterrupt:
        if debug:
            raise
        sys.exit(130)


def _fail(message: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[red]error[/red] {escape(message)}")
    sys.exit(1)


def with_settings(hint: str, environment: Mapping[str, str]) -> str:
    """Return a hint whose commands name the deployment that this command was about.

    Hints are written for the default deployment. A setting that the hint has already is left as it is there.
    """

    def settings(command: str, named: str) -> list[str]:
        aws = "TARGET=aws" in named or environment.get("TARGET") == "aws"
        names = [*_WHICH["aws" if aws else "local"], *(_OF_UP if command == "up" and not aws else ())]
        given = {name: environment[name] for name in names if environment.get(name)}
        return [
            *named.split(),
            *(f"{name}={value}" for name, value in given.items() if f"{name}=" not in named),
        ]

    def complete(found: re.Match[str]) -> str:
        command, words = found["command"], settings(found["command"], found["named"])
        if not any(command in commands for commands in COMMANDS.values()):
            return found[0]
        if _elsewhere():
            return " ".join([*words, "testbed", command])
        if found.re is _MAKE:
            return " ".join(["make", command, *words])
        return " ".join([*words, "scripts/testbed", command])

    return _PROGRAM.sub(complete, _MAKE.sub(complete, hint))


def _elsewhere() -> bool:
    """Return whether the project is not this checkout: then there is no Makefile of ours, and no scripts/."""
    try:
        return project_folder() != REPOSITORY or not (REPOSITORY / "Makefile").is_file()
    except TestbedError:
        return True


def confirm(question: str) -> bool:
    """Ask at the terminal.

    Raises:
        TestbedError: there is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise TestbedError(f"{question} There is nobody to ask.", "Say yes beforehand: ARGS=--yes")
    return typer.confirm(question)


def say(line: str) -> None:
    """Print a line for a person; the commands in it name the deployment that is meant."""
    show(with_settings(line, os.environ))


def show(line: str) -> None:
    """Print a line as it is: data, in which nothing may change."""
    out.print(line, soft_wrap=True, markup=False)


def show_json(document: Any) -> None:
    """Print a document for a program: JSON, and nothing else."""
    print(json.dumps(document, indent=1, default=str))


Yes = Annotated[bool, typer.Option("--yes", help="Do not ask before changing or removing anything on AWS.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")]


@contextmanager
def if_interrupted(remedy: str) -> Iterator[None]:
    """Say what may be done next where Ctrl-C ends what is inside; commands in it get this deployment's settings."""
    try:
        yield
    except KeyboardInterrupt:
        say(f"Interrupted. {with_settings(remedy, os.environ)}")
        raise


def asking_unless(yes: bool) -> Callable[[str], bool]:
    """Return what answers questions: somebody at the terminal, unless yes was said beforehand."""
    return (lambda _: True) if yes else confirm


def short(path: str) -> str:
    """Return a path as seen from here, where that is shorter."""
    return min(path, os.path.relpath(path), key=len)
