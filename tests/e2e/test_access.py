"""Nobody calls the API without a key of its usage plan, and nobody as often as he likes."""

import subprocess
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from typing import Any

import pytest

from api_handler.headers import SECURITY
from testbed.deploy.deployment import Deployment
from testbed.paths import REPOSITORY
from testbed.pipeline import api
from tests.e2e.conftest import wait_for
from tests.secret_scan import secrets_in

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")


def ask(
    deployment: Deployment, path: str, key: str | None, method: str = "GET", **headers: str
) -> tuple[int, Message]:
    """Return status and headers of an answer."""
    if key is not None:
        headers["x-api-key"] = key
    request = urllib.request.Request(f"{deployment.api_url}{path}", method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.headers


@pytest.fixture
def routes(deployment: Deployment) -> list[tuple[str, dict[str, Any]]]:
    """List every path of the deployed API with its methods, as API Gateway has them: a new one is here by itself."""
    found = deployment.client("apigateway").get_resources(
        restApiId=deployment.outputs.api_gateway_id, embed=["methods"], limit=500
    )["items"]
    return [
        (resource["path"].replace("{", "").replace("+", "").replace("}", ""), resource["resourceMethods"])
        for resource in found
        if resource.get("resourceMethods")
    ]


def test_every_route_wants_a_key(routes: list[tuple[str, dict[str, Any]]]) -> None:
    """But for OPTIONS of browsers (CORS), which send none: API Gateway answers that by itself."""
    assert len(routes) >= 4
    open_routes = [
        (path, name)
        for path, methods in routes
        for name, method in methods.items()
        if not method["apiKeyRequired"] and method["methodIntegration"]["type"] != "MOCK"
    ]
    assert not open_routes


@pytest.mark.parametrize("key", [None, "", "wrong", "wrong" * 8])
def test_without_a_good_key_every_route_is_shut(
    deployment: Deployment, routes: list[tuple[str, dict[str, Any]]], key: str | None
) -> None:
    for path, methods in routes:
        for method in METHODS:
            if method == "OPTIONS" and "OPTIONS" in methods:
                continue  # a browser's question before the request: api_access.tf answers it to everybody
            status, _ = ask(deployment, path, key, method)
            assert status in (401, 403), f"{method} {path} with {key!r} answered {status}"


@pytest.fixture
def stranger(deployment: Deployment) -> Iterator[tuple[str, str]]:
    """Make the id and value of a key that is enabled, and in no usage plan."""
    gateway = deployment.client("apigateway")
    value = uuid.uuid4().hex
    created = gateway.create_api_key(name=f"test-{value[:8]}", enabled=True, value=value)
    yield created["id"], value
    gateway.delete_api_key(apiKey=created["id"])


def test_a_key_of_no_plan_is_refused(deployment: Deployment, stranger: tuple[str, str]) -> None:
    assert ask(deployment, "/stations", stranger[1])[0] == 403


def test_a_refusal_has_the_security_headers_of_every_answer(deployment: Deployment) -> None:
    """API Gateway's own answers come from terraform/api_access.tf, the others from the handler."""
    status, headers = ask(deployment, "/stations", deployment.api_key)
    assert status == 200
    assert {name: headers[name] for name in SECURITY} == SECURITY
    if deployment.engine_name in ("localstack", "compose"):
        pytest.skip("LocalStack 4.14.0 leaves out what a gateway response says of headers and bodies")
    status, headers = ask(deployment, "/stations", None)
    assert status == 403
    assert {name: headers[name] for name in SECURITY} == SECURITY
    assert headers["Content-Type"] == "application/problem+json"


def test_the_usage_plan_limits_each_key(deployment: Deployment) -> None:
    gateway = deployment.client("apigateway")
    api_id, stage = deployment.outputs.api_gateway_id, deployment.outputs.api_gateway_stage
    [plan] = [
        plan
        for plan in gateway.get_usage_plans()["items"]
        if {"apiId": api_id, "stage": stage}.items()
        <= {k: v for s in plan.get("apiStages", []) for k, v in s.items()}.items()
        and plan["name"].endswith("-clients")
    ]
    assert plan["throttle"]["rateLimit"] == 100
    assert plan["throttle"]["burstLimit"] == 200
    assert plan["quota"]["limit"] == 1_000_000
    assert plan["quota"]["period"] == "DAY"


@pytest.mark.parametrize(
    "limits", [{"throttle": {"rateLimit": 0.1, "burstLimit": 3}}, {"quota": {"limit": 3, "period": "DAY"}}]
)
def test_who_asks_too_often_is_told_so_and_nobody_else(
    deployment: Deployment, stranger: tuple[str, str], limits: dict[str, Any]
) -> None:
    """A key with a rate, or a quota, of three: it gets three answers; the deployment's own key is not slowed."""
    if deployment.engine_name in ("localstack", "compose"):
        pytest.skip("LocalStack 4.14.0 keeps usage plans and enforces no rate or quota")
    gateway = deployment.client("apigateway")
    api_id, stage = deployment.outputs.api_gateway_id, deployment.outputs.api_gateway_stage
    key_id, value = stranger
    plan = gateway.create_usage_plan(
        name=f"test-{value[:8]}", apiStages=[{"apiId": api_id, "stage": stage}], **limits
    )["id"]
    try:
        gateway.create_usage_plan_key(usagePlanId=plan, keyId=key_id, keyType="API_KEY")
        assert wait_for(lambda: ask(deployment, "/", value)[0] != 403)
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: ask(deployment, "/", value)[0], range(12)))
        assert set(answers) <= {200, 429}
        # AWS applies limits on a best-effort basis, so their exact count is nobody's promise.
        assert answers.count(429) >= 6
        assert ask(deployment, "/", deployment.api_key)[0] == 200
    finally:
        gateway.delete_usage_plan_key(usagePlanId=plan, keyId=key_id)
        gateway.delete_usage_plan(usagePlanId=plan)


