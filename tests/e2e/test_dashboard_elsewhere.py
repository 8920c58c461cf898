"""The page as CloudFront serves it: of another origin than the API, with a key typed in, and the function's URLs.

CloudFront and API Gateway are played by two small servers that do what terraform/ tells those to; the handler, its
signer, the front door, the tables and the alarms are real. `make rehearse` has both from Terraform itself.
"""

import itertools
import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from botocore.credentials import Credentials, ReadOnlyCredentials
from playwright.sync_api import Browser, Page

from api_handler.commands import Commands
from api_handler.history import History, Window
from api_handler.jobs import Jobs
from api_handler.operations import Operations
from api_handler.realtime import Realtime
from api_handler.routes import Services, respond
from api_handler.settings import Settings
from api_handler.stations import Stations
from api_handler.summary import Summary
from testbed.dashboard import in_background, start_door
from testbed.deploy import page_files
from testbed.deploy.deployment import Deployment
from testbed.host import ports
from testbed.pipeline import dead_letters
from testbed.stations import observers
from tests.e2e.conftest import Connect
from tests.e2e.test_dashboard import PATIENCE_MS, telemetry, wait_for_ready
from tests.e2e.test_dashboard import browser as browser  # noqa: PLC0414  # pytest finds fixtures by import

pytestmark = pytest.mark.skipif(
    os.environ.get("TARGET") == "aws",
    reason="CloudFront and API Gateway are played here: make rehearse has them",
)

KEY = "the key that the API wants"
# A role's, with a token: AWS IoT wants it behind the signature.
ROLE = Credentials("ASIAEXAMPLE", "a secret", "a token/of+a role=")
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "json": "application/json"}


class _Quiet(BaseHTTPRequestHandler):
    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Elsewhere:
    """The two servers. ``services`` may be changed while they run."""

    def __init__(self, services: Services, door: str) -> None:
        self.services = services
        elsewhere = self
        files = page_files.own() | page_files.packaged(print)

        class Gateway(_Quiet):
            """The gateway that terraform/api_access.tf describes: OPTIONS for everybody, the rest with the key."""

            def do_OPTIONS(self) -> None:
                allow = {
                    "Access-Control-Allow-Origin": elsewhere.origin,
                    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS, PATCH, POST",
                    "Access-Control-Allow-Headers": "authorization, content-type, x-api-key",
                }
                self.answer(204, allow, b"")

            def do_GET(self) -> None:
                if self.headers.get("x-api-key") != KEY:
                    refusal = {
                        "title": "Forbidden",
                        "status": 403,
                        "detail": "That key is not one of this API.",
                    }
                    allow = {"Access-Control-Allow-Origin": elsewhere.origin}
                    self.answer(403, allow, json.dumps(refusal).encode())
                    return
                url = urlsplit(self.path)
                event = {
                    "httpMethod": "GET",
                    "path": url.path.removeprefix("/dev"),
                    "multiValueQueryStringParameters": parse_qs(url.query) or None,
                }
                made = respond(event, None, elsewhere.services, lambda: None)
                self.answer(made["statusCode"], made["headers"], made["body"].encode())

        class Site(_Quiet):
            """The site that terraform/dashboard.tf describes."""

            def do_GET(self) -> None:
                name = urlsplit(self.path).path.removeprefix("/") or "index.html"
                policy = (
                    f"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' {elsewhere.api} "
                    f"{door}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
                )
                headers = {
                    "Content-Type": _TYPES[name.rsplit(".", 1)[-1]],
                    "Content-Security-Policy": policy,
                    "X-Content-Type-Options": "nosniff",
                }
                if name == "config.json":
                    config = {"api": f"{elsewhere.api}/dev", "key": True, "token": False}
                    self.answer(200, headers, json.dumps(config).encode())
                elif name in files:
                    self.answer(200, headers, files[name].read_bytes())
                else:
                    self.answer(403, {}, b"")

        self.servers = [ThreadingHTTPServer(("127.0.0.1", 0), kind) for kind in (Gateway, Site)]
        self.api, self.origin = (f"http://127.0.0.1:{each.server_port}" for each in self.servers)


