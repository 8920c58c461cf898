"""Logs of every kind are read as lines of one form."""

import os
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from testbed.host.processes import ChildProcess
from testbed.pipeline import logs
from testbed.pipeline.logs import Line, parse

AT = datetime(2026, 11, 25, 2, 50, 6, 986000, UTC)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            '{"level":"WARNING","location":"report:21","message":"refused","timestamp":"2026-11-25 02:50:06,986+0000",'
            '"function_arn":"arn:aws:lambda:x","cold_start":false,"reason":{"code":"missing_field"}}',
            Line("s", AT, "WARNING", "refused", {"reason": {"code": "missing_field"}}),
        ),
        (
            '{"rule": "telemetry", "event": "rule_loaded", "level": "info", "timestamp": "2026-11-25T02:50:06.986Z"}',
            Line("s", AT, "INFO", "rule_loaded", {"rule": "telemetry"}),
        ),
        ("2026-11-25 02:50:06,986 INFO __main__ listening", Line("s", AT, "INFO", "__main__ listening")),
        (
            "2026-11-25T02:50:06.986  WARN --- [main] l.a : slow",
            Line("s", AT, "WARNING", "--- [main] l.a : slow"),
        ),
        ("[2026-11-25 02:50:06.986 +0000] [INFO] Running", Line("s", AT, "INFO", "Running")),
        ("ValueError: of a traceback", Line("s", None, "", "ValueError: of a traceback")),
        ("[1, 2]", Line("s", None, "", "[1, 2]")),
        (
            "REPORT RequestId: 7\tDuration: 85 ms\tMemory Size: 512 MB",
            Line("s", None, "DEBUG", "Duration: 85 ms Memory Size: 512 MB", {"request_id": "7"}),
        ),
        ('{"_aws": {"CloudWatchMetrics": []}, "Records": [3.0]}', None),
        ("START RequestId: 7 Version: $LATEST", None),
        ("END RequestId: 7", None),
        ("", None),
    ],
)
def test_a_line_is_read_however_it_was_written(text: str, line: Line | None) -> None:
    assert parse("s", text, zone=UTC) == line


class _NoFunctions:
    """CloudWatch without events: these tests are about processes; tests/e2e has the functions' logs."""

    def get_paginator(self, _name: str) -> "_NoFunctions":
        return self

    def paginate(self, **_options: Any) -> list[dict[str, Any]]:
        return [{"events": []}]


class _Deployment:
    engine_name = None
    outputs = SimpleNamespace(telemetry_function_name="t", api_function_name="a")

    def __init__(self, log: Path) -> None:
        self.processes = {"broker": ChildProcess.of("broker", os.getpid(), log)}

    def client(self, _service: str) -> _NoFunctions:
        return _NoFunctions()


def test_a_follower_sees_each_line_once(tmp_path: Path) -> None:
    log = tmp_path / "broker.log"
    log.write_text("old\nsame\nsame\n")
    written = iter(["same\n", "", "new\nsame\n"])

    def pause(_seconds: float) -> None:
        with log.open("a") as file:
            file.write(next(written))

    deployment: Any = _Deployment(log)
    followed = logs.follow(deployment, minutes=1, lines=2, pause=pause)
    assert [next(followed).message for _ in range(5)] == ["same", "same", "same", "new", "same"]


def test_a_source_that_does_not_exist_is_refused_with_those_that_do(tmp_path: Path) -> None:
    deployment: Any = _Deployment(tmp_path / "none.log")
    with pytest.raises(logs.TestbedError, match="no log of telemety") as error:
        logs.newest(deployment, only=["telemety"], minutes=1, lines=1)
    assert error.value.remedy == "There are: telemetry, api, broker."
