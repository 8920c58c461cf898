"""The handler, the table, the archive and the dead-letter queue against the obvious model in memory.

Hypothesis publishes good and bad messages and presence events, delivers them in any grouping, order and
repetition, and has any of the AWS calls fail before or after it took effect. After every delivery: what was
acknowledged to the queue is safe, the table never went back, and no point of the history was replaced by a later
message. At the end, when everything got through: nothing is missing, nothing is wrong.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from telemetry_handler.presence import Presence
from tests.integration.functions import faults
from tests.integration.functions.conftest import Cloud, payload_of
from tests.unit.functions.samples import NOW_MS, envelope, payload, presence, sqs_record

STATIONS = ("one", "two")
BAD = {
    b"": "not_json",
    b"[]": "not_object",
    payload("one", battery_available=-1): "out_of_range",
    payload("one", power_kw=float("inf")): "not_finite",
    payload("nobody"): "station_mismatch",
}
Order = tuple[str, int, str]
RESOLUTION = 2  # of three seconds of messages: intervals with several and with one

failures = st.one_of(
    st.none(),
    st.tuples(
        st.sampled_from(["before", "after"]),
        st.sampled_from(["archive", "table", "history", "queue"]),
        st.sampled_from(STATIONS),
    ),
    st.just(("partly", "queue", "one")),
)


def _interval(order: Order) -> int:
    seconds = int(datetime.fromisoformat(order[0]).timestamp())
    return seconds - seconds % RESOLUTION


class Pipeline(RuleBasedStateMachine):
    """The queue and what should have become of its messages, beside the real thing."""

    def __init__(self, make_cloud: Callable[[], Cloud]) -> None:
        super().__init__()
        self.cloud = make_cloud()
        self.cloud.resolution = RESOLUTION
        self.cloud.wire()
        self.waiting: list[dict[str, Any]] = []
        self.published: dict[str, dict[str, Any]] = {}  # by message id, all good telemetry
        # What each record of the queue carries, by its id.
        self.good: dict[str, tuple[str, Order]] = {}
        self.bad: dict[str, tuple[bytes, str]] = {}
        self.events: dict[str, Presence] = {}
        self.acknowledged: set[str] = set()
        self.dead: list[tuple[bytes, str]] = []
        self.seen: dict[str, Order] = {}
        self.points: dict[tuple[str, int], Order] = {}
        self.count = 0
        # Whether the handler was called since the last look; all other steps only add to what waits.
        self.handled = True
        # Presence is of stations that have sent telemetry.
        for station in STATIONS:
            self.publish(station, second=0, sequence=0, named=True, batteries=1)
        assert self.cloud.failed({"Records": self.waiting}) == set()
        self.acknowledged |= {record["messageId"] for record in self.waiting}
        self.waiting = []

    def _queue(self, body: str) -> str:
        self.count += 1
        record = sqs_record(body, f"record-{self.count}")
        self.waiting.append(record)
        return f"record-{self.count}"

    @rule(
        station=st.sampled_from(STATIONS),
        second=st.integers(0, 2),
        sequence=st.integers(0, 1),
        named=st.booleans(),
        batteries=st.integers(0, 21),
    )
    def publish(self, station: str, second: int, sequence: int, named: bool, batteries: int) -> None:
        """Publish a good message; equal timestamps and sequences occur often."""
        name = f"m{self.count:03}" if named else ...
        moment = f"2025-11-23T12:00:0{second}"
        content = payload(
            station,
            timestamp=f"{moment}Z",
            sequence=sequence,
            message_id=name,
            battery_available=batteries,
        )
        topic = f"ev-swap/stations/{station}/telemetry"
        derived = hashlib.sha256(topic.encode() + b"\0" + content).hexdigest()
        message_id = str(name) if named else derived
        self.published[message_id] = json.loads(content)
        order = (f"{moment}.000000Z", sequence, message_id)
        self.good[self._queue(envelope(content, station))] = (station, order)

    @rule(content=st.sampled_from(list(BAD)))
    def publish_bad(self, content: bytes) -> None:
        """Publish a message that must be refused."""
        self.bad[self._queue(envelope(content, "one"))] = (content, BAD[content])

    @rule(
        station=st.sampled_from(STATIONS),
        online=st.booleans(),
        at=st.integers(0, 20),
        version=st.integers(0, 3),
    )
    def connect(self, station: str, online: bool, at: int, version: int) -> None:
        """Publish a lifecycle event."""
        event = "connected" if online else "disconnected"
        body = presence(station, event, at=NOW_MS + at, version=version)
        shown = Presence(station, NOW_MS + at, version, "ONLINE" if online else "OFFLINE")
        self.events[self._queue(body)] = shown

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), same_id=st.booleans())
    def repeat(self, data: st.DataObject, same_id: bool) -> None:
        """Deliver a message that the queue has delivered, or publish it again."""
        record = data.draw(st.sampled_from(self.waiting))
        if same_id:
            self.waiting.append(record)
            return
        again = self._queue(record["body"])
        for carried in (self.good, self.bad, self.events):
            if record["messageId"] in carried:
                carried[again] = carried[record["messageId"]]  # type: ignore[index]

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), failure=failures, ghost=st.booleans())
    def deliver(self, data: st.DataObject, failure: tuple[str, str, str] | None, ghost: bool) -> None:
        """Handle a batch of any records in any order, while one thing fails; a ghost comes again regardless."""
        order = data.draw(st.permutations(range(len(self.waiting))))
        chosen = order[: data.draw(st.integers(1, min(10, len(order))))]
        records = [self.waiting[position] for position in chosen]
        self.handled = True
        with self._failing(failure):
            failed = self.cloud.failed({"Records": records})
        ids = {record["messageId"] for record in records}
        if failure is not None and failure[1] == "history":
            # Only who begins an interval, or may have begun one, writes there.
            assert failed in (set(), self._speaking_of(failure[2], ids))
        else:
            assert failed == self._expected_failures(ids, failure)
        self.acknowledged |= ids - failed
        keep = set(range(len(self.waiting))) - set(chosen)
        returned = [record for record in records if record["messageId"] in failed or ghost]
        self.waiting = [self.waiting[position] for position in sorted(keep)] + returned

    @contextlib.contextmanager
    def _failing(self, failure: tuple[str, str, str] | None) -> Iterator[None]:
        if failure is None:
            yield
            return
        when, what, station = failure
        client, operations, about = {
            "archive": (self.cloud.s3, ["s3.PutObject"], ""),
            "table": (
                self.cloud.dynamodb,
                ["dynamodb.BatchExecuteStatement", "dynamodb.UpdateItem"],
                f'{{"S": "{station}"}}',
            ),
            "history": (self.cloud.dynamodb, ["dynamodb.PutItem"], f'"station_id": {{"S": "{station}"}}'),
            "queue": (self.cloud.sqs, ["sqs.SendMessageBatch"], ""),
        }[what]
        with contextlib.ExitStack() as hooks:
            for operation in operations:
                if when == "partly":
                    hook = faults.entry_refused("not_json")
                    hooks.enter_context(faults.hooked(client, f"provide-client-params.{operation}", hook))
                elif when == "before":
                    hook = faults.unreachable(about)
                    hooks.enter_context(faults.hooked(client, f"before-call.{operation}", hook))
                else:
                    before, after = faults.answer_lost(about)
                    hooks.enter_context(faults.hooked(client, f"before-call.{operation}", before))
                    hooks.enter_context(faults.hooked(client, f"after-call.{operation}", after))
            yield

    def _speaking_of(self, station: str, ids: set[str]) -> set[str]:
        return {each for each in ids if each in self.good and self.good[each][0] == station}

    def _expected_failures(self, ids: set[str], failure: tuple[str, str, str] | None) -> set[str]:
        if failure is None:
            return set()
        when, what, station = failure
        if what == "archive":
            return ids & set(self.good)
        if what == "table":
            events = {each for each in ids if each in self.events and self.events[each].client_id == station}
            speaking = [self._speaking_of(each, ids) for each in STATIONS]
            # Two stations' states are one call: it fails for both.
            return events | (set().union(*speaking) if all(speaking) else self._speaking_of(station, ids))
        refused = ids & set(self.bad)
        return {each for each in refused if self.bad[each][1] == "not_json"} if when == "partly" else refused

    @invariant()
    def what_was_acknowledged_is_safe(self) -> None:
        """Assert that each is in the archive, or in the DLQ with its reason; and the table shows that or newer."""
        if not self.handled:
            return
        self.handled = False
        archived = set(self.cloud.archived_ids())
        self.dead += [(payload_of(each), each["_attribute"]) for each in self.cloud.take_dead_letters()]
        for record_id in self.acknowledged & set(self.good):
            assert self.good[record_id][1][2] in archived
        for record_id in self.acknowledged & set(self.bad):
            assert self.bad[record_id] in self.dead
        for station in STATIONS:
            item = self.cloud.item(station) or {}
            self._check_state(station, item, archived)
            self._check_connection(station, item)
            self._check_points(station, archived)

    def _check_state(self, station: str, item: dict[str, Any], archived: set[str]) -> None:
        safe = [
            order
            for record_id, (name, order) in self.good.items()
            if name == station and record_id in self.acknowledged
        ]
        if "timestamp" not in item:
            assert not safe
            assert station not in self.seen
            return
        shown: Order = (item["timestamp"], item["sequence"], item["message_id"])
        assert shown[2] in archived, "the table runs ahead of the archive"
        assert shown >= self.seen.get(station, shown), "the table went back"
        assert shown >= max(safe, default=shown), "the table is behind what was acknowledged"
        assert item["battery_available"] == self.published[shown[2]]["battery_available"]
        self.seen[station] = shown

    def _check_connection(self, station: str, item: dict[str, Any]) -> None:
        safe = [
            event
            for record_id, event in self.events.items()
            if event.client_id == station and record_id in self.acknowledged
        ]
        if "connection" not in item:
            assert not safe
            return
        shown = Presence(station, item["connection_at"], item["connection_version"], item["connection"])
        assert shown in self.events.values() or shown == Presence(station, NOW_MS, -1, "ONLINE")
        assert not any(event.supersedes(shown) for event in safe)

    def _check_points(self, station: str, archived: set[str]) -> None:
        for interval, point in self.cloud.points(station).items():
            kept: Order = (point["timestamp"], point["sequence"], point["message_id"])
            assert kept[2] in archived, "the history runs ahead of the archive"
            assert interval == _interval(kept)
            assert kept <= self.points.get((station, interval), kept), "a point gave way to a later message"
            assert point["battery_available"] == self.published[kept[2]]["battery_available"]
            self.points[station, interval] = kept

    def teardown(self) -> None:
        """Let everything get through, and assert that it is exactly where it belongs."""
        if self.waiting:
            while self.waiting:
                records, self.waiting = self.waiting[:10], self.waiting[10:]
                assert self.cloud.failed({"Records": records}) == set()
                self.acknowledged |= {record["messageId"] for record in records}
            self.handled = True
            self.what_was_acknowledged_is_safe()
        lines = {line["message_id"]: line for batch in self.cloud.archive().values() for line in batch}
        assert set(lines) == set(self.published)
        for message_id, document in self.published.items():
            assert lines[message_id].items() >= document.items()
        for station in STATIONS:
            orders = [order for name, order in self.good.values() if name == station]
            assert self.seen.get(station) == max(orders, default=None)
            firsts: dict[int, Order] = {}
            for order in orders:
                firsts[_interval(order)] = min(order, firsts.get(_interval(order), order))
            assert {at: kept for (name, at), kept in self.points.items() if name == station} == firsts
        assert set(self.dead) == set(self.bad.values())
        self.cloud.remove()


@pytest.mark.timeout(900)  # a failure takes minutes to be made small
def test_the_pipeline_against_its_model(make_cloud: Callable[[], Cloud]) -> None:
    """Nothing lost and nothing wrong, under any order, repetition and failure. MODEL_EXAMPLES runs more."""
    run_state_machine_as_test(
        lambda: Pipeline(make_cloud),
        settings=settings(
            max_examples=int(os.environ.get("MODEL_EXAMPLES", "20")),
            stateful_step_count=20,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
