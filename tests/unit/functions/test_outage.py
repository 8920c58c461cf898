"""An hour's outage of DynamoDB, on a simulated clock: the queue of Terraform's defaults, and the handler itself.

Amazon SQS and Lambda's event source mapping are modelled by their documents: a batch's failed messages are visible
again when their visibility timeout ends ("Amazon SQS visibility timeout", SQS developer guide; "Reporting batch item
failures", Lambda developer guide), and one received more often than maxReceiveCount goes to the dead-letter queue.
`OUTAGE_RATE=200` is the rate of the issue, in messages a second; the default is short enough for every run.
"""

import concurrent.futures
import gzip
import json
import os
import re
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from telemetry_handler.archive import ArchiveObject
from telemetry_handler.batch import Stores
from telemetry_handler.invocation import answer
from telemetry_handler.stations import Move
from telemetry_handler.telemetry import Telemetry
from testbed.paths import TERRAFORM
from tests.unit.functions.samples import envelope

RATE = int(os.environ.get("OUTAGE_RATE", "1"))
STATIONS = 5 * RATE
BEGUN = datetime(2026, 11, 1, tzinfo=UTC)
OUTAGE = range(600, 600 + 3600)
# While the table is away, each call of the handler takes all of its time.
SLOW_SECONDS, QUICK_SECONDS = 29, 1


def default(name: str) -> int:
    """Terraform's default of a variable."""
    text = (TERRAFORM / "variables.tf").read_text()
    found = re.search(rf'variable "{name}" \{{.*?default\s+= (\d+)', text, re.DOTALL)
    assert found, name
    return int(found[1])


@dataclass
class Clock:
    second: int = 0

    def now(self) -> datetime:
        return BEGUN + timedelta(seconds=self.second)


@dataclass
class World:
    """S3, both tables and the history, in memory; the table is away in the outage."""

    clock: Clock
    archived: set[str] = field(default_factory=set)
    table: dict[str, tuple[str, int, str]] = field(default_factory=dict)

    def put(self, packed: ArchiveObject) -> None:
        for line in gzip.decompress(packed.body).splitlines():
            self.archived.add(json.loads(line)["message_id"])

    def move_forward(self, telemetry: Telemetry, _updated_at: str) -> Move:
        if self.clock.second in OUTAGE:
            raise TimeoutError("DynamoDB does not answer")
        if telemetry.order <= self.table.get(telemetry.station_id, ("",)):
            return Move(moved=False)
        self.table[telemetry.station_id] = telemetry.order
        return Move(moved=True)

    def move_all_forward(self, newest: list[Telemetry], updated_at: str) -> list[Move]:
        return [self.move_forward(each, updated_at) for each in newest]

    def firsts(self, *_: Any) -> dict[int, Telemetry]:
        return {}

    unknown = firsts


@dataclass
class Queue:
    """Messages: [body, id, receives]. Hidden ones come back in the order in which they were taken."""

    clock: Clock
    visibility: int
    most_receives: int
    visible: deque[list[Any]] = field(default_factory=deque)
    hidden: deque[tuple[int, list[list[Any]]]] = field(default_factory=deque)
    dead: list[list[Any]] = field(default_factory=list)

    def take(self, most: int) -> list[list[Any]]:
        while self.hidden and self.hidden[0][0] <= self.clock.second:
            self.visible.extend(self.hidden.popleft()[1])
        taken: list[list[Any]] = []
        while self.visible and len(taken) < most:
            message = self.visible.popleft()
            if message[2] >= self.most_receives:
                self.dead.append(message)
                continue
            message[2] += 1
            taken.append(message)
        return taken


@pytest.mark.timeout(3600)
def test_an_hour_without_the_table_makes_no_dead_letters_and_all_is_stored_after_it() -> None:
    clock = Clock()
    world = World(clock)
    visibility = 6 * default("telemetry_timeout_seconds") + default("telemetry_batch_window_seconds")
    queue = Queue(clock, visibility, default("queue_max_receive_count"))
    batch_size, most_at_once = default("telemetry_batch_size"), default("telemetry_max_concurrency")
    sent = 0
    busy: deque[int] = deque()  # when each call of the handler ends
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        stores = Stores(world, world, world, lambda: pytest.fail("a dead letter"), pool, clock.now)  # type: ignore[arg-type]
        while clock.second < OUTAGE.stop or queue.visible or queue.hidden:
            clock.second += 1
            if clock.second <= OUTAGE.stop + 60:
                for _ in range(RATE):
                    queue.visible.append([body(sent, clock), f"record-{sent}", 0])
                    sent += 1
            while busy and busy[0] <= clock.second:
                busy.popleft()
            if clock.second % default("telemetry_batch_window_seconds"):
                continue
            while len(busy) < most_at_once and (taken := queue.take(batch_size)):
                event = {"Records": [{"body": text, "messageId": name} for text, name, _ in taken]}
                failed = {
                    each["itemIdentifier"]
                    for each in answer(event, None, stores, lambda _: None)["batchItemFailures"]
                }
                busy.append(clock.second + (SLOW_SECONDS if failed else QUICK_SECONDS))
                if failed:
                    queue.hidden.append(
                        (clock.second + visibility, [one for one in taken if one[1] in failed])
                    )
            assert clock.second < 50_000, "the queue never gets empty"
    print(
        f"{sent} messages, empty {clock.second - OUTAGE.stop} s after the outage, {len(queue.dead)} dead letters"
    )
    assert queue.dead == []
    assert len(world.archived) == sent
    assert len(world.table) == STATIONS
    for station, order in world.table.items():
        last = max(number for number in range(sent - STATIONS, sent) if f"s{number % STATIONS}" == station)
        assert order[1] == last


def body(number: int, clock: Clock) -> str:
    station = f"s{number % STATIONS}"
    telemetry = {
        "station_id": station,
        "battery_available": 5,
        "timestamp": clock.now().isoformat(),
        "sequence": number,
        "message_id": f"m{number}",
    }
    return envelope(json.dumps(telemetry).encode(), station, int(clock.now().timestamp() * 1000))
