"""The bridge's commands. A command imports what it needs when it runs: `eval` must start quickly."""

from __future__ import annotations

import base64
import binascii
import json
import sys
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Carries MQTT messages to AWS services by AWS IoT topic rules.",
)

NOT_FIRED_EXIT = 1
ERROR_EXIT = 2


@app.command("eval")
def evaluate_rule(
    sql: Annotated[str, typer.Option("--sql", help="The rule's SQL statement.")],
    topic: Annotated[str, typer.Option("--topic", help="The topic that the message was published to.")],
    payload: Annotated[
        str | None, typer.Option("--payload", help="The payload as text; - reads stdin.")
    ] = None,
    payload_base64: Annotated[
        str | None, typer.Option("--payload-base64", help="The payload in base64.")
    ] = None,
    client_id: Annotated[str | None, typer.Option("--client-id", help="clientid(); n/a if left out.")] = None,
    principal: Annotated[str | None, typer.Option("--principal", help="principal().")] = None,
    account_id: Annotated[str, typer.Option("--account-id", help="accountid().")] = "000000000000",
    timestamp: Annotated[
        int | None, typer.Option("--timestamp", help="timestamp(), in epoch milliseconds.")
    ] = None,
    sql_version: Annotated[
        str, typer.Option("--sql-version", help="2016-03-23 or 2015-10-08.")
    ] = "2016-03-23",
) -> None:
    """Print what a rule makes of a message, as JSON.

    Exit code 0: fired; 1: the rule does not fire; 2: the rule or the call is wrong. A payload that is not
    JSON and goes through as it is prints as a JSON string in base64, and stderr says so.
    """
    from bridge.sql import NOT_FIRED, RuleSqlError, evaluate  # noqa: PLC0415

    try:
        outgoing = evaluate(
            sql,
            topic,
            _payload(payload, payload_base64),
            client_id=client_id,
            principal=principal,
            account_id=account_id,
            now_ms=timestamp,
            version=sql_version,
        )
    except RuleSqlError as error:
        _fail(str(error))
    if outgoing is NOT_FIRED:
        typer.echo("the rule does not fire", err=True)
        raise typer.Exit(NOT_FIRED_EXIT)
    if isinstance(outgoing, bytes):
        typer.echo("the outgoing payload is binary: shown in base64", err=True)
        outgoing = base64.b64encode(outgoing).decode("ascii")
    # escaped, so that any terminal encoding can print it
    typer.echo(json.dumps(outgoing))


_ITS_OWN_ARGUMENTS = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


@app.command(context_settings=_ITS_OWN_ARGUMENTS)
def up(context: typer.Context) -> None:
    """Run a local AWS IoT Core until Ctrl-C (`python -m bridge up --help`)."""
    from bridge.local.up import main  # noqa: PLC0415

    _start(main, context)


@app.command("data-plane", context_settings=_ITS_OWN_ARGUMENTS)
def data_plane(context: typer.Context) -> None:
    """Serve iot-data and Jobs beside a broker (`python -m bridge data-plane --help`)."""
    from bridge.data_plane.__main__ import main  # noqa: PLC0415

    _start(main, context)


@app.command(context_settings=_ITS_OWN_ARGUMENTS)
def run(context: typer.Context) -> None:
    """Run the bridge: carry messages from a broker to AWS services (`python -m bridge run --help`)."""
    from bridge.runtime.__main__ import main  # noqa: PLC0415

    _start(main, context)


@app.command(context_settings=_ITS_OWN_ARGUMENTS)
def broker(context: typer.Context) -> None:
    """Run the package's own MQTT broker (`python -m bridge broker --help`)."""
    from bridge.broker.__main__ import main  # noqa: PLC0415

    _start(main, context)


@app.command(context_settings=_ITS_OWN_ARGUMENTS)
def mosquitto(context: typer.Context) -> None:
    """Run Mosquitto with AWS IoT's certificates and policies (`python -m bridge mosquitto --help`)."""
    from bridge.mosquitto.__main__ import main  # noqa: PLC0415

    _start(main, context)


def _start(main: Callable[..., None], context: typer.Context) -> None:
    command = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    command.command()(main)
    command(context.args, prog_name=f"python -m bridge {context.info_name}")


def _payload(payload: str | None, payload_base64: str | None) -> bytes:
    if (payload is None) == (payload_base64 is None):
        _fail("give one of --payload and --payload-base64")
    if payload == "-":
        return sys.stdin.buffer.read()
    if payload is not None:
        # the shell's bytes as they came, UTF-8 or not
        return payload.encode("utf-8", "surrogateescape")
    try:
        return base64.b64decode(payload_base64 or "", validate=True)
    except binascii.Error as error:
        _fail(f"--payload-base64 is not base64: {error}")


def _fail(message: str) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(ERROR_EXIT)
