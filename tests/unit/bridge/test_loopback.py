"""Calls to this machine never take a proxy."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from testbed.paths import REPOSITORY

# What our processes call with: urllib and boto3, in a process and in a child of it.
_URLLIB = "import sys, urllib.request; assert urllib.request.urlopen(sys.argv[1]).status == 200"
_BOTO = """import sys, boto3
client = boto3.Session("test", "test", region_name="eu-central-1").client("sqs", endpoint_url=sys.argv[1])
client.delete_queue(QueueUrl=sys.argv[1] + "/queue")"""
_CHILD = (
    f"import subprocess, sys; subprocess.run([sys.executable, '-c', {_URLLIB!r}, sys.argv[1]], check=True)"
)
_SPARED = "from bridge.loopback import never_by_proxy; never_by_proxy()\n"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    asked = 0


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked += 1  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_POST = do_GET  # noqa: N815  # the base's name

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server(("127.0.0.1", 0), _Handler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


@pytest.fixture
def proxy() -> Iterator[_Server]:
    with _Server(("127.0.0.1", 0), _Handler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


def _run(program: str, server: _Server, environment: dict[str, str]) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    url = f"http://127.0.0.1:{server.server_port}"
    done = subprocess.run(
        [sys.executable, "-c", program, url],
        env=kept | environment,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("program", [_URLLIB, _BOTO, _CHILD], ids=["urllib", "boto3", "child"])
@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY"])
def test_a_call_to_loopback_takes_no_proxy(
    program: str, variable: str, server: _Server, proxy: _Server
) -> None:
    given = {variable: f"http://127.0.0.1:{proxy.server_port}"}
    _run(_SPARED + program, server, given)
    assert (server.asked > 0, proxy.asked) == (True, 0)
    # The test would see it: without the care, the proxy is asked.
    _run(program, server, given)
    assert proxy.asked > 0


@pytest.mark.parametrize("given", ["no_proxy", "NO_PROXY"])
def test_what_the_user_excepts_stays_excepted(given: str, server: _Server) -> None:
    check = (
        "import os; assert os.environ['no_proxy'] == os.environ['NO_PROXY'] == "
        "'.example.org,127.0.0.1,localhost,::1', os.environ"
    )
    _run(_SPARED + check, server, {"https_proxy": "http://192.0.2.1:3128", given: ".example.org"})


def test_without_a_proxy_nothing_is_set(server: _Server) -> None:
    _run(_SPARED + "import os; assert 'no_proxy' not in os.environ", server, {})
