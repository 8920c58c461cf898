"""`make dashboard`: the page on loopback, its data through us, and for local targets a WebSocket front door beside it.

The API's key stays here: the page asks this server, which asks the API. On AWS the API signs URLs of AWS IoT Core;
for a local target they are signed here, with a key of each run's own.
"""

import json
import re
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from botocore.credentials import Credentials

from bridge.front_door.presigned import sign
from testbed.deploy import page_files
from testbed.deploy.deployment import Deployment
from testbed.engines.base import Place
from testbed.errors import TestbedError
from testbed.host import guests, ports, processes
from testbed.host.processes import ChildProcess
from testbed.paths import REPOSITORY
from testbed.pipeline import api
from testbed.pipeline.stream import Backlog
from testbed.say import Say
from testbed.stations import observers

URL_SECONDS = 60

_API_PATH = re.compile(
    r"/summary|/jobs|/realtime|/stations(/[A-Za-z0-9:_-]{1,128}(/history|/connections|/settings|/commands)?)?",
    re.ASCII,
)
_CHANGES = {
    "PATCH": re.compile(r"/stations/[A-Za-z0-9:_-]{1,128}/settings", re.ASCII),
    "POST": re.compile(r"/stations/[A-Za-z0-9:_-]{1,128}/commands", re.ASCII),
}
_MOST_BYTES = 64 * 1024
# As terraform/dashboard.tf writes it for the page on AWS: here nobody asks the page for a key.
_CONFIG = {"api": "", "key": False, "token": False, "notes": True}
_START_SECONDS = 30
_STREAM_SECONDS = 5.0


class _Stream:
    """What waits in the stream, counted every few seconds: a shard answers five reads a second, all readers'."""

    def __init__(self, deployment: Deployment) -> None:
        """Count nothing yet."""
        self._backlog = Backlog(deployment)
        self._lock = threading.Lock()
        self._waiting, self._good_until = 0, 0.0

    def waiting(self) -> int:
        """Return how many records the handler has not done."""
        with self._lock:
            if time.monotonic() >= self._good_until:
                self._waiting = self._backlog.depth()
                self._good_until = time.monotonic() + _STREAM_SECONDS
            return self._waiting


class Dashboard:
    """What the page is given."""

    def __init__(
        self, deployment: Deployment, door: str, offer: Callable[[], dict[str, Any]] | None = None
    ) -> None:
        """``door``: scheme and host that the page connects to; ``offer``: answers ``/realtime`` in the API's place."""
        self._deployment = deployment
        self._offer = offer
        self.door = door
        self._stream = _Stream(deployment) if deployment.outputs.telemetry_stream_name else None

    def change(self, method: str, target: str, body: bytes) -> tuple[int, Any]:
        """Change a station's settings by the API, or send it a command; return the API's status and document."""
        path = urlsplit(target).path
        if not _CHANGES[method].fullmatch(path):
            return HTTPStatus.NOT_FOUND, {"detail": "There is nothing here to change."}
        try:
            document = json.loads(body)
        except ValueError:
            return HTTPStatus.BAD_REQUEST, {"detail": "The body is no JSON."}
        return api.send(self._deployment, method, path, document)

    def answer(self, target: str) -> tuple[int, Any]:
        """Return the status and document of a data path; 404 for any other."""
        parts = urlsplit(target)
        if parts.path == "/config.json":
            return HTTPStatus.OK, _CONFIG
        if parts.path == "/realtime" and self._offer:
            return HTTPStatus.OK, self._offer()
        if _API_PATH.fullmatch(parts.path):
            status, document = api.get(self._deployment, parts.path, **dict(parse_qsl(parts.query)))
            if self._stream and parts.path == "/summary" and status == HTTPStatus.OK:
                # The API counts the queue: how far a stream was read, no API of AWS's tells.
                document |= {"queue": document["queue"] + self._stream.waiting()}
            return status, document
        return HTTPStatus.NOT_FOUND, {"detail": "There is nothing here."}


def with_front_door(
    deployment: Deployment, credentials: Credentials, port: int, *, most_a_second: int = 0
) -> Dashboard:
    """Return a dashboard whose page listens to a front door on ``port``; ``credentials`` sign URLs for a minute.

    ``most_a_second``: what the door gives a connection, if not all.
    """
    host = f"127.0.0.1:{port}"

    def offer() -> dict[str, Any]:
        expires = datetime.now(UTC) + timedelta(seconds=URL_SECONDS)
        url = sign(host, credentials, deployment.region, seconds=URL_SECONDS)
        return {
            "url": url,
            "topics": [deployment.topic_filter],
            "expires_at": expires.isoformat(timespec="seconds"),
            **({"messages_a_second": most_a_second} if most_a_second else {}),
        }

    return Dashboard(deployment, f"ws://{host}", offer)


def with_aws_iot(deployment: Deployment) -> Dashboard:
    """Return a dashboard whose page listens to AWS IoT Core, by URLs of the API's.

    Raises:
        TestbedError: the API offers none.
    """
    status, offer = api.get(deployment, "/realtime")
    if status != HTTPStatus.OK:
        raise TestbedError(
            f"GET /realtime answered {status}: {offer.get('detail', offer)}",
            "Deploy again: make up TARGET=aws",
        )
    return Dashboard(deployment, f"wss://{urlsplit(offer['url']).netloc}")


