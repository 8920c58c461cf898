"""How the dispatcher hands messages to an action."""

import queue
import threading
from collections.abc import Iterator, Sequence

import pytest

from bridge.messages import Failure, Outgoing
from bridge.registry import RuleDefinition
from bridge.runtime import dispatcher
from bridge.runtime.dispatcher import Dispatcher
from bridge.runtime.rules import Rule, RuleSet
from bridge.sql import Message, compile_rule

SECONDS = 60


class Slow:
    """An action of ten messages a request, which takes until it is let go."""

    name, max_batch = "slow", 10

    def __init__(self) -> None:
        self.batches: queue.Queue[list[bytes]] = queue.Queue()
        self.let_go = threading.Event()

    def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """Note the batch, and wait."""
        self.batches.put([outgoing.payload for outgoing in batch])
        assert self.let_go.wait(SECONDS)
        return [None] * len(batch)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Dispatcher, Slow]]:
    """Run a rule with the action; a request that is not full waits for ever."""
    monkeypatch.setattr(dispatcher, "_LINGER_SECONDS", 2.0 * SECONDS)
    action, sql = Slow(), "SELECT * FROM 't'"
    rule = Rule(RuleDefinition("r", sql, "2016-03-23", (), None), compile_rule(sql), (action,), None)
    running = Dispatcher()
    running.use(RuleSet((rule,)))
    yield running, action
    action.let_go.set()
    running.stop()


def test_a_message_alone_is_sent_at_once_and_those_beside_a_request_fill_the_next(
    slow: tuple[Dispatcher, Slow],
) -> None:
    running, action = slow
    acknowledged: queue.Queue[int] = queue.Queue()

    def receive(number: int) -> None:
        running.receive(Message("t", b"%d" % number, "c"), lambda: acknowledged.put(number))

    receive(0)
    assert action.batches.get(timeout=SECONDS) == [b"0"]
    for number in range(1, 21):
        receive(number)
    batches = [action.batches.get(timeout=SECONDS) for _ in range(2)]
    assert batches == [[b"%d" % number for number in range(first, first + 10)] for first in (1, 11)]
    action.let_go.set()
    assert sorted(acknowledged.get(timeout=SECONDS) for _ in range(21)) == list(range(21))


def test_what_waits_for_a_full_request_is_sent_when_the_dispatcher_stops(
    slow: tuple[Dispatcher, Slow],
) -> None:
    running, action = slow
    for number in range(3):
        running.receive(Message("t", b"%d" % number, "c"), lambda: None)
    first = action.batches.get(timeout=SECONDS)
    action.let_go.set()
    running.stop()
    sent = first + [payload for batch in list(action.batches.queue) for payload in batch]
    assert sorted(sent) == [b"0", b"1", b"2"]
