"""Serve ministack by uvicorn and httptools, whose parser is in C.

ministack 1.5.33 is served by hypercorn and h11, which are Python throughout: they were half of what a call cost it.
The application is the same. What uvicorn does otherwise than hypercorn stays hypercorn's: TLS (``USE_SSL``), and a
connection that begins with HTTP/2, as Kinesis clients of the SDKs for JavaScript and Java do without TLS, too, or with
an upgrade to it or to a WebSocket.
"""

import asyncio
import os
import re
import resource
import signal
import sys

import uvicorn
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from ministack import app
from ministack.core import tls
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# In seconds: hypercorn's own, and what ministack sets it to.
_GRACEFUL_SECONDS, _KEEP_ALIVE_SECONDS = 3, 75
# The preface of HTTP/2 (RFC 9113, 3.4), or a header.
_OTHER_PROTOCOL = re.compile(rb"\APRI \* HTTP/2|\r\nupgrade:", re.IGNORECASE)


class _Connection(HttpToolsProtocol):  # type: ignore[misc]  # of another environment
    """A connection of HTTP/1.1; or one whose first bytes say more, which is hypercorn's."""

    handed_over = False

    def data_received(self, data: bytes) -> None:
        if self.cycle is None and _OTHER_PROTOCOL.search(data):
            self._hand_over(data)
        else:
            super().data_received(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        # The parser leaves the space behind a value, which is none of it (RFC 9110, 5.5).
        super().on_header(name, value.rstrip(b" \t"))

    def shutdown(self) -> None:
        if self.handed_over:
            self.transport.close()
        else:
            super().shutdown()

    def _hand_over(self, data: bytes) -> None:
        self.handed_over = True
        reader = asyncio.StreamReader(loop=self.loop)
        protocol = asyncio.StreamReaderProtocol(reader, self._by_hypercorn, loop=self.loop)
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        protocol.data_received(data)

    async def _by_hypercorn(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        config = Config()
        config.keep_alive_timeout = _KEEP_ALIVE_SECONDS
        served = TCPServer(ASGIWrapper(app.app), self.loop, config, WorkerContext(None), {}, reader, writer)
        try:
            await served
        finally:
            self.connections.discard(self)


def main() -> None:
    """Serve until SIGTERM or SIGINT, where ministack's own variables say."""
    if tls.use_ssl_enabled():
        app.main()
        return
    # uvicorn ends as the signal would have ended it, but what was asked for is no failure.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    most_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    uvicorn.run(
        app.app,
        host=os.environ.get("BIND_HOST", "0.0.0.0"),  # noqa: S104  # ministack's default
        port=int(app._resolve_port()),
        http=_Connection,
        ws="none",
        loop="asyncio",
        lifespan="on",
        # As AWS: an answer has the headers that the service gives it.
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACEFUL_SECONDS,
        # A request must not begin with the account and the rights of the one before it.
        reset_contextvars=True,
        log_config=None,
        log_level="warning",
        access_log=False,
    )
