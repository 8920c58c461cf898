"""``python -m bridge.front_door``: MQTT over WebSocket for pages that watch, in front of any broker.

It takes presigned URLs as AWS IoT Core does and grants what a subscriber needs, no more. It has one connection to
the broker, with a certificate of its own, however many pages there are. A page that is slower than the stations
gets the latest message of each topic; how many it missed comes on ``DROPPED_TOPIC``.
"""

import asyncio
import logging
import os
import signal
import ssl
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from botocore.credentials import Credentials

from bridge.front_door.door import FrontDoor, broker_client, log
from bridge.front_door.page import Rights
from bridge.programs import configure_logs

_KEEP_ALIVE_SECONDS = 15


def main(
    port: Annotated[int, typer.Option(help="Port for pages.")],
    broker_port: Annotated[int, typer.Option(help="The broker's TLS port.")],
    broker_ca: Annotated[Path, typer.Option(help="Authority of the broker's certificate.")],
    client_id: Annotated[str, typer.Option(help="Client id at the broker.")],
    certificate: Annotated[Path, typer.Option(help="Certificate to show the broker (PEM).")],
    key: Annotated[Path, typer.Option(help="Its key.")],
    region: Annotated[str, typer.Option(help="Region that URLs are signed for.")],
    topic_filter: Annotated[list[str], typer.Option(help="What pages may subscribe to. May be repeated.")],
    client_prefix: Annotated[str, typer.Option(help="How pages' client ids begin.")] = "dashboard-",
    broker_host: Annotated[str, typer.Option(help="The broker.")] = "localhost",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Serve a subscribe-only WebSocket for pages.

    FRONT_DOOR_ACCESS_KEY_ID and FRONT_DOOR_SECRET_ACCESS_KEY sign its URLs.
    """
    configure_logs()
    # A probe of the port is no error.
    logging.getLogger("websockets.server").setLevel(logging.CRITICAL)
    try:
        credentials = Credentials(
            os.environ["FRONT_DOOR_ACCESS_KEY_ID"],
            os.environ["FRONT_DOOR_SECRET_ACCESS_KEY"],
            os.environ.get("FRONT_DOOR_SESSION_TOKEN"),
        )
    except KeyError as error:
        sys.exit(f"error: {error.args[0]} is not set: whoever signs the URLs gives it")
    tls = ssl.create_default_context(cafile=str(broker_ca))
    tls.load_cert_chain(certificate, key)
    door = FrontDoor(credentials, region, Rights(client_prefix, frozenset(topic_filter)))

    async def run() -> str:
        refused: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        client = broker_client(door, client_id, tls, topic_filter, partial(_settle, refused))
        client.connect_async(broker_host, broker_port, _KEEP_ALIVE_SECONDS)
        client.loop_start()
        try:
            return await _serve(door, host, port, refused)
        finally:
            client.disconnect()
            client.loop_stop()

    try:
        refusal = asyncio.run(run())
    except OSError as error:
        sys.exit(f"error: cannot listen on {host}:{port}: {error}")
    if refusal:
        sys.exit(
            f"error: the broker refuses {client_id} a subscription to {refusal}: give the policy of its certificate"
            " iot:Subscribe and iot:Receive for each --topic-filter"
        )


def _settle(refused: asyncio.Future[str], reason: str) -> None:
    if not refused.done():
        refused.set_result(reason)


async def _serve(door: FrontDoor, host: str, port: int, ended: asyncio.Future[str]) -> str:
    """Serve until SIGTERM, or until a subscription is refused; return why it was, or an empty string."""
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _settle, ended, "")
    async with await door.serve(host, port):
        log.info("listening", host=host, port=port)
        return await ended


if __name__ == "__main__":
    typer.run(main)
