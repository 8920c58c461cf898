"""A proxy passes on what is meant for the far end, and nothing else (RFC 9110, 7.6.1)."""

import socket
import struct
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

import pytest

from testbed.host import ports
from testbed.host.forward import Forwarder, serving


class FarEnd(BaseHTTPRequestHandler):
    """Answers with the headers and the body that it got."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        said = str(self.headers).encode() + body
        self.send_response(201)
        self.send_header("X-Far", "yes")
        self.send_header("Keep-Alive", "timeout=5")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1234")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def near() -> Iterator[HTTPConnection]:
    """Connect to a proxy in front of the far end."""
    with serving(FarEnd) as far:

        class ToFarEnd(Forwarder):
            def upstream(self) -> tuple[str, int, str]:
                return "127.0.0.1", urlsplit(far).port or 0, self.path

        with serving(ToFarEnd) as url:
            connection = HTTPConnection("127.0.0.1", urlsplit(url).port, timeout=20)
            yield connection
            connection.close()


def test_headers_of_one_hop_stay_behind_both_ways(near: HTTPConnection) -> None:
    near.request(
        "POST", "/", b"body", {"X-Mine": "1", "Keep-Alive": "9", "TE": "trailers", "Expect": "100-continue"}
    )
    answer = near.getresponse()
    said = answer.read().decode()
    assert answer.status == 201
    assert answer.getheader("X-Far") == "yes"
    assert answer.getheader("Keep-Alive") is None
    assert "X-Mine: 1" in said
    assert not any(name in said for name in ("Keep-Alive", "TE:", "Expect"))
    assert said.endswith("body")


def test_a_body_in_chunks_arrives_whole(near: HTTPConnection) -> None:
    near.request("POST", "/", iter([b"one", b"two"]), {"Transfer-Encoding": "chunked"}, encode_chunked=True)
    assert near.getresponse().read().endswith(b"onetwo")


def test_the_length_of_head_is_the_far_ends(near: HTTPConnection) -> None:
    near.request("HEAD", "/")
    assert near.getresponse().getheader("Content-Length") == "1234"


def test_where_nobody_answers_the_caller_is_told_so() -> None:
    nobody = ports.choose(None, what="a test")

    class ToNobody(Forwarder):
        def upstream(self) -> tuple[str, int, str]:
            return "127.0.0.1", nobody, self.path

    with serving(ToNobody) as url:
        connection = HTTPConnection("127.0.0.1", urlsplit(url).port, timeout=20)
        connection.request("GET", "/")
        assert connection.getresponse().status == 502
        connection.close()


def test_a_caller_that_hangs_up_is_no_error_of_the_proxy() -> None:
    hung_up, ended = threading.Event(), threading.Event()
    errors: list[Exception] = []

    class Patient(FarEnd):
        def do_POST(self) -> None:
            hung_up.wait(60)
            super().do_POST()

    with serving(Patient) as far:

        class ToPatient(Forwarder):
            def upstream(self) -> tuple[str, int, str]:
                return "127.0.0.1", urlsplit(far).port or 0, self.path

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError as error:
                    errors.append(error)
                finally:
                    ended.set()

        with serving(ToPatient) as url:
            caller = socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), timeout=20)
            # Closed at once and with a reset, as of a program that was killed.
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            caller.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody")
            caller.close()
            hung_up.set()
            assert ended.wait(60)
    assert not errors
