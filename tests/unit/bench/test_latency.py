"""How long a message takes until the API shows it, on a deployment that has other stations, too."""

import time
from typing import Any

import pytest

from bench.pipeline import run
from testbed.pipeline import api


def test_a_station_on_a_later_page_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page has a hundred; the bench waited for the rest until its patience was over."""
    pages: dict[Any, dict[str, Any]] = {
        None: {"stations": [{"station_id": "other", "message_id": "o"}], "next_token": "more"},
        "more": {"stations": [{"station_id": "bench-01", "message_id": "m"}], "next_token": None},
    }
    monkeypatch.setattr(api, "get", lambda _deployment, _path, **query: (200, pages[query.get("next_token")]))
    waiting = {"bench-01": ("m", time.monotonic()), "bench-02": ("n", time.monotonic())}
    deployment: Any = None
    [seconds] = run._arrived(deployment, waiting)
    assert seconds >= 0
    assert set(waiting) == {"bench-02"}
