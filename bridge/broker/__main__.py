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
from bridge.broker.server import Broker
from bridge.programs import most_connections
from bridge.registry import Registry


def main(
    port: Annotated[int, typer.Option(help="Port to listen on.")],
    certificate: Annotated[Path, typer.Option(help="The broker's certificate (PEM).")],
    key: Annotated[Path, typer.Option(help="Its key.")],
    client_ca: Annotated[Path, typer.Option(help="Authority of the clients' certificates.")],
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
) -> None:
    """An MQTT 3.1.1 broker over mutual TLS, with AWS IoT's certificates and policies."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(client_ca))
    context.load_cert_chain(certificate, key)
    context.verify_mode = ssl.CERT_REQUIRED
    # Tickets would let a deactivated certificate resume; and each costs a signature.
    context.num_tickets = 0
    state_dir.mkdir(parents=True, exist_ok=True)
    trusted = frozenset(
        x509.load_pem_x509_certificate(path.read_bytes()).fingerprint(hashes.SHA256()).hex()
        for path in trusted_certificate
    )
    guard = RegistryGuard(Registry(iot_endpoint_url, region), trusted)
    try:
        uvloop.run(_serve(guard, state_dir, required_client, host, port, context))
    except OSError as error:
        sys.exit(f"error: the broker cannot listen on {host}:{port}: {error}")


async def _serve(
    guard: RegistryGuard,
    state_dir: Path,
    required_clients: list[str],
    host: str,
    port: int,
    context: ssl.SSLContext,
) -> None:
    broker = Broker(guard, state_dir, required_clients=required_clients)
    server = await broker.serve(host, port, context)
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


if __name__ == "__main__":
    typer.run(main)
