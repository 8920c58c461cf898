"""The page on AWS: from CloudFront, and from here with the API's URLs. `make rehearse` runs it on a stand-in."""

import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import Message
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, sync_playwright

from testbed import dashboard
from testbed.deploy.deployment import Deployment
from testbed.host import programs
from testbed.paths import DASHBOARD
from testbed.pipeline import api
from tests.e2e.conftest import Connect
from tests.e2e.test_dashboard import PATIENCE_MS, PROGRAMS, QUIET, telemetry, wait_for_ready


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start a browser that finds AWS where the shell does: by its proxy, which has a stand-in's certificates."""
    program = programs.ensure(PROGRAMS, "chromium", "Install it (Debian: sudo apt-get install chromium).")
    proxy = os.environ.get("HTTPS_PROXY")
    trust = ("--ignore-certificate-errors",) if os.environ.get("AWS_CA_BUNDLE") else ()
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=str(program),
            args=[*QUIET, *trust],
            proxy={"server": proxy, "bypass": "127.0.0.1"} if proxy else None,
        )
        yield started
        started.close()


@pytest.fixture
def page_url(deployment: Deployment) -> str:
    if not (url := deployment.outputs.dashboard_url):
        pytest.skip("the page is not deployed: dashboard_enabled")
    return str(url)


def ask(url: str, method: str = "GET", **headers: str) -> tuple[int, Message, bytes]:
    request = urllib.request.Request(url, method=method, headers=headers)  # https
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.headers, refusal.read()


def _offer(deployment: Deployment) -> dict[str, Any]:
    status, offer = api.get(deployment, "/realtime")
    assert status == 200, offer
    found: dict[str, Any] = offer
    return found


def test_cloudfront_serves_the_files_with_their_headers(deployment: Deployment, page_url: str) -> None:
    for name, kind in (("", "html"), ("app.js", "javascript"), ("style.css", "css")):
        status, headers, body = ask(f"{page_url}/{name}")
        assert status == 200
        assert body == (DASHBOARD / (name or "index.html")).read_bytes()
        assert kind in headers["Content-Type"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "max-age=63072000" in headers["Strict-Transport-Security"]
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    [connects] = re.findall(r"connect-src ([^;]+)", headers["Content-Security-Policy"])
    api_origin = "https://" + urlsplit(deployment.api_url).netloc
    assert connects.split() == ["'self'", api_origin, f"wss://{urlsplit(_offer(deployment)['url']).netloc}"]
    status, _, body = ask(f"{page_url}/config.json")
    assert json.loads(body) == {"api": deployment.api_url, "key": True, "token": False}
    assert deployment.api_key.encode() not in body


def test_the_bucket_is_cloudfronts_alone(deployment: Deployment, page_url: str) -> None:
    s3, account = deployment.client("s3"), deployment.client("sts").get_caller_identity()["Account"]
    bucket = f"ev-swap-{deployment.environment}-dashboard-{account}"
    assert all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())
    [rule] = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert ask(f"https://{bucket}.s3.{deployment.region}.amazonaws.com/index.html")[0] == 403
    assert ask(f"{page_url}/nothing-of-ours")[0] == 403


def test_the_api_lets_the_page_and_no_other(deployment: Deployment, page_url: str) -> None:
    asking = {"Origin": page_url, "Access-Control-Request-Method": "GET"}
    for path in ("/stations", "/summary", "/realtime"):
        status, headers, _ = ask(f"{deployment.api_url}{path}", "OPTIONS", **asking)
        assert status == 204
        assert headers["Access-Control-Allow-Origin"] == page_url
        assert "x-api-key" in headers["Access-Control-Allow-Headers"]
        assert ask(f"{deployment.api_url}{path}")[0] == 403
    headers = ask(f"{deployment.api_url}/stations", **api.headers(deployment))[1]
    assert headers["Access-Control-Allow-Origin"] == page_url


def test_a_url_is_the_functions_and_lives_for_a_minute(deployment: Deployment) -> None:
    offer = _offer(deployment)
    url = urlsplit(offer["url"])
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    assert (url.scheme, url.path) == ("wss", "/mqtt")
    assert query["X-Amz-Expires"] == "60"
    assert list(query)[-1] == "X-Amz-Security-Token"
    left = datetime.fromisoformat(offer["expires_at"]) - datetime.now(UTC)
    assert timedelta(seconds=-60) < left <= timedelta(seconds=60)


def alarms(deployment: Deployment) -> set[str]:
    """Return the names of the deployment's alarms, as CloudWatch has them."""
    prefix = deployment.outputs.stations_table_name.removesuffix("stations")
    found = deployment.client("cloudwatch").describe_alarms(AlarmNamePrefix=prefix)["MetricAlarms"]
    names = {alarm["AlarmName"] for alarm in found}
    assert f"{prefix}dead-letters" in names
    return names


def test_a_summary_has_the_alarms(deployment: Deployment) -> None:
    status, summary = api.get(deployment, "/summary")
    assert status == 200
    assert {alarm["name"] for alarm in summary["alarms"]} == alarms(deployment)


def test_the_page_of_cloudfront_is_live(
    browser: Browser, deployment: Deployment, page_url: str, connect: Connect, name: str
) -> None:
    with browser.new_context(viewport={"width": 1200, "height": 900}) as context:
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.goto(page_url)
        page.get_by_label("API key").fill(deployment.api_key)
        page.keyboard.press("Enter")
        page.locator('#link[data-state="up"]').wait_for(timeout=PATIENCE_MS)
        page.get_by_label("Find").fill(name)
        station = connect(name)
        for sequence, ready in enumerate((8, 2), 1):
            station.publish(telemetry(name, ready, sequence))
            wait_for_ready(page, name, ready, 2000)
        page.locator("#alarm-list li").first.wait_for(timeout=PATIENCE_MS)
        assert page.locator("#alarm-list li").count() == len(alarms(deployment))
        # What is shown above came across origins. A call that the stand-in throttles has none of the gateway's headers.
        assert not [text for text in said if "Content Security Policy" in text]


def test_the_page_from_here_is_live(
    browser: Browser, deployment: Deployment, connect: Connect, name: str
) -> None:
    with dashboard.running(deployment, print) as server, dashboard.in_background(server):
        context = browser.new_context(viewport={"width": 1200, "height": 900})
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.locator('#link[data-state="up"]').wait_for(timeout=PATIENCE_MS)
        page.get_by_label("Find").fill(name)
        connect(name).publish(telemetry(name, 3, 1))
        wait_for_ready(page, name, 3, 2000)
        context.close()
