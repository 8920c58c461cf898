"""Calls to AWS IoT without boto3 are the calls that boto3 makes."""

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from botocore import xform_name
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, EndpointConnectionError

from bridge.control_plane import ControlPlane
from testbed.host import emulated

ARN = "arn:aws:iot:eu-central-1:000000000000:cert/0a1b"
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("RegisterCertificateWithoutCA", {"certificatePem": "pem\n", "status": "ACTIVE"}),
    ("CreateThing", {"thingName": "station-1"}),
    ("AttachThingPrincipal", {"thingName": "station-1", "principal": ARN}),
    ("AttachPolicy", {"policyName": "a-policy", "target": ARN}),
    ("ListAttachedPolicies", {"target": ARN}),
    ("ListCertificates", {"pageSize": 250}),
    ("DeleteCertificate", {"certificateId": "0a1b" * 16, "forceDelete": True}),
    ("GetTopicRule", {"ruleName": "a_rule"}),
]


class _Recorder(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, str, Any, str | None, int]]
    answers: list[tuple[int, bytes]]

    def do_GET(self) -> None:
        """Note what came, and answer as told."""
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        principal = self.headers.get("x-amzn-principal")
        # Whether the connection is the one before it says its port.
        self.seen.append(
            (self.command, self.path, json.loads(body or b"{}"), principal, self.client_address[1])
        )
        if self.answers and self.answers[0][0] == 0:
            self.answers.pop(0)
            self.close_connection = True
            return
        status, answer = self.answers.pop(0) if self.answers else (200, b'{"ok": 1}')
        self.send_response(status)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self.do_GET
        raise AttributeError(name)

    def log_message(self, *_: object) -> None:
        """Keep the log out of the tests' output."""


@pytest.fixture
def service() -> Iterator[tuple[str, type[_Recorder]]]:
    handler = type("Handler", (_Recorder,), {"seen": [], "answers": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", handler
    server.shutdown()
    server.server_close()
    serving.join()


def plane(url: str) -> ControlPlane:
    return ControlPlane(url, "eu-central-1", Credentials("test", "test"))


@pytest.mark.parametrize(("operation", "parameters"), CALLS)
def test_it_asks_what_boto3_asks(
    service: tuple[str, type[_Recorder]], operation: str, parameters: dict[str, Any]
) -> None:
    """Method, path, query, body and principal."""
    url, handler = service
    boto = emulated.session("eu-central-1").client("iot", endpoint_url=url)
    getattr(boto, xform_name(operation))(**parameters)
    boto.close()
    plane(url).call(operation, **parameters)
    ours, theirs = handler.seen[1][:4], handler.seen[0][:4]
    assert ours == theirs


def test_one_connection_serves_all_calls_of_a_thread(service: tuple[str, type[_Recorder]]) -> None:
    url, handler = service
    calls = plane(url)
    for name in ("a", "b", "c"):
        assert calls.call("CreateThing", thingName=name) == {"ok": 1}
    assert len({seen[4] for seen in handler.seen}) == 1


def test_a_refusal_is_boto3s_error(service: tuple[str, type[_Recorder]]) -> None:
    """Callers need not know which of the two they have."""
    url, handler = service
    handler.answers.append((404, b'{"__type": "ResourceNotFoundException", "message": "no such thing"}'))
    with pytest.raises(ClientError) as raised:
        plane(url).call("CreateThing", thingName="a")
    assert raised.value.response["Error"] == {
        "Code": "ResourceNotFoundException",
        "Message": "no such thing",
    }


def test_a_service_that_is_busy_is_asked_again(service: tuple[str, type[_Recorder]]) -> None:
    url, handler = service
    handler.answers += [(503, b""), (429, b"{}")]
    assert plane(url).call("CreateThing", thingName="a") == {"ok": 1}
    assert len(handler.seen) == 3


def test_a_connection_that_ended_is_opened_again(service: tuple[str, type[_Recorder]]) -> None:
    """Without a word, as when the service was started again."""
    url, handler = service
    calls = plane(url)
    calls.call("CreateThing", thingName="a")
    handler.answers.append((0, b""))
    assert calls.call("CreateThing", thingName="b") == {"ok": 1}
    assert handler.seen[0][4] != handler.seen[-1][4]


def test_nobody_there_is_said() -> None:
    with pytest.raises(EndpointConnectionError, match=r"127\.0\.0\.1:9"):
        plane("http://127.0.0.1:9").call("CreateThing", thingName="a")
