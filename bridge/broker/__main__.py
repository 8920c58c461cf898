"""``python -m bridge.broker``: run the broker until SIGTERM."""

import asyncio
import logging
import signal
import ssl
import sys
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from bridge.broker.guard import RegistryGuard
from bridge.broker.limits import Limits
from bridge.broker.listener import listen
from bridge.broker.server import Broker
from bridge.broker.tls import server_context
from bridge.programs import most_connections
from bridge.registry import Registry


def main(
    port: Annotated[int, typer.Option(help="Port to listen on.")],
    certificate: Annotated[Path, typer.Option(help="The broker's certificate (PEM).")],
    key: Annotated[Path, typer.Option(help="Its key.")],
    trusted_certificate: Annotated[
        list[Path],
        typer.Option(help="A certificate that may do everything, such as the bridge's. May be repeated."),
    ],
    required_client: Annotated[
        list[str],
        typer.Option(help="A client, such as the bridge, before whom nobody gets in. May be repeated."),
    ],
    iot_endpoint_url: Annotated[str, typer.Option(help="AWS IoT's control plane.")],
    region: Annotated[str, typer.Option(help="Its region.")],
    state_dir: Annotated[Path, typer.Option(help="Folder of the persistent sessions.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    publishes_per_second: Annotated[
        int, typer.Option(help="Most publishes a second of a connection, as on AWS; 0 for as many as come.")
    ] = Limits.publishes,
    session_seconds: Annotated[
        int,
        typer.Option(help="How long a session outlives its connection at most: AWS's quota, up to 604800."),
    ] = Limits.session,
) -> None:
    """Run an MQTT 3.1.1 and 5 broker over mutual TLS, with AWS IoT's certificates, policies and limits."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    context = server_context(certificate, key)
    state_dir.mkdir(parents=True, exist_ok=True)
    trusted = frozenset(
        x509.load_pem_x509_certificate(path.read_bytes()).fingerprint(hashes.SHA256()).hex()
        for path in trusted_certificate
    )
    guard = RegistryGuard(Registry(iot_endpoint_url, region), trusted)
    try:
        uvloop.run(
            _serve(
                guard,
                state_dir,
                required_client,
                Limits(publishes=publishes_per_second, session=session_seconds),
                host,
                port,
                context,
            )
        )
    except OSError as error:
        sys.exit(f"error: the broker cannot listen on {host}:{port}: {error}")


async def _serve(
    guard: RegistryGuard,
    state_dir: Path,
    required_clients: list[str],
    limits: Limits,
    host: str,
    port: int,
    context: ssl.SSLContext,
) -> None:
    broker = Broker(guard, state_dir, required_clients=required_clients, limits=limits)
    server = await listen(broker, host, port, context)
    watcher = asyncio.create_task(guard.watch(broker.disconnect_certificates))
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    logging.getLogger(__name__).info(
        "listening on %s:%d, for %d connections (ulimit -Hn)", host, port, most_connections()
    )
    await stopped.wait()
    watcher.cancel()
    server.close()
    broker.close()
    await asyncio.sleep(0)  # what was written is sent


if __name__ == "__main__":
    typer.run(main)
