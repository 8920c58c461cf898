"""Answer for ``*.amazonaws.com`` and ``*.cloudfront.net`` by TLS of its own, as a proxy in front of ministack.

What is not AWS's passes through unseen, so that Terraform may reach its registry where there is one.
"""

import re
import select
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from urllib.parse import urlsplit

from bridge.authority import Authority
from testbed.host.forward import Forwarder, Headers, serving

_AWS = re.compile(r"(.+\.)?(amazonaws\.com|cloudfront\.net)")
_DATA = re.compile(r"[a-z0-9-]+-ats\.iot\.[a-z0-9-]+\.amazonaws\.com")
_CONTROL = re.compile(r"iot\.[a-z0-9-]+\.amazonaws\.com")
_API = re.compile(r"([a-z0-9]+)\.execute-api\.[a-z0-9-]+\.amazonaws\.com")


@dataclass
class Front:
    """A running proxy. ``url`` is for ``HTTPS_PROXY``.

    ``iot_url`` is where calls of the IoT control plane go, to be signed again: provider 3.39.0 signs them for another
    service, by which ministack would send them to API Gateway. ``door_port`` is where pages that come to IoT Core's
    data endpoint by WebSocket are let through to.
    """

    url: str = ""
    iot_url: str = ""
    door_port: int = 0


@dataclass
class _Certificates:
    """TLS for each host that is asked for, by certificates of one authority in ``folder``."""

    authority: Authority
    folder: Path
    _made: dict[str, ssl.SSLContext] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def context(self, host: str) -> ssl.SSLContext:
        """Return the server's side of TLS for a host."""
        with self._lock:
            if host not in self._made:
                certificate = self.folder / f"{host}.crt"
                self.authority.server(host).write(certificate, certificate.with_suffix(".key"))
                made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                made.load_cert_chain(certificate, certificate.with_suffix(".key"))
                self._made[host] = made
            return self._made[host]


@contextmanager
def aws_front(upstream_port: int, authority: Authority, folder: Path) -> Iterator[Front]:
    """Run the proxy.

    Functions, which the emulator runs on this machine, call it without TLS as if it were the emulator: they count as
    callers with TLS all the same, or our own buckets' policies would shut them out.

    Args:
        upstream_port: ministack's, on loopback.
        authority: whose certificates it shows.
        folder: for them.
    """
    running = Front()

    class Handler(_Handler):
        certificates = _Certificates(authority, folder)
        front = running
        emulator_port = upstream_port

    with serving(Handler) as url:
        running.url = url
        yield running


class _Handler(Forwarder):
    """One connection; ``aws_host`` is the host that it was opened for, once TLS has begun."""

    certificates: _Certificates
    front: Front
    emulator_port: int
    aws_host = ""

    def do_CONNECT(self) -> None:  # noqa: N802  # http.server's name
        host, _, port = self.path.partition(":")
        if not _AWS.fullmatch(host):
            self._tunnel(host, int(port))
            return
        self.send_response(200)
        self.end_headers()
        self.connection = self.certificates.context(host).wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", buffering=0)
        self.aws_host = host
        self.close_connection = False

    def upstream(self) -> tuple[str, int, str]:
        """Return the emulator, or the proxy that signs IoT's calls again."""
        if api := _API.fullmatch(self.aws_host):
            return "127.0.0.1", self.emulator_port, f"/_aws/execute-api/{api[1]}{self.path}"
        if _CONTROL.fullmatch(self.aws_host):
            return "127.0.0.1", urlsplit(self.front.iot_url).port or 0, self.path
        return "127.0.0.1", self.emulator_port, self.path

    def sent(self, path: str, headers: Headers, body: bytes) -> Headers:  # noqa: ARG002
        """Add what a load balancer with TLS tells those behind it."""
        return [*headers, ("X-Forwarded-Proto", "https")]

    def forward(self) -> None:
        """Let a page through to the front door; pass everything else on."""
        if _DATA.fullmatch(self.aws_host) and self.headers.get("Upgrade", "").lower() == "websocket":
            self._websocket()
        else:
            super().forward()

    def finish(self) -> None:
        """Close the connection, too: TLS has taken the socket over that the server would close."""
        super().finish()
        self.connection.close()

    def _websocket(self) -> None:
        """Pass the request on as it is, for the signature's sake; then bytes both ways."""
        self.close_connection = True
        try:
            far = socket.create_connection(("127.0.0.1", self.front.door_port), timeout=5)
        except OSError as error:
            self.send_error(502, str(error))
            return
        with far:
            fields = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
            far.sendall(f"{self.command} {self.path} HTTP/1.1\r\n{fields}\r\n".encode())
            self._pump(far)

    def _tunnel(self, host: str, port: int) -> None:
        self.close_connection = True
        try:
            far = socket.create_connection((host, port), timeout=5)
        except OSError as error:
            self.send_error(502, str(error))
            return
        with far:
            self.send_response(200)
            self.end_headers()
            self._pump(far)

    def _pump(self, far: socket.socket) -> None:
        ends = {self.connection: far, far: self.connection}
        while True:
            # What TLS has read ahead, the operating system does not tell of.
            tls = self.connection
            ahead = isinstance(tls, ssl.SSLSocket) and tls.pending()
            for ready in [tls] if ahead else select.select(list(ends), [], [])[0]:
                try:
                    data = ready.recv(65536)
                    if not data:
                        return
                    ends[ready].sendall(data)
                except OSError:
                    return
