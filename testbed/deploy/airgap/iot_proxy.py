"""A loopback proxy that corrects how the old provider signs IoT calls.

Provider 3.39.0 signs them for the service ``execute-api`` (as AWS's SDK for Go once did); ministack 1.5 and
LocalStack 4.14 choose the service by that word and would answer as API Gateway. AWS itself takes both.
"""

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from testbed.errors import TestbedError

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@contextmanager
def iot_proxy(upstream: str, session: boto3.Session, region: str) -> Iterator[str]:
    """Run the proxy in front of ``upstream`` and give its URL."""
    host = urlsplit(upstream)

    credentials = session.get_credentials()
    if credentials is None:
        raise TestbedError("There are no AWS credentials to sign IoT calls with.", "Set AWS_PROFILE.")
    signer = SigV4Auth(credentials.get_frozen_credentials(), "iot", region)

    def _signed(method: str, path: str, headers: dict[str, str], body: bytes) -> dict[str, str]:
        unsigned = {
            name: value
            for name, value in headers.items()
            if name.lower() not in {"authorization", "x-amz-date", "x-amz-security-token"}
        }
        request = AWSRequest(method, f"http://{headers['Host']}{path}", headers=unsigned, data=body)
        signer.add_auth(request)
        return dict(request.headers.items())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
            headers = _signed(self.command, self.path, headers, body)
            connection = http.client.HTTPConnection(host.hostname or "127.0.0.1", host.port, timeout=60)
            try:
                connection.request(self.command, self.path, body, headers)
                answer = connection.getresponse()
                content = answer.read()
            except OSError:
                self.send_error(502)
                return
            finally:
                connection.close()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _HOP_BY_HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = forward  # noqa: N815  # http.server's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
            """Say nothing: Terraform reports its own errors."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
