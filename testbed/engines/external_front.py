"""A loopback front of an emulator that the user brings: ``python -m testbed.engines.external_front --port 4566``.

What is behind it may want TLS with an authority of its own, and other credentials than "test": here alone they are
known, so that Terraform, the bridge and everything else speak to this as to the testbed's own engines. Settings are the
AWS SDKs' own variables: ``AWS_ENDPOINT_URL``, ``AWS_CA_BUNDLE``, ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``.
"""

import argparse
import os
import re
import ssl
from functools import partial
from http.client import HTTPConnection, HTTPSConnection
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from testbed.host.forward import Forwarder, Headers

_SCOPE = re.compile(r"Credential=[^/]+/\d+/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")
_SIGNATURE = {"authorization", "x-amz-date", "x-amz-security-token", "host"}
_OPERATION = re.compile(r"([A-Za-z]+)$")


class Front(Forwarder):
    """Passes a request on to the emulator, signed with its credentials, and notes what it answers with 501."""

    def __init__(self, url: str, notes: Path, *arguments: object) -> None:
        """Take the emulator's URL, and the file that what it has not built is noted in."""
        self._url = urlsplit(url)
        self._notes = notes
        self._asked = ""
        super().__init__(*arguments)  # type: ignore[arg-type]  # http.server's

    def upstream(self) -> tuple[str, int, str]:
        """Return the emulator's address."""
        port = self._url.port or (443 if self._url.scheme == "https" else 80)
        return self._url.hostname or "127.0.0.1", port, self.path

    def connect(self, host: str, port: int, seconds: float) -> HTTPConnection:
        """Connect, by TLS where the URL says so."""
        if self._url.scheme != "https":
            return HTTPConnection(host, port, timeout=seconds)
        context = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE") or None)
        return HTTPSConnection(host, port, timeout=seconds, context=context)

    def sent(self, path: str, headers: Headers, body: bytes) -> Headers:
        """Sign the request anew, where it is signed by a header and there are credentials."""
        known = {name.lower(): value for name, value in headers}
        scope = _SCOPE.search(known.get("authorization", ""))
        operation = _OPERATION.search(known.get("x-amz-target", ""))
        self._asked = f"{scope['service'] if scope else 'a call'} {operation[0] if operation else ''}".strip()
        key, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
        host = [("Host", self._url.netloc)]
        if not (scope and key and secret):
            return host + [(name, value) for name, value in headers if name.lower() != "host"]
        unsigned = {name: value for name, value in headers if name.lower() not in _SIGNATURE}
        request = AWSRequest(self.command, f"{self._url.scheme}://{self._url.netloc}{path}", unsigned, body)
        kind = S3SigV4Auth if scope["service"] == "s3" else SigV4Auth
        kind(Credentials(key, secret), scope["service"], scope["region"]).add_auth(request)
        return host + list(request.headers.items())

    def answered(self, status: int) -> None:
        """Note once what is not built."""
        if status == 501:
            with _LOCK:
                there = self._notes.read_text().splitlines() if self._notes.is_file() else []
                if self._asked not in there:
                    self._notes.write_text("\n".join([*there, self._asked]) + "\n")


_LOCK = Lock()


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--not-built", type=Path, required=True, help="file that gets what was answered with 501"
    )
    options = parser.parse_args()
    handler = partial(Front, os.environ["AWS_ENDPOINT_URL"], options.not_built)
    ThreadingHTTPServer(("127.0.0.1", options.port), handler).serve_forever()


if __name__ == "__main__":
    main()
