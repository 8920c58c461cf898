"""``python -m bridge.broker``: run the broker until SIGTERM."""

import asyncio
import gc
import logging
import signal
import sys
from pathlib import Path
from typing import Annotated

import botocore.session
import typer
import uvloop
from botocore.credentials import Credentials
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from bridge.authorizers import FUNCTION_SECONDS
from bridge.broker.gate import Doors, Gate
from bridge.broker.guard import RegistryGuard
from bridge.broker.limits import Limits
from bridge.broker.listener import Listener, listen, listen_tls
from bridge.broker.server import Broker
from bridge.broker.signers import Signers
from bridge.broker.visitors import Authorizers
from bridge.clients import invoker
from bridge.control_plane import control_plane
from bridge.programs import most_connections
from bridge.registry import Registry
from bridge.tls import CERTIFICATE_MQTT, server_context, websocket_context

log = logging.getLogger(__name__)

# Objects made before the collector of cycles looks. A connection is some fifty that live as long as it does: at
# Python's 700 the collector took 7 % of the broker's time while a fleet connected.
_MADE_BEFORE_COLLECTION = 50_000


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
    websocket_port: Annotated[
        int,
        typer.Option(
            help="Port for MQTT over WebSocket with AWS credentials, over WebSocket or TLS with a custom authorizer,"
            " and with a certificate where ALPN says x-amzn-mqtt-ca (AWS: 443); 0 for none."
        ),
    ] = 0,
    aws_endpoint_url: Annotated[
        str, typer.Option(help="Where authorizers' functions are called; as the control plane if left out.")
    ] = "",
    publishes_per_second: Annotated[
        int, typer.Option(help="Most publishes a second of a connection, as on AWS; 0 for as many as come.")
    ] = Limits.publishes,
    authority: Annotated[
        Path | None,
        typer.Option(help="The one issuer of clients' certificates where this Python cannot take any (PEM)."),
    ] = None,
    session_seconds: Annotated[
        int,
        typer.Option(help="How long a session outlives its connection at most: AWS's quota, up to 604800."),
    ] = Limits.session,
) -> None:
    """Run an MQTT 3.1.1 and 5 broker over mutual TLS, with AWS IoT's certificates, policies and limits."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    gc.set_threshold(_MADE_BEFORE_COLLECTION)
    state_dir.mkdir(parents=True, exist_ok=True)
    trusted = frozenset(
        x509.load_pem_x509_certificate(path.read_bytes()).fingerprint(hashes.SHA256()).hex()
        for path in trusted_certificate
    )
    guard = RegistryGuard(Registry(iot_endpoint_url, region), trusted)
    limits = Limits(publishes=publishes_per_second, session=session_seconds)

    async def serve() -> None:
        broker = Broker(guard, state_dir, required_clients=required_client, limits=limits)
        listeners = [await listen(broker, host, port, server_context(certificate, key, authority))]
        if websocket_port:
            root = botocore.session.Session().get_credentials() or Credentials("test", "test")
            invoke = invoker(aws_endpoint_url or iot_endpoint_url, region, seconds=FUNCTION_SECONDS)
            doors = Doors(
                broker,
                Signers(iot_endpoint_url, region, root),
                Authorizers(control_plane(iot_endpoint_url, region), invoke),
            )
            with_certificate = server_context(certificate, key, authority)
            with_certificate.set_alpn_protocols([CERTIFICATE_MQTT])
            listeners.append(
                await listen_tls(
                    host,
                    websocket_port,
                    websocket_context(certificate, key),
                    lambda: Gate(doors),
                    {CERTIFICATE_MQTT: with_certificate},
                )
            )
        log.info(
            "listening on %s:%d, for %d connections (ulimit -Hn)%s",
            host,
            port,
            most_connections(),
            f", and for MQTT over WebSocket on {websocket_port}" if websocket_port else "",
        )
        await _until_stopped(broker, guard, listeners)

    try:
        uvloop.run(serve())
    except OSError as error:
        sys.exit(f"error: the broker cannot listen on {host}:{port}: {error}")


async def _until_stopped(broker: Broker, guard: RegistryGuard, listeners: list[Listener]) -> None:
    watchers = [
        asyncio.create_task(guard.watch(broker.disconnect_certificates)),
        asyncio.create_task(guard.follow(broker.connected_certificates)),
        asyncio.create_task(guard.follow_versions(broker.connected_certificates)),
    ]
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()
    for watcher in watchers:
        watcher.cancel()
    for listener in listeners:
        listener.close()
    broker.close()
    await asyncio.sleep(0)  # what was written is sent


if __name__ == "__main__":
    typer.run(main)
