"""Calls to services as boto3 makes them, answered by a small server that speaks the services' wire formats."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from botocore.config import Config

from bridge.runtime.outside import ServiceCalls, UnreachableError
from bridge.sql import Context, Message, RuleSqlError, compile_rule
from bridge.sql.values import UNDEFINED
from testbed.host import emulated

ROLE = "arn:aws:iam::000000000000:role/r"
SHADOW = {"state": {"reported": {"alarm": "ON"}}, "version": 3}


class Services:
    """A server that answers with what was put into ``answers``, by path; clients that call it."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, Any]] = {}
        self.asked: list[str] = []
        services = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                services.asked.append(self.path)
                status, document = services.answers.get(self.path, (404, {"message": "no"}))
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                if status == 404:
                    self.send_header("x-amzn-errortype", "ResourceNotFoundException")
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = _answer  # noqa: N815  # http.server's names

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def quick_client(self, service: str) -> Any:
        make: Any = emulated.session("eu-central-1").client
        once = Config(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 1})
        return make(service, endpoint_url=f"http://127.0.0.1:{self.server.server_port}", config=once)


@pytest.fixture
def services() -> Iterator[Services]:
    made = Services()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_a_shadow_in_where(services: Services) -> None:
    """The two examples of iot-sql-functions, get_thing_shadow: named, and without a name."""
    services.answers = {
        "/things/MyThing/shadow?name=MyThingShadow": (200, SHADOW),
        "/things/MyThing/shadow": (200, {"state": {"reported": {"alarm": "OFF"}}}),
    }
    context = Context(outside=ServiceCalls(services))
    for arguments, fires in ((f'"MyThing","MyThingShadow","{ROLE}"', True), (f'"MyThing","{ROLE}"', False)):
        sql = (
            f"SELECT * FROM 'topic/subtopic' WHERE get_thing_shadow({arguments}).state.reported.alarm = 'ON'"
        )
        rule = compile_rule(sql, context=context)
        assert rule.calls_out
        assert bool(rule.evaluate(Message("topic/subtopic", b'{"a": 1}'))) is fires


def test_what_is_not_there_is_undefined(services: Services) -> None:
    calls = ServiceCalls(services)
    assert calls.call("get_thing_shadow", ["nobody", ROLE]) is UNDEFINED
    assert calls.call("get_thing_shadow", [UNDEFINED, ROLE]) is UNDEFINED
    assert calls.call("get_registry_data", ["DescribeThing", "nobody", ROLE]) is UNDEFINED
    with pytest.raises(RuleSqlError, match="get_secret"):
        calls.call("get_secret", ["none", "SecretString", ROLE])
    with pytest.raises(RuleSqlError, match="DeleteThing"):
        calls.call("get_registry_data", ["DeleteThing", "t", ROLE])


def test_nobody_answering_is_no_answer(services: Services) -> None:
    services.server.shutdown()
    services.server.server_close()
    with pytest.raises(UnreachableError):
        ServiceCalls(services).call("get_thing_shadow", ["t", ROLE])


def test_get_dynamodb_stands_once_in_a_statement(services: Services) -> None:
    """iot-sql-functions: more of it "causes the rule to terminate without invoking any actions"."""
    context = Context(outside=ServiceCalls(services))
    once = f"get_dynamodb('T', 'k', id, '{ROLE}')"
    compile_rule(f"SELECT get((SELECT VALUE {once}.x FROM list), 0) AS a FROM 't'", context=context)
    with pytest.raises(RuleSqlError, match="once"):
        compile_rule(f"SELECT {once}.a AS a, {once}.b AS b FROM 't'", context=context)
