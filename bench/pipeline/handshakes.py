"""Bare TLS handshakes of the kind that a station's connect begins with: mutual, each with a certificate of its own.

Both ends are Python's `ssl`, as the broker's and the simulator's are, with the contexts that those two make. Nothing of
MQTT is said, and nobody asks who a certificate is. ``python -m bench.pipeline.handshakes`` is the server's end.
"""

import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bridge.tls import server_context
from simulator.connection import Endpoint, Identities

_PATIENCE_SECONDS = 120


def cpu_seconds(certs: Path, authority: Path, stations: Sequence[str]) -> float:
    """Shake hands once as each of these stations, one after the other.

    Args:
        certs: folder with ``server.crt`` and its key, and the stations' certificates in ``stations``.
        authority: the PEM file with the issuer of the server's certificate.
        stations: their names.

    Returns:
        The CPU seconds of both ends together.
    """
    command = [sys.executable, "-m", __spec__.name, str(certs), str(authority), str(len(stations))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None  # noqa: S101  # a pipe was asked for
        try:
            port = int(server.stdout.readline())
            begun = time.process_time()
            _connect(Endpoint("localhost", port, authority, certs / "stations"), stations)
            return time.process_time() - begun + float(server.stdout.readline())
        finally:
            server.kill()


def _connect(endpoint: Endpoint, stations: Sequence[str]) -> None:
    identities = Identities(endpoint)
    for station in stations:
        plain = socket.create_connection(("127.0.0.1", endpoint.port), _PATIENCE_SECONDS)
        with identities.wrap(plain, station) as secured:
            secured.do_handshake()  # type: ignore[attr-defined]  # TLS: there are certificates
            secured.recv(1)


def _serve(certs: Path, authority: Path, count: int) -> None:
    context = server_context(certs / "server.crt", certs / "server.key", authority)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)
        begun = time.process_time()
        for _ in range(count):
            plain, _ = listening.accept()
            with context.wrap_socket(plain, server_side=True) as secured:
                # The client's half of TLS 1.3 ends before it knows whether it is let in.
                secured.sendall(b".")
        print(time.process_time() - begun, flush=True)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
