"""The fault proxy kills the process that calls it, and nobody else."""

import json
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from testbed.drills.faults import proxy

_CALLER = """
import socket, sys, urllib.request
proxy, other = int(sys.argv[1]), int(sys.argv[2])
with socket.create_connection(("127.0.0.1", proxy)) as caller:
    print(caller.getsockname()[1], flush=True)
    sys.stdin.readline()
    body = b"Action=ListQueues&Version=2012-11-05"
    head = (
        "POST / HTTP/1.1\\r\\nHost: x\\r\\nContent-Type: application/x-www-form-urlencoded\\r\\n"
        "Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sqs/aws4_request, SignedHeaders=host, "
        f"Signature=0\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n"
    )
    caller.sendall(head.encode() + body)
    caller.recv(1000)
"""
_BYSTANDER = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[2])), source_address=("127.0.0.2", int(sys.argv[1]))) as other:
    print("connected", flush=True)
    sys.stdin.readline()
"""


def test_a_bystander_with_the_callers_port_lives(tmp_path: Path) -> None:
    """Two clients of two servers may have the same port of their own."""
    fault_proxy = proxy.start_fault_proxy("http://127.0.0.1:9", log=tmp_path / "proxy.log", folder=tmp_path)
    port = urlsplit(fault_proxy.url).port
    with socket.create_server(("127.0.0.1", 0)) as server:
        other = server.getsockname()[1]
        try:
            order = {
                "name": "x",
                "action": "kill",
                "operations": ["sqs:ListQueues"],
                "times": 1,
                "expires": 60,
            }
            urllib.request.urlopen(f"http://127.0.0.1:{port}/_faults/orders", json.dumps([order]).encode())
            with _started(_CALLER, str(port), str(other)) as caller:
                mine = caller.stdout.readline().strip()  # type: ignore[union-attr]
                with _started(_BYSTANDER, mine, str(other)) as bystander:
                    assert bystander.stdout.readline() == "connected\n"  # type: ignore[union-attr]
                    caller.stdin.write("go\n")  # type: ignore[union-attr]
                    caller.stdin.flush()  # type: ignore[union-attr]
                    assert caller.wait(30) == -9
                    assert bystander.poll() is None
                    bystander.communicate("end\n", timeout=10)
                    assert bystander.returncode == 0
        finally:
            fault_proxy.process.stop()


def _started(program: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