class PageServer(ThreadingHTTPServer):
    """The page's server."""

    def __init__(self, dashboard: Dashboard, port: int, packages: Mapping[str, Path]) -> None:
        self.dashboard, self.packages = dashboard, packages
        # What is played, for the charts: `testbed.stations.played`.
        self.notes: dict[str, Any] = {}
        super().__init__(("127.0.0.1", port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: PageServer

    def do_GET(self) -> None:
        if not self._is_ours():
            return
        name = urlsplit(self.path).path.removeprefix("/") or "index.html"
        if file := (page_files.own() | dict(self.server.packages)).get(name):
            self._send(HTTPStatus.OK, f"{page_files.TYPES[file.suffix]}; charset=utf-8", file.read_bytes())
            return
        if name == "notes.json":
            self._answer(lambda: (HTTPStatus.OK, self.server.notes))
            return
        self._answer(lambda: self.server.dashboard.answer(self.path))

    def do_PATCH(self) -> None:
        self._change("PATCH")

    def do_POST(self) -> None:
        self._change("POST")

    def _change(self, method: str) -> None:
        host = self.headers.get("Host")
        length = self.headers.get("Content-Length", "")
        if not self._is_ours():
            return
        # Another page may send what it likes; a browser says where it comes from.
        if self.headers.get("Origin", f"http://{host}") != f"http://{host}":
            self._send(HTTPStatus.FORBIDDEN, "text/plain", b"only this page may change anything\n")
        elif not length.isdecimal() or int(length) > _MOST_BYTES:
            self._send(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "text/plain", b"too long\n")
        else:
            body = self.rfile.read(int(length))
            self._answer(lambda: self.server.dashboard.change(method, self.path, body))

    def _is_ours(self) -> bool:
        # A foreign name that points here must not read the stations (DNS rebinding).
        if self.headers.get("Host") == f"127.0.0.1:{self.server.server_port}":
            return True
        self._send(HTTPStatus.MISDIRECTED_REQUEST, "text/plain", b"ask for 127.0.0.1\n")
        return False

    def _answer(self, ask: Callable[[], tuple[int, Any]]) -> None:
        try:
            status, document = ask()
        except TestbedError as error:
            status, document = HTTPStatus.BAD_GATEWAY, {"detail": str(error)}
        self._send(status, "application/json", json.dumps(document).encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        door = self.server.dashboard.door
        policy = f"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' {door}"
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
        with suppress(ConnectionError):  # the page has gone
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base's name
        """Say nothing."""


def server(dashboard: Dashboard, port: int, packages: Mapping[str, Path]) -> PageServer:
    """Return the page's server on loopback, not serving yet; ``packages`` are files of other people's by name."""
    return PageServer(dashboard, port, packages)


def start_door(
    place: Place, port: int, credentials: Credentials, certificate: Path, topic_filter: str
) -> ChildProcess:
    """Start a WebSocket front door at a broker of ours, and wait until it listens.

    Args:
        place: the broker's.
        port: for pages.
        credentials: what URLs must be signed with.
        certificate: its observer's (`testbed.stations.observers`).
        topic_filter: what pages may subscribe to.
    """
    door = processes.start(
        "front-door",
        [
            sys.executable,
            "-m",
            "bridge.front_door",
            "--port",
            str(port),
            "--broker-port",
            str(place.ports.mqtt),
            "--broker-ca",
            str(place.certificates / "authority" / "ca.crt"),
            "--client-id",
            certificate.stem,
            "--certificate",
            str(certificate),
            "--key",
            str(certificate.with_suffix(".key")),
            "--region",
            place.region,
            "--topic-filter",
            topic_filter,
        ],
        log=place.log("front-door"),
        environment=processes.clean_environment(
            FRONT_DOOR_ACCESS_KEY_ID=credentials.access_key,
            FRONT_DOOR_SECRET_ACCESS_KEY=credentials.secret_key,
            **({"FRONT_DOOR_SESSION_TOKEN": credentials.token} if credentials.token else {}),
        ),
        folder=REPOSITORY,
    )
    processes.wait_until(
        lambda: not ports.is_free(port), what="The front door", seconds=_START_SECONDS, process=door
    )
    return door


@contextmanager
def running(deployment: Deployment, say: Say, port: int | None = None) -> Iterator[PageServer]:
    """Give a server, bound but not serving, and for a local target a front door; both gone at the end.

    ``say`` prints a line: the page does without charts where npm is missing.

    Raises:
        TestbedError: the port is taken, or the API on AWS offers nowhere to listen.
    """
    packages = page_files.packaged(say)
    wanted = ports.choose(port, setting='make dashboard ARGS="--port {}"', what="the dashboard")
    if deployment.target == "aws":
        with server(with_aws_iot(deployment), wanted, packages) as page:
            yield page
        return
    credentials = Credentials("dashboard", secrets.token_urlsafe(30))
    door_port = ports.choose(None, what="the front door")
    with observers.enrolled(deployment, "dashboard") as certificate:
        door = start_door(deployment.place, door_port, credentials, certificate, deployment.topic_filter)
        try:
            with (
                guests.listed(deployment.path, door),
                server(with_front_door(deployment, credentials, door_port), wanted, packages) as page,
            ):
                yield page
        finally:
            door.stop()


@contextmanager
def in_background(page: PageServer) -> Iterator[PageServer]:
    """Serve while the context lasts."""
    thread = threading.Thread(target=page.serve_forever, daemon=True)
    thread.start()
    try:
        yield page
    finally:
        page.shutdown()
        thread.join()
