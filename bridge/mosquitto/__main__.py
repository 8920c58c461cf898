"""``python -m bridge.mosquitto``: run Mosquitto as AWS IoT's message broker until SIGTERM."""

import json
import logging
import shutil
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

import structlog
import typer

from bridge.mosquitto.configuration import Files, configuration
from bridge.mosquitto.directory import Directory
from bridge.mosquitto.revocation import Revocations
from bridge.mosquitto.supervisor import Supervisor, running_user
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
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    found = shutil.which(program)
    if found is None:
        sys.exit(f"error: {program} is not installed: install Mosquitto 2")
    state_dir.mkdir(parents=True, exist_ok=True)
    state_dir.chmod(0o700)  # whoever may open the internal listener may do everything
    files = Files(state_dir.resolve())
    files.write(
        files.configuration,
        configuration(
            files, host=host, port=port, certificate=certificate.resolve(), key=key.resolve(),
            client_ca=client_ca.resolve(), user=running_user(),
        ).encode(),
    )  # fmt: skip
    supervisor = Supervisor(
        Path(found), files, Directory(Registry(iot_endpoint_url, region)),
        Revocations(client_ca, client_ca_key, state_dir / "revoked.json"),
        trusted=tuple(trusted),
    )  # fmt: skip
    try:
        server = _serve_health(health_host, health_port, supervisor)
    except OSError as error:
        sys.exit(f"error: port {health_port} for the health page is taken: {error}")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    supervisor.run()
    server.shutdown()


def _serve_health(host: str, port: int, supervisor: Supervisor) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # http.server's name
            url = urlsplit(self.path)
            if url.path == "/health":
                healthy = supervisor.connected.is_set()
                self._answer(200 if healthy else 503, {"clients": len(supervisor.admitted)})
            elif url.path == "/admitted":
                # A name is admitted when Mosquitto has read its rights: before, it would drop what it says.
                name = parse_qs(url.query).get("name", [""])[0]
                self._answer(200 if name in supervisor.admitted else 404, {"name": name})
            else:
                self._answer(404, {"error": "/health and /admitted?name= are here"})

        def do_POST(self) -> None:  # http.server's name
            """Which of the names in the body (a JSON list) are not admitted yet."""
            try:
                names = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
                missing = {str(name) for name in names} - supervisor.admitted
                if missing:
                    supervisor.look_soon()
                self._answer(200, {"missing": sorted(missing)})
            except (ValueError, TypeError):
                self._answer(400, {"error": "the body must be a JSON list of names"})

        def _answer(self, status: int, document: dict[str, object]) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
            """Say nothing of questions."""

    server = ThreadingHTTPServer((host, port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


if __name__ == "__main__":
    typer.run(main)
