"""The handler's own DynamoDB calls beside botocore's: the same signature, the same patience, the same exceptions."""

import json
import random
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import ClientError, EndpointConnectionError

from telemetry_handler import dynamodb
from telemetry_handler.dynamodb import DynamoDB

_AT = "20261125T100000Z"
_PARAMETERS = {"TableName": "stations", "Key": {"station_id": {"S": "one"}}}
_THROTTLED = 400, b'{"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException", "message": "slowly"}'
_REFUSED = 400, b'{"__type": "com.amazon.coral.validate#ValidationException", "message": "no"}'
_CONDITION = 400, b'{"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"}'
_DONE = 200, b'{"Attributes": {"sequence": {"N": "7"}}}'

Answer = tuple[int, bytes]


@pytest.mark.parametrize("token", [None, "a token/of+a role="])
def test_a_call_is_signed_as_botocore_signs_it(monkeypatch: pytest.MonkeyPatch, token: str | None) -> None:
    credentials = ReadOnlyCredentials("AKIDEXAMPLE", "a secret", token)
    ours = DynamoDB("https://dynamodb.eu-central-1.amazonaws.com", "eu-central-1", lambda: credentials)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", _moment)
    chance = random.Random(18)
    for _ in range(20):
        body = chance.randbytes(chance.randint(0, 300))
        signed = ours.signed("UpdateItem", body, _AT)
        names = ("content-type", "x-amz-target")
        theirs = AWSRequest("POST", f"{ours.url}/", {name: signed[name] for name in names}, body)
        botocore.auth.SigV4Auth(credentials, "dynamodb", "eu-central-1").add_auth(theirs)
        assert theirs.headers["X-Amz-Date"] == _AT
        assert signed["authorization"] == theirs.headers["Authorization"]
        assert signed.get("x-amz-security-token") == token


def _moment() -> datetime:
    return datetime.strptime(_AT, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


class _Server(ThreadingHTTPServer):
    """Gives the answers in turn; where one is None the connection is closed without any."""

    answers: list[Answer | None]
    asked: list[tuple[str, Any]]
    connections: set[Any]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.headers["X-Amz-Target"], json.loads(body)))
        self.server.connections.add(self.client_address)
        answer = self.server.answers.pop(0)
        if answer is None:
            self.close_connection = True
            return
        status, text = answer
        self.send_response(status)
        # What is cut has another length than was said.
        self.send_header("Content-Length", str(len(text)))
        self.close_connection = text.endswith(b"cut")
        text = text.removesuffix(b"cut")
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


Answering = Callable[..., tuple[DynamoDB, _Server]]


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answering]:
    """Make a client whose service gives these answers; between two attempts it does not wait."""
    monkeypatch.setattr(dynamodb.time, "sleep", lambda _: None)
    server = _Server(("127.0.0.1", 0), _Handler)
    server.asked, server.connections = [], set()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()

    def make(*answers: Answer | None) -> tuple[DynamoDB, _Server]:
        server.answers = list(answers)
        credentials = ReadOnlyCredentials("test", "test", None)
        return DynamoDB(f"http://127.0.0.1:{server.server_port}", "eu-central-1", lambda: credentials), server

    yield make
    server.shutdown()
    thread.join()
    server.server_close()


def test_calls_share_a_connection_and_say_what_botocore_would(answering: Answering) -> None:
    client, server = answering(_DONE, _DONE)
    assert client.update_item(**_PARAMETERS) == {"Attributes": {"sequence": {"N": "7"}}}
    client.put_item(**_PARAMETERS)
    assert server.asked == [
        ("DynamoDB_20120810.UpdateItem", _PARAMETERS),
        ("DynamoDB_20120810.PutItem", _PARAMETERS),
    ]
    assert len(server.connections) == 1
    client.close()


@pytest.mark.parametrize(
    "first",
    [None, _THROTTLED, (500, b"{}"), (503, b"no JSON"), (200, b"{}cut")],
    ids=["closed", "throttled", "error", "page", "cut"],
)
def test_what_passes_is_tried_again(answering: Answering, first: Answer | None) -> None:
    client, server = answering(first, first, _DONE)
    assert client.update_item(**_PARAMETERS)["Attributes"]
    assert len(server.asked) == 3
    client.close()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(None, EndpointConnectionError), (_THROTTLED, ClientError), ((500, b""), ClientError)],
)
def test_three_attempts_are_all(
    answering: Answering, answer: Answer | None, expected: type[Exception]
) -> None:
    client, server = answering(*[answer] * 4)
    with pytest.raises(expected):
        client.update_item(**_PARAMETERS)
    assert len(server.asked) == 3
    client.close()


def test_a_condition_that_does_not_hold_is_an_exception_of_its_own_and_not_tried_again(
    answering: Answering,
) -> None:
    client, server = answering(_CONDITION)
    with pytest.raises(client.exceptions.ConditionalCheckFailedException):
        client.update_item(**_PARAMETERS)
    assert len(server.asked) == 1
    client.close()


def test_what_is_refused_says_why(answering: Answering) -> None:
    client, _ = answering(_REFUSED)
    with pytest.raises(ClientError, match=r"ValidationException.*UpdateItem.*no"):
        client.update_item(**_PARAMETERS)
    client.close()


def test_nobody_there_is_an_error_of_the_connection(answering: Answering) -> None:
    _, server = answering()
    credentials = ReadOnlyCredentials("test", "test", None)
    # The port beside no server's: bound, and not listening.
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        client = DynamoDB(f"http://127.0.0.1:{bound.getsockname()[1]}", "eu-central-1", lambda: credentials)
        with pytest.raises(EndpointConnectionError):
            client.update_item(**_PARAMETERS)
    assert not server.asked
