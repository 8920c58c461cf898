"""The pytest plugin's waiting, and what it shows of a test that failed."""

from datetime import UTC, datetime
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from testbed import plugin
from testbed.pipeline import logs


def test_a_condition_that_comes_true_is_waited_for() -> None:
    numbers = count()
    assert plugin.eventually_true(lambda: next(numbers) >= 2 and "there", seconds=30) == "there"
    with pytest.raises(AssertionError, match=r"Not true within 0\.1 s: it gave \[\]"):
        plugin.eventually_true(list, seconds=0.1)


def test_a_failed_test_shows_the_logs_of_its_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    line = logs.Line("bridge", datetime(2026, 1, 1, tzinfo=UTC), "ERROR", "rule_failed", {"rule": "r"})
    monkeypatch.setattr(logs, "newest", lambda *_, **__: [line])
    for outcome, sections in (("failed", ["00:00:00 bridge rule_failed rule=r"]), ("passed", [])):
        report: Any = SimpleNamespace(failed=outcome == "failed", sections=[])
        item: Any = SimpleNamespace(funcargs={"testbed": object()})
        call: Any = SimpleNamespace(when="call", start=0.0)
        hook = plugin.pytest_runtest_makereport(item, call)
        next(hook)
        with pytest.raises(StopIteration):
            hook.send(report)
        assert [text for _, text in report.sections] == sections
