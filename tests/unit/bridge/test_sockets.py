"""The socket of the bridge's own MQTT clients, over real TLS."""

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from bridge.authority import Authority
from bridge.sockets import DrainingSocket

Pair = tuple[ssl.SSLSocket, ssl.SSLSocket]


@pytest.fixture
def connected(tmp_path: Path) -> Iterator[Pair]:
    """Connect the broker's end and ours."""
    authority = Authority.load_or_create(tmp_path, name="test")
    authority.server("localhost").write(tmp_path / "certificate", tmp_path / "key")
    accepting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    accepting.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    connecting = ssl.create_default_context(cafile=str(authority.path))
    connecting.sslsocket_class = DrainingSocket
    theirs, ours = socket.socketpair()
    accepted: list[ssl.SSLSocket] = []
    accept = Thread(target=lambda: accepted.append(accepting.wrap_socket(theirs, server_side=True)))
    accept.start()
    with connecting.wrap_socket(ours, server_hostname="localhost") as client:
        accept.join()
        with accepted[0] as server:
            yield server, client


def test_what_came_together_is_read_in_pieces_and_none_is_left_behind(connected: Pair) -> None:
    """paho waits for the socket only while nothing is pending."""
    server, client = connected
    server.sendall(b"0123456789")
    assert client.recv(1) == b"0"
    assert client.pending() == 9
    assert client.recv(4) == b"1234"
    assert client.recv(100) == b"56789"
    assert client.pending() == 0
    client.setblocking(False)
    with pytest.raises(ssl.SSLWantReadError):
        client.recv(1)
    client.setblocking(True)
    server.sendall(b"a" * 40_000)
    received = b""
    while len(received) < 40_000:
        received += client.recv(7_000)
    assert received == b"a" * 40_000
    server.shutdown(socket.SHUT_RDWR)
    assert client.recv(1) == b""


def test_sending_to_an_end_that_has_died_leaves_it_to_reading_to_find_that(connected: Pair) -> None:
    server, client = connected
    server.sendall(b"said before it died")
    server.close()
    for _ in range(3):
        assert client.send(b"x") == 1
    assert client.recv(100) == b"said before it died"
