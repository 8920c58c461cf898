"""A client of the REST API, as an application would write one."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

from testbed.errors import TestbedError

_TIMEOUT_SECONDS = 30


def get(base_url: str, path: str, **query: str | int) -> tuple[int, Any]:
    """GET ``path`` and decode its JSON.

    Returns:
        The status and the document; a refusal (4xx, 5xx) is an answer like any other.

    Raises:
        TestbedError: nothing answered, or not in JSON.
    """
    url = f"{base_url}{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310  # our own API
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        with refusal:
            try:
                return refusal.code, json.load(refusal)
            except ValueError as error:
                raise TestbedError(
                    f"{url} answered {refusal.code} without JSON.", "See `make logs`."
                ) from error
    except (OSError, ValueError) as error:
        raise TestbedError(f"{url} does not answer: {error}.", "See `make status`.") from error


def stations(base_url: str, **query: str | int) -> Iterator[dict[str, Any]]:
    """All stations, page by page."""
    while True:
        status, page = get(base_url, "/stations", **query)
        if status != 200:
            raise TestbedError(f"GET /stations answered {status}: {page}", "See `make logs`.")
        yield from page["stations"]
        if not page.get("next_token"):
            return
        query["next_token"] = page["next_token"]
