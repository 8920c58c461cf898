"""``python -m bridge.data_plane``: run the data plane until SIGTERM."""

import asyncio
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from aiohttp import web

from bridge.data_plane.http import application
from bridge.data_plane.publishing import publish
from bridge.data_plane.session import DataPlaneSession, Outgoing
from bridge.programs import configure_logs, most_connections


def main(
    broker_host: Annotated[str, typer.Option(help="The MQTT broker.")],
    broker_port: Annotated[int, typer.Option(help="Its port (TLS).")],
    ca: Annotated[Path, typer.Option(help="Authority of the broker's certificate.")],
    certificate: Annotated[Path, typer.Option(help="The data plane's certificate.")],
    key: Annotated[Path, typer.Option(help="Its key.")],
    port: Annotated[int, typer.Option(help="Port of the HTTP service.")],
    host: Annotated[str, typer.Option(help="Address of the HTTP service.")] = "127.0.0.1",
    names_publishers: Annotated[
        bool, typer.Option(help="The broker is bridge.broker, which names publishers.")
    ] = False,
) -> None:
    """Serve AWS IoT's data plane (iot-data, iot-jobs-data) beside an MQTT broker."""
    configure_logs()
    most_connections()
    session = DataPlaneSession(
        broker_host,
        broker_port,
        ca=ca,
        certificate=certificate,
        key=key,
        names_publishers=names_publishers,
        mqtt5=not names_publishers,
        topic_filters=["$aws/things/+/shadow/update"],
        receive=lambda _received: None,
        connected=lambda: None,
    )
    try:
        uvloop.run(_serve(session, host, port))
    except OSError as error:
        sys.exit(f"error: the data plane cannot listen on {host}:{port}: {error}")


async def _serve(session: DataPlaneSession, host: str, port: int) -> None:
    operations = {("iot-data", "Publish"): partial(publish, session)}

    async def tell(topic: str, payload: bytes) -> None:
        await session.publish(Outgoing(topic, payload))

    runner = web.AppRunner(application(operations, tell, lambda: session.ready), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port, backlog=1024).start()
    session.start()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()
    await runner.cleanup()
    session.stop()


if __name__ == "__main__":
    typer.run(main)