def test_no_secret_is_in_logs_or_the_repository(deployment: Deployment) -> None:
    """The API's key and the private keys of this very run: in their own files, and nowhere that people look."""
    secrets = [deployment.api_key, *(private_part(file) for file in deployment.path.glob("certs/**/*.key"))]
    assert ask(deployment, "/stations", deployment.api_key)[0] == 200

    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True)
    files = [REPOSITORY / name for name in tracked.stdout.decode().split("\0") if name]
    files.append(deployment.path / "deployment.json")
    found = [
        str(file) for file in files if file.is_file() and holds(file.read_text(errors="replace"), secrets)
    ]
    logged = logs(deployment)
    assert any("request" in text for text in logged.values())
    found += [name for name, text in logged.items() if holds(text, secrets)]
    assert not found
    # And what has the form of a secret, whoever's it is.
    assert not secrets_in({name: text.encode() for name, text in logged.items()})
    assert deployment.api_key_file.stat().st_mode & 0o077 == 0
    assert deployment.path.stat().st_mode & 0o077 == 0
    assert api.get(deployment, "/")[0] == 200


def logs(deployment: Deployment) -> dict[str, str]:
    """Read all that was logged, by log group and by file; each line once."""
    client, found = deployment.client("logs"), {}
    for page in client.get_paginator("describe_log_groups").paginate():
        for group in page["logGroups"]:
            answers = client.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"])
            found[group["logGroupName"]] = [
                event["message"] for answer in answers for event in answer["events"]
            ]
    for file in [*deployment.path.glob("logs/**/*"), *(deployment.path / "terraform").glob("*.log")]:
        if file.is_file():
            found[str(file)] = file.read_text(errors="replace").splitlines()
    return {name: "\n".join(dict.fromkeys(lines)) for name, lines in found.items()}


def private_part(file: Any) -> str:
    """Choose a line from the middle of a PEM file."""
    lines = file.read_text().splitlines()
    return str(lines[len(lines) // 2])


def holds(text: str, secrets: list[str]) -> bool:
    """Tell whether any of the secrets is in the text."""
    return any(secret in text for secret in secrets)