@pytest.fixture
def elsewhere(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Iterator[Elsewhere]:
    port = ports.choose(None, what="the front door")
    outputs, dynamodb = deployment.outputs, deployment.client("dynamodb")
    role = ReadOnlyCredentials(ROLE.access_key, ROLE.secret_key, ROLE.token)
    operations = Operations(dynamodb, outputs.operations_table_name)
    services = Services(
        Stations(dynamodb, outputs.stations_table_name),
        History(dynamodb, outputs.history_table_name, Window(60, 24)),
        _summary(deployment, f"ev-swap-{deployment.environment}-"),
        Settings(lambda: deployment.client("iot-data"), operations, "station-"),
        Commands(lambda: deployment.client("iot-data"), operations, deployment.topic_root),
        Jobs(lambda: deployment.client("iot"), "none-"),
        Realtime(f"ws://127.0.0.1:{port}/mqtt", deployment.region, deployment.topic_filter, lambda: role),
    )
    with ExitStack() as stack:
        certificate = stack.enter_context(observers.enrolled(deployment, "dashboard"))
        door = start_door(deployment.place, port, ROLE, certificate, deployment.topic_filter)
        stack.callback(door.stop)
        made = Elsewhere(services, f"ws://127.0.0.1:{port}")
        for each in made.servers:
            stack.enter_context(each)
            stack.enter_context(in_background(each))
        monkeypatch.setenv("CORS_ORIGIN", made.origin)
        yield made


def _summary(deployment: Deployment, alarm_prefix: str) -> Summary:
    """Deploy an API handler that looks at the alarms each time."""
    outputs = deployment.outputs
    queues = outputs.telemetry_queue_url, outputs.dead_letter_queue_url
    return Summary(*queues, alarm_prefix, deployment.client, itertools.count(step=1000).__next__)


def _type(page: Page, key: str) -> None:
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")


def test_a_key_is_asked_for_once_and_the_page_is_live(
    browser: Browser, elsewhere: Elsewhere, connect: Connect, name: str
) -> None:
    with browser.new_context(viewport={"width": 1200, "height": 900}) as context:
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.goto(elsewhere.origin)
        _type(page, "a wrong key")
        page.get_by_role("alert").get_by_text("That key is not one of this API.").wait_for(
            timeout=PATIENCE_MS
        )
        found = Axe().run(page).response["violations"]
        assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
        _type(page, KEY)
        page.locator('#link[data-state="up"]').wait_for(timeout=PATIENCE_MS)
        assert page.locator("#access").is_hidden()
        page.get_by_label("Find").fill(name)
        connect(name).publish(telemetry(name, 7, 1))
        wait_for_ready(page, name, 7, 2000)
        assert page.evaluate("[Object.entries(sessionStorage), localStorage.length, document.cookie]") == [
            [["api-key", KEY]],
            0,
            "",
        ]
        # In this tab it is not asked for again; in another it is.
        page.reload()
        page.locator('#link[data-state="up"]').wait_for(timeout=PATIENCE_MS)
        assert page.locator("#access").is_hidden()
        another = context.new_page()
        another.goto(elsewhere.origin)
        another.locator("#access").wait_for(timeout=PATIENCE_MS)
        assert not [text for text in said if "Content Security Policy" in text]


def test_alarms_are_shown(browser: Browser, elsewhere: Elsewhere, deployment: Deployment) -> None:
    cloudwatch, raised = deployment.client("cloudwatch"), f"ev-swap-{deployment.environment}-queue-age"
    sqs, queue = deployment.client("sqs"), deployment.outputs.dead_letter_queue_url

    def state(value: str) -> None:
        cloudwatch.set_alarm_state(AlarmName=raised, StateValue=value, StateReason="a test's")

    with browser.new_context() as context:
        page = context.new_page()
        page.goto(elsewhere.origin)
        state("ALARM")
        try:
            _type(page, KEY)
            first = page.locator("#alarm-list li").first
            first.get_by_text("ALARM").wait_for(timeout=PATIENCE_MS)
            assert re.match(r"[12] of 10 raised\.", page.locator("#alarms-word").text_content() or "")
            assert raised in str(page.locator("#alarm-list").text_content())
            assert page.locator("#alarm-list li").count() == 10
            assert page.locator("#alarm-list li", has_text=raised).locator("time").get_attribute("datetime")
            # No alarm is needed for what everybody can see waiting.
            state("OK")
            sent = sqs.send_message(QueueUrl=queue, MessageBody="{}")["MessageId"]
            waiting = re.compile(r"\d dead letters? waits?\b")
            page.locator("#letters-word", has_text=waiting).wait_for(timeout=PATIENCE_MS)
            ours = [each for each in dead_letters.read(sqs, queue) if each.sqs_message_id == sent]
            assert len(ours) == 1
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=ours[0].receipt_handle)
        finally:
            state("OK")
        elsewhere.services = Services(
            elsewhere.services.stations,
            elsewhere.services.history,
            _summary(deployment, "nothing-"),
            elsewhere.services.settings,
            elsewhere.services.commands,
            elsewhere.services.jobs,
            elsewhere.services.realtime,
        )
        page.reload()
        page.get_by_text("None is set up here.").wait_for(timeout=PATIENCE_MS)
        assert page.locator("#alarm-list li").count() == 0
