"""Answer for ``*.amazonaws.com`` and ``*.cloudfront.net`` by TLS of its own, as a proxy in front of ministack.

What is not AWS's passes through unseen, so that Terraform may reach its registry where there is one.
"""

import http.client
import re
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from testbed.identity.authority import Authority

_AWS = re.compile(r"(.+\.)?(amazonaws\.com|cloudfront\.net)")
_PAGES = re.compile(r"[a-z0-9-]+-ats\.iot\.[a-z0-9-]+\.amazonaws\.com")
_API = re.compile(r"([a-z0-9]+)\.execute-api\.[a-z0-9-]+\.amazonaws\.com")
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "proxy-connection"}
_TIMEOUT_SECONDS = 120


@dataclass
class Front:
    """A running proxy. ``url`` is for ``HTTPS_PROXY``.

    ``iot_url`` is where calls of the IoT control plane go, to be signed again: provider 3.39.0 signs them for another
    service, by which ministack would send them to API Gateway. ``door_port`` is where pages that come to IoT Core's
    data endpoint by WebSocket are let through to.
    """

    url: str
    iot_url: str = ""
    door_port: int = 0


@contextmanager
def aws_front(upstream_port: int, authority: Authority, folder: Path) -> Iterator[Front]:
    """Run the proxy.

    Functions, which the emulator runs on this machine, call it without TLS as if it were the emulator: they are to
    count as callers with TLS all the same, or our own buckets' policies would shut them out.

    Args:
        upstream_port: ministack's, on loopback.
        authority: whose certificates it shows.
        folder: for them.
    """

    @lru_cache
    def context(host: str) -> ssl.SSLContext:
        certificate = folder / f"{host}.crt"
        authority.server(host).write(certificate, certificate.with_suffix(".key"))
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(certificate, certificate.with_suffix(".key"))
        return made

    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        aws_host = ""

        def do_CONNECT(self) -> None:
            host, _, port = self.path.partition(":")
            if not _AWS.fullmatch(host):
                self._tunnel(host, int(port))
                return
            self.send_response(200)
            self.end_headers()
            with lock:
                tls = context(host)
            self.connection = tls.wrap_socket(self.connection, server_side=True)
            self.rfile = self.connection.makefile("rb")
            self.wfile = self.connection.makefile("wb", buffering=0)
            self.aws_host = host
            self.close_connection = False

        def forward(self) -> None:
            if _PAGES.fullmatch(self.aws_host) and self.headers.get("Upgrade", "").lower() == "websocket":
                self._websocket()
                return
            body = self._body()
            path, port = self.path, upstream_port
            if api := _API.fullmatch(self.aws_host):
                path = f"/_aws/execute-api/{api[1]}{path}"
            elif re.fullmatch(r"iot\.[a-z0-9-]+\.amazonaws\.com", self.aws_host):
                port = int(front.iot_url.rsplit(":", 1)[1])
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)
            try:
                connection.putrequest(self.command, path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    if name.lower() not in _HOP_BY_HOP | {"content-length", "expect"}:
                        connection.putheader(name, value)
                # What a load balancer with TLS tells those behind it.
                connection.putheader("X-Forwarded-Proto", "https")
                connection.putheader("Content-Length", str(len(body)))
                connection.endheaders(body)
                answer = connection.getresponse()
                content = answer.read()
            except OSError as error:
                self.send_error(502, str(error))
                return
            finally:
                connection.close()
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _HOP_BY_HOP | (
                    {"content-length"} if self.command != "HEAD" else set()
                ):
                    self.send_header(name, value)
            if self.command != "HEAD" and answer.status not in (204, 304):
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward  # noqa: N815
        do_HEAD = do_OPTIONS = do_TRACE = do_QUERY = forward  # noqa: N815

        def _body(self) -> bytes:
            """Read the request's body; boto3 sends S3's in chunks, with a checksum behind them, where there is TLS."""
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return body

        def _websocket(self) -> None:
            """Pass the request on as it is, for the signature's sake; then bytes both ways."""
            self.close_connection = True
            try:
                far = socket.create_connection(("127.0.0.1", front.door_port), timeout=5)
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

        def finish(self) -> None:
            """Close the connection, too: TLS has taken the socket over that the server would close."""
            super().finish()
            self.connection.close()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    front = Front(f"http://127.0.0.1:{server.server_address[1]}")
    thread.start()
    try:
        yield front
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
