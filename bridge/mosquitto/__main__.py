"""``python -m bridge.mosquitto``: run Mosquitto as AWS IoT's message broker until SIGTERM."""

import json
import shutil
import signal
import sys
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from bridge.mosquitto.configuration import Files, configuration
from bridge.mosquitto.directory import Directory
from bridge.mosquitto.revocation import Revocations
from bridge.mosquitto.supervisor import Supervisor, running_user
from bridge.pages import Answer, serve
from bridge.programs import configure_logs, most_connections
from bridge.registry import Registry


def main(
    port: Annotated[int, typer.Option(help="Port for devices (TLS).")],
    certificate: Annotated[Path, typer.Option(help="The broker's certificate (PEM).")],
    key: Annotated[Path, typer.Option(help="Its key.")],
    client_ca: Annotated[Path, typer.Option(help="Authority of the clients' certificates.")],
    client_ca_key: Annotated[Path, typer.Option(help="Its key, which signs the revocations.")],
    iot_endpoint_url: Annotated[str, typer.Option(help="AWS IoT's control plane.")],
    region: Annotated[str, typer.Option(help="Its region.")],
    state_dir: Annotated[Path, typer.Option(help="Folder for Mosquitto's files and state.")],
    health_port: Annotated[int, typer.Option(help="Port of /health and /admitted.")],
    trusted: Annotated[
        list[str], typer.Option(help="Common name that may do everything: the bridge's. May be repeated.")
    ],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    health_host: Annotated[str, typer.Option(help="Address of the health page.")] = "127.0.0.1",
    program: Annotated[str, typer.Option(help="Mosquitto 2.")] = "mosquitto",
) -> None:
    """Mosquitto over mutual TLS, with AWS IoT's certificates, policies and presence events."""
    configure_logs()
    most_connections()  # Mosquitto takes over the limit
    found = shutil.which(program)
    if found is None:
        sys.exit(f"error: {program} is not installed: install Mosquitto 2")
    state_dir.mkdir(parents=True, exist_ok=True)
    state_dir.chmod(0o700)  # whoever may open the internal listener may do everything
    files = Files(state_dir.resolve())
    files.write(
        files.configuration,
        configuration(
            files,
            host=host,
            port=port,
            certificate=certificate.resolve(),
            key=key.resolve(),
            client_ca=client_ca.resolve(),
            user=running_user(),
        ).encode(),
    )
    supervisor = Supervisor(
        Path(found),
        files,
        Directory(Registry(iot_endpoint_url, region)),
        Revocations(client_ca, client_ca_key, state_dir / "revoked.json"),
        trusted=tuple(trusted),
    )
    try:
        server = _serve_pages(health_host, health_port, supervisor)
    except OSError as error:
        sys.exit(f"error: port {health_port} for the health page is taken: {error}")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    supervisor.run()
    server.shutdown()


def _serve_pages(host: str, port: int, supervisor: Supervisor) -> ThreadingHTTPServer:
    def health(_body: bytes) -> Answer:
        healthy = supervisor.connected.is_set()
        return Answer(200 if healthy else 503, json.dumps({"clients": len(supervisor.admitted)}).encode())

    def missing(body: bytes) -> Answer:
        """Which of the names in the body, a JSON list, Mosquitto would not serve yet: it drops what they say."""
        try:
            names = msgspec.json.decode(body, type=set[str])
        except msgspec.DecodeError:
            return Answer(400, b'{"error": "the body must be a JSON list of names"}')
        left = sorted(names - supervisor.admitted)
        if left:
            supervisor.look_soon()
        return Answer(200, json.dumps({"missing": left}).encode())

    return serve(host, port, {("GET", "/health"): health, ("POST", "/admitted"): missing})


if __name__ == "__main__":
    typer.run(main)
