"""Small HTTP pages of the bridge's programs: health and metrics."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Answer:
    """What a page says."""

    status: int
    body: bytes
    kind: str = "application/json"


# Given the request's body; called from several threads.
Page = Callable[[bytes], Answer]


def serve(host: str, port: int, pages: Mapping[tuple[str, str], Page]) -> ThreadingHTTPServer:
    """Serve pages in the background, until ``shutdown``.

    Args:
        host: address to listen on.
        port: port to listen on.
        pages: by method and path, as ``("GET", "/health")``.

    Raises:
        OSError: the port is taken.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # http.server's name
            self._answer("GET")

        def do_POST(self) -> None:  # http.server's name
            self._answer("POST")

        def _answer(self, method: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            page = pages.get((method, self.path))
            if page is None:
                known = ", ".join(" ".join(one) for one in pages)
                answer = Answer(404, f"here are: {known}\n".encode(), "text/plain")
            else:
                answer = page(body)
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.kind)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
            """Say nothing of requests."""

    server = ThreadingHTTPServer((host, port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
