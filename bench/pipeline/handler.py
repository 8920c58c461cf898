"""Measure what the telemetry handler costs by itself: its package, its cold start, a record of a batch."""

import base64
import json
import statistics
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.pipeline.publishers import telemetry
from simulator.messages import TOPIC
from testbed.paths import FUNCTIONS

_BATCH = 1000
_STATIONS = 500
_ROUNDS = 5
_VARIABLES = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "TELEMETRY_BUCKET": "b",
    "STATIONS_TABLE": "t",
    "HISTORY_TABLE": "h",
    "DEAD_LETTER_QUEUE_URL": "http://q",
    "HISTORY_RESOLUTION_SECONDS": "60",
    "HISTORY_HOURS": "24",
    "POWERTOOLS_SERVICE_NAME": "bench",
    "POWERTOOLS_METRICS_NAMESPACE": "bench",
}


@dataclass(frozen=True)
class HandlerFigures:
    """``import_seconds``: of its module by a fresh Python with nothing compiled, beside that of boto3 alone.

    ``record_microseconds``: CPU to read, check and pack a record in a batch of 1,000; the calls to AWS are not in it.
    ``json_microseconds``: what ``json.loads`` of its body takes in the same run.
    """

    zip_bytes: int
    unpacked_bytes: int
    import_seconds: float
    boto3_seconds: float
    record_microseconds: float
    json_microseconds: float


def measure(package: Path) -> HandlerFigures:
    """Measure the package of this machine's Python."""
    with zipfile.ZipFile(package) as archive, TemporaryDirectory() as folder:
        unpacked = sum(entry.file_size for entry in archive.infolist())
        archive.extractall(folder)  # our own zip
        imports = _import_seconds("telemetry_handler.app", folder)
        boto3 = _import_seconds("boto3", folder)
    record, plain = _record_microseconds()
    return HandlerFigures(package.stat().st_size, unpacked, imports, boto3, record, plain)


def _import_seconds(module: str, folder: str) -> float:
    program = (
        f"import sys, time; sys.path.insert(0, {folder!r}); begun = time.perf_counter(); "
        f"import {module}; print(time.perf_counter() - begun)"
    )
    return statistics.median(
        float(
            subprocess.run(
                # -B, and a folder just unpacked: a Lambda's first start finds nothing compiled either.
                [sys.executable, "-B", "-c", program],
                check=True,
                capture_output=True,
                text=True,
                env=_VARIABLES,
            ).stdout
        )
        for _ in range(_ROUNDS)
    )


def _record_microseconds() -> tuple[float, float]:
    if str(FUNCTIONS) not in sys.path:
        sys.path.insert(0, str(FUNCTIONS))
    from telemetry_handler import archive  # noqa: PLC0415  # importable from here on
    from telemetry_handler.batch import Outcome, sort  # noqa: PLC0415
    from telemetry_handler.envelope import Record  # noqa: PLC0415

    payload = telemetry("bench")
    now = datetime.now(UTC)
    names = [f"bench-{number % _STATIONS}" for number in range(_BATCH)]
    bodies = [_envelope(name, payload(name, number)) for number, name in enumerate(names)]
    records = [Record(str(number), body, int(now.timestamp() * 1000)) for number, body in enumerate(bodies)]

    def handle() -> None:
        outcome = Outcome(records=len(records))
        for hour in sort(records, now, outcome).hours.values():
            archive.pack(hour.lines)
        if outcome.refusals or outcome.failed:
            raise AssertionError(f"the benchmark's own records are refused: {outcome.refusals[:1]}")

    def parse() -> None:
        for body in bodies:
            json.loads(body)

    return _least(handle), _least(parse)


def _envelope(name: str, message: dict[str, Any]) -> bytes:
    """Return what the rule of terraform/iot.tf sends."""
    return json.dumps(
        {
            "payload_base64": base64.b64encode(json.dumps(message).encode()).decode(),
            "topic": TOPIC.format(station_id=name),
            "client_id": name,
            "received_at": int(time.time() * 1000),
        }
    ).encode()


def _least(work: Any) -> float:
    """Return the CPU microseconds a record of the cheapest round."""
    costs = []
    for _ in range(_ROUNDS):
        begun = time.process_time()
        work()
        costs.append(time.process_time() - begun)
    return 1e6 * min(costs) / _BATCH
