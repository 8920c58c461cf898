"""What the fault drill asks of Docker's daemon; CI has none, so one is stood in for here."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from urllib.parse import parse_qs, urlsplit

import pytest

from testbed.host import containers
from testbed.host.processes import Container

_NETWORK = {"Id": "n", "IPAM": {"Config": [{"Subnet": "172.18.0.0/16", "Gateway": "172.18.0.1"}]}}


class _Daemon(BaseHTTPRequestHandler):
    """Answers the few calls that are made, and notes the others as ``asked``."""

    asked: list[str]
    names = ("p-localstack-1", "p-localstack-1-lambda-a-1", "p-localstack-1-lambda-b-2", "p-broker-1")

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if "networks" in url.path:
            self._answer(200, _NETWORK)
        elif url.path.endswith("/containers/json"):
            [pattern] = json.loads(parse_qs(url.query)["filters"][0])["name"]
            prefix = pattern.removeprefix("^/")
            self._answer(200, [{"Id": name} for name in self.names if name.startswith(prefix)])
        elif "/containers/" in url.path:
            name = url.path.split("/")[-2]
            last = [call.split()[1] for call in self.asked if call.startswith(f"{name} ")][-1:]
            state = {"Status": "paused" if last == ["pause"] else "running"}
            self._answer(200, {"Id": name, "Name": f"/{name}", "Image": "i", "State": state})
        else:
            self._answer(200, {"ApiVersion": "1.41", "Version": "20.10"})

    def do_POST(self) -> None:
        call = " ".join(urlsplit(self.path).path.split("/")[-2:])
        self.asked.append(call)
        self._answer(204)

    def do_DELETE(self) -> None:
        self.asked.append(f"{urlsplit(self.path).path.split('/')[-1]} removed")
        self._answer(204)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, status: int, document: object = None) -> None:
        body = b"" if status == 204 else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Provide what the daemon was asked to do."""
    calls: list[str] = []
    path = tmp_path / "docker.sock"
    with ThreadingUnixStreamServer(str(path), type("Daemon", (_Daemon,), {"asked": calls})) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
        containers.forget_daemon()
        yield calls
        containers.forget_daemon()
        server.shutdown()


def test_a_container_stands_still_and_goes_on(asked: list[str]) -> None:
    broker = Container("broker", "p-broker-1")
    broker.suspend()
    broker.suspend()  # it does already
    broker.resume()
    broker.resume()
    assert asked == ["p-broker-1 pause", "p-broker-1 unpause"]


def test_only_the_containers_of_functions_are_killed(asked: list[str]) -> None:
    """LocalStack's own goes on, and has to start the functions anew."""
    Container("localstack", "p-localstack-1").kill_functions()
    assert asked == ["p-localstack-1-lambda-a-1 removed", "p-localstack-1-lambda-b-2 removed"]


@pytest.mark.usefixtures("asked")
def test_containers_reach_this_machine_at_their_networks_gateway() -> None:
    assert containers.gateway("p_default") == "172.18.0.1"
