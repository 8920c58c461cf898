"""schemathesis holds the API handler against its OpenAPI file, over HTTP as API Gateway would speak it."""

import base64
import http.server
import json
import os
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from api_handler.routes import Services, respond
from tests.integration.functions.conftest import Cloud
from tests.unit.functions.samples import envelope, payload, presence, sqs_event

DESCRIPTION = Path(__file__).parents[3] / "functions" / "api_handler" / "openapi.json"


class _Gateway(http.server.BaseHTTPRequestHandler):
    """Turns HTTP into proxy events and back. The e2e tests do the same through the engine's API Gateway."""

    protocol_version = "HTTP/1.1"
    services: Services

    def _proxy(self) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query, keep_blank_values=True)
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        event = {
            "httpMethod": self.command,
            "path": url.path,
            "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
            "multiValueQueryStringParameters": query or None,
            "requestContext": {
                "requestId": "request-1",
                "authorizer": {"principalId": "t", "scopes": "operate"},
            },
            "body": base64.b64encode(sent).decode(),
            "isBase64Encoded": True,
        }
        answer = respond(event, None, self.services, lambda: None)
        body = answer["body"].encode()
        self.send_response(answer["statusCode"])
        for name, value in answer["headers"].items():
            self.send_header(name, value)
        if answer["statusCode"] != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_HEAD = do_OPTIONS = do_POST = do_PUT = do_PATCH = do_DELETE = do_TRACE = do_QUERY = _proxy  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def gateway(make_cloud: Callable[[], Cloud]) -> Iterator[str]:
    """Run an API with 30 stations, and provide its address."""
    cloud = make_cloud()
    rng = random.Random(7)
    names = [f"station-{n:02}" for n in range(30)]
    cloud.invoke(
        sqs_event(
            *(envelope(payload(name, battery_available=rng.randrange(13)), name) for name in names),
            presence("station-03", "disconnected"),
            presence("quiet", "connected"),
        )
    )
    for name in names:
        cloud.iot.report(name, charging_power_limit_kw=1200)
    _Gateway.services = cloud.services()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Gateway)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()
    cloud.remove()


# Keys are API Gateway's business: tests/e2e/test_access.py.
schema = schemathesis.openapi.from_dict(json.loads(DESCRIPTION.read_text()) | {"security": []})


@schema.parametrize()
@settings(
    max_examples=int(os.environ.get("API_EXAMPLES", "40")),
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_the_api_is_as_described(case: schemathesis.Case, gateway: str) -> None:
    """Every answer to every request, good or bad, is one that the description allows."""
    # A schema cannot say which tokens the API gave out, so a well-formed one may be refused all the same.
    query = case.query or {}
    # The same of a `from` that is after `to`; and a change's version may be another than the settings have,
    # a slot is wanted with one command alone.
    refusable = "next_token" in query or {"from", "to"} <= set(query) or case.method in ("PATCH", "POST")
    excluded = [positive_data_acceptance] if refusable else []
    case.call_and_validate(base_url=gateway, excluded_checks=excluded)
