"""`make dashboard`: the page on loopback, its data through us, and the WebSocket front door beside it.

The API's key stays here: the page asks this server, which asks the API. Every run has a signing key of its own.
"""

import json
import re
import secrets
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from botocore.credentials import Credentials

from bridge.presigned import sign
from testbed import api, observers, ports, processes
from testbed import audit as auditing
from testbed.deployment import Deployment
from testbed.errors import TestbedError
from testbed.observers import TOPIC_FILTER
from testbed.paths import REPOSITORY
from testbed.processes import Process

URL_SECONDS = 60

_FOLDER = REPOSITORY / "dashboard"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_API_PATH = re.compile(r"/stations(/[A-Za-z0-9:_-]{1,128}(/history)?)?", re.ASCII)
_START_SECONDS = 30


class Dashboard:
    """What the page is given."""

    def __init__(self, deployment: Deployment, credentials: Credentials, door_port: int) -> None:
        self._deployment = deployment
        self._credentials = credentials
        self.door = f"127.0.0.1:{door_port}"

    def realtime(self) -> dict[str, Any]:
        """A URL that opens the front door within a minute, and what may be subscribed to there."""
        now = datetime.now(UTC)
        url = sign(self.door, self._credentials, self._deployment.region, seconds=URL_SECONDS)
        expires = now + timedelta(seconds=URL_SECONDS)
        return {"url": url, "topics": [TOPIC_FILTER], "expires_at": expires.isoformat(timespec="seconds")}

    def summary(self) -> dict[str, int]:
        """Messages in the telemetry queue and in the dead-letter queue."""
        outputs, sqs = self._deployment.outputs, self._deployment.client("sqs")
        return {
            "queue": auditing.queue_depth(sqs, outputs["telemetry_queue_url"]),
            "dead_letters": auditing.queue_depth(sqs, outputs["dead_letter_queue_url"]),
        }

    def answer(self, target: str) -> tuple[int, Any]:
        """The status and document of a data path; 404 for any other."""
        parts = urlsplit(target)
        if parts.path == "/realtime":
            return HTTPStatus.OK, self.realtime()
        if parts.path == "/summary":
            return HTTPStatus.OK, self.summary()
        if _API_PATH.fullmatch(parts.path):
            return api.get(self._deployment, parts.path, **dict(parse_qsl(parts.query)))
        return HTTPStatus.NOT_FOUND, {"detail": "There is nothing here."}


def server(dashboard: Dashboard, port: int) -> ThreadingHTTPServer:
    """The page's server on loopback; not serving yet."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # A foreign name that points here must not read the stations (DNS rebinding).
            if self.headers.get("Host") != f"127.0.0.1:{self.server.server_port}":  # type: ignore[attr-defined]
                self._send(HTTPStatus.MISDIRECTED_REQUEST, "text/plain", b"ask for 127.0.0.1\n")
                return
            path = urlsplit(self.path).path
            file = _FOLDER / ("index.html" if path == "/" else path[1:])
            if file.parent == _FOLDER and file.suffix in _TYPES and file.is_file():
                self._send(HTTPStatus.OK, f"{_TYPES[file.suffix]}; charset=utf-8", file.read_bytes())
                return
            try:
                status, document = dashboard.answer(self.path)
            except TestbedError as error:
                status, document = HTTPStatus.BAD_GATEWAY, {"detail": str(error)}
            self._send(status, "application/json", json.dumps(document).encode())

        def _send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            policy = f"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws://{dashboard.door}"
            for name, value in {
                "Content-Type": kind,
                "Content-Length": str(len(body)),
                "Cache-Control": "no-store",
                "Content-Security-Policy": f"{policy}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
                "Cross-Origin-Opener-Policy": "same-origin",
                "Cross-Origin-Resource-Policy": "same-origin",
                "Referrer-Policy": "no-referrer",
                "X-Content-Type-Options": "nosniff",
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base's name
            """Say nothing."""

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def start_door(deployment: Deployment, credentials: Credentials, port: int, certificate: Path) -> Process:
    """Start the WebSocket front door of a local deployment, and wait until it listens.

    ``certificate`` is its observer's (`testbed.observers`).
    """
    place = deployment.place
    door = processes.start(
        "front-door",
        [
            sys.executable, "-m", "bridge.websocket", "--port", str(port),
            "--broker-port", str(place.ports.mqtt), "--broker-ca", str(deployment.server_ca),
            "--client-id", certificate.stem, "--certificate", str(certificate),
            "--key", str(certificate.with_suffix(".key")),
            "--region", deployment.region, "--topic-filter", TOPIC_FILTER,
        ],
        log=place.log("front-door"),
        environment=processes.clean_environment(
            FRONT_DOOR_ACCESS_KEY_ID=credentials.access_key,
            FRONT_DOOR_SECRET_ACCESS_KEY=credentials.secret_key,
        ),
        folder=REPOSITORY,
    )  # fmt: skip
    processes.wait_until(
        lambda: not ports.is_free(port), what="The front door", seconds=_START_SECONDS, process=door
    )
    return door


@contextmanager
def running(deployment: Deployment, port: int | None = None) -> Iterator[ThreadingHTTPServer]:
    """A front door and a server, bound but not serving; both gone at the end.

    Raises:
        TestbedError: the deployment is on AWS, or the port is taken.
    """
    if deployment.target == "aws":
        raise TestbedError("The dashboard is for local targets only so far.", "See docs/limitations.md.")
    credentials = Credentials("dashboard", secrets.token_urlsafe(30))
    door_port = ports.choose(None, variable="", what="the front door")
    wanted = ports.choose(port, variable="DASHBOARD_PORT", what="the dashboard")
    with observers.enrolled(deployment, "dashboard") as certificate:
        door = start_door(deployment, credentials, door_port, certificate)
        try:
            with server(Dashboard(deployment, credentials, door_port), wanted) as page:
                yield page
        finally:
            door.stop()


@contextmanager
def in_background(page: ThreadingHTTPServer) -> Iterator[ThreadingHTTPServer]:
    """Serve while the context lasts."""
    thread = threading.Thread(target=page.serve_forever, daemon=True)
    thread.start()
    try:
        yield page
    finally:
        page.shutdown()
        thread.join()
