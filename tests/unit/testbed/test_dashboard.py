"""The page's figures where a stream is between the rule and the handler."""

from collections.abc import Callable
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import pytest

from testbed import dashboard
from testbed.dashboard import Dashboard


class _Backlog:
    """A stream with one record more at each look."""

    looks = 0

    def __init__(self, _deployment: Any) -> None:
        type(self).looks = 0

    def depth(self) -> int:
        type(self).looks += 1
        return 40 + self.looks


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Dashboard]:
    """Make a page's data, of a deployment whose API counts two messages in the queue."""
    monkeypatch.setattr(dashboard, "Backlog", _Backlog)
    monkeypatch.setattr(
        dashboard.api, "get", lambda *_, **__: (HTTPStatus.OK, {"queue": 2, "dead_letters": 0})
    )

    def make(stream: str) -> Dashboard:
        deployment: Any = SimpleNamespace(outputs=SimpleNamespace(telemetry_stream_name=stream))
        return Dashboard(deployment, "ws://127.0.0.1:1")

    return make


def test_what_waits_in_the_stream_counts_as_what_waits_in_the_queue(
    page: Callable[[str], Dashboard],
) -> None:
    assert page("telemetry").answer("/summary") == (HTTPStatus.OK, {"queue": 2 + 41, "dead_letters": 0})


def test_the_stream_is_not_read_for_each_question(
    page: Callable[[str], Dashboard], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(dashboard.time, "monotonic", lambda: now[0])
    asked = page("telemetry")
    assert [asked.answer("/summary")[1]["queue"] for _ in range(3)] == [43, 43, 43]
    now[0] += dashboard._STREAM_SECONDS
    assert asked.answer("/summary")[1]["queue"] == 44


def test_without_a_stream_the_apis_count_stands(page: Callable[[str], Dashboard]) -> None:
    assert page("").answer("/summary") == (HTTPStatus.OK, {"queue": 2, "dead_letters": 0})
