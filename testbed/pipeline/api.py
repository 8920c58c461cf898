"""A client of the REST API, as an application would write one."""

import http.client
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

from testbed.deploy.deployment import Deployment
from testbed.errors import TestbedError

_TIMEOUT_SECONDS = 30


def get(deployment: Deployment, path: str, **query: str | int) -> tuple[int, Any]:
    """GET ``path`` of the deployment's API with its key, and decode the JSON.

    Returns:
        The status and the document; a refusal (4xx, 5xx) is an answer like any other.

    Raises:
        TestbedError: nothing answered, or not in JSON.
    """
    return _ask(deployment, "GET", path + (f"?{urllib.parse.urlencode(query)}" if query else ""), None)


def send(deployment: Deployment, method: str, path: str, document: Any) -> tuple[int, Any]:
    """Send ``document`` as JSON by ``method``, such as PATCH; see `get`."""
    return _ask(deployment, method, path, json.dumps(document).encode())


def _ask(deployment: Deployment, method: str, path: str, body: bytes | None) -> tuple[int, Any]:
    url = f"{deployment.api_url}{path}"
    said = headers(deployment) | ({} if body is None else {"Content-Type": "application/json"})
    request = urllib.request.Request(url, body, said, method=method)  # noqa: S310  # our own API
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        with refusal:
            try:
                return refusal.code, json.load(refusal)
            except ValueError as error:
                raise TestbedError(
                    f"{url} answered {refusal.code} without JSON.", "See `make logs`."
                ) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise TestbedError(f"{url} does not answer: {error}.", "See `make status`.") from error


def headers(deployment: Deployment) -> dict[str, str]:
    """Return what the API asks of its callers: its key, and where OIDC is on the access token in ``API_TOKEN``."""
    token = os.environ.get("API_TOKEN")
    return {"x-api-key": deployment.api_key} | ({"Authorization": f"Bearer {token}"} if token else {})


def stations(deployment: Deployment, **query: str | int) -> Iterator[dict[str, Any]]:
    """All stations, page by page."""
    while True:
        status, page = get(deployment, "/stations", **query)
        if status != 200:
            raise TestbedError(f"GET /stations answered {status}: {page}", "See `make logs`.")
        yield from page["stations"]
        if not page.get("next_token"):
            return
        query["next_token"] = page["next_token"]
