"""Forwards HTTP requests on loopback: what every proxy of ours does with headers, bodies and lost connections."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

Headers = list[tuple[str, str]]

# Headers that concern one connection alone (RFC 9110, 7.6.1), or that the sender sets anew.
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_SECONDS = 120


def end_to_end(headers: Iterable[tuple[str, str]]) -> Headers:
    """Return the headers that a proxy passes on."""
    return [(name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP]


class Forwarder(BaseHTTPRequestHandler):
    """Passes each request on, and its answer back; a subclass says where to, and changes headers."""

    protocol_version = "HTTP/1.1"

    def upstream(self) -> tuple[str, int, str]:
        """Return host, port and path that the request goes to."""
        raise NotImplementedError

    def sent(self, path: str, headers: Headers, body: bytes) -> Headers:  # noqa: ARG002  # for subclasses
        """Return the headers that the request has there, without its length."""
        return headers

    def connect(self, host: str, port: int, seconds: float) -> HTTPConnection:
        """Return a connection to there."""
        return HTTPConnection(host, port, timeout=seconds)

    def answered(self, status: int) -> None:
        """Take note of an answer's status."""

    def forward(self) -> None:
        """Pass the request on; 502 where nobody answers."""
        body = self._body()
        host, port, path = self.upstream()
        connection = self.connect(host, port, _SECONDS)
        try:
            connection.putrequest(self.command, path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.sent(path, end_to_end(self.headers.items()), body):
                connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            content = answer.read()
        except OSError as error:
            self.send_error(502, str(error))
            return
        finally:
            connection.close()
        self.answered(answer.status)
        try:
            self._answer(answer, content)
        except (BrokenPipeError, ConnectionResetError):
            # Who asked has hung up: a caller that waits no longer, or one that was stopped.
            self.close_connection = True

    def _answer(self, answer: HTTPResponse, content: bytes) -> None:
        self.send_response_only(answer.status)
        for name, value in end_to_end(answer.getheaders()):
            self.send_header(name, value)
        # Of HEAD, the length is that of what GET would bring.
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
        if length is not None and answer.status not in (204, 304):
            self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(content)

    def _any_method(self) -> None:
        self.forward()

    # http.server's names.
    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any_method  # noqa: N815
    do_HEAD = do_OPTIONS = do_TRACE = do_QUERY = _any_method  # noqa: N815

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

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
        """Say nothing: the caller reports its own errors."""


@contextmanager
def serving(handler: Callable[..., Any]) -> Iterator[str]:
    """Serve on a free port of loopback until the block ends, and give the URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
