"""Carries messages through the rules: acknowledged only when every action, or the error action, has taken them."""

import base64
import json
import queue
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog

from bridge.actions.base import Action
from bridge.messages import Failure, Outgoing
from bridge.runtime import metrics
from bridge.runtime.rules import Rule, RuleSet
from bridge.sql import NOT_FIRED, Message, basic_ingest, to_bytes

log = structlog.get_logger()

# Threads an action has. Four keep one emulator process busy.
_WORKERS = 4

# How long a request that is not full waits for more while another is on its way.
_LINGER_SECONDS = 0.02

# Threads that evaluate rules which ask other services: the others must not wait for them.
_EVALUATORS = 8

# How often an action is tried before the error action gets the message. Nobody answering does not count:
# an emulator that is away for a minute must not fill the dead-letter queue.
_TRIES = 5
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


@dataclass
class _Delivery:
    """A message on its way: acknowledged when nothing is left to do for it."""

    acknowledge: Callable[[], None]
    received: float
    left: int = 1
    lock: threading.Lock = field(default_factory=threading.Lock)

    def done(self, parts: int = 1) -> None:
        with self.lock:
            self.left -= parts
            finished = self.left == 0
        if finished:
            self.acknowledge()
            metrics.ACKNOWLEDGED.inc()
            metrics.IN_FLIGHT.dec()
            metrics.LAG.observe(time.monotonic() - self.received)


@dataclass
class _Firing:
    """One message of one rule. Its failures go to the error action together, when every action is done."""

    message: Message
    delivery: _Delivery
    left: int
    failures: list[tuple[str, Failure]] = field(default_factory=list)

    def done(self, action: str, why: Failure | None) -> bool:
        """Note the end of an action; returns whether it was the last."""
        with self.delivery.lock:
            if why:
                self.failures.append((action, why))
            self.left -= 1
            return self.left == 0


@dataclass(frozen=True)
class _Job:
    """What an action is to send; ``firing`` is None for an error action."""

    outgoing: Outgoing
    delivery: _Delivery
    firing: _Firing | None = None


class Dispatcher:
    """Evaluates rules and feeds their actions."""

    def __init__(self) -> None:
        """Without rules: every message is acknowledged and forgotten. See `use`."""
        self._rules = RuleSet()
        self._senders: dict[int, _Sender] = {}
        self._lock = threading.RLock()
        self._evaluators = ThreadPoolExecutor(_EVALUATORS, thread_name_prefix="evaluator")
        self._stopped = threading.Event()

    def use(self, rules: RuleSet) -> None:
        """Run these rules from now on; messages of rules that are gone finish first."""
        # Under the lock: a message is wholly of the old rules or wholly of the new ones.
        with self._lock:
            for rule in rules.rules:
                # From 0: Prometheus sees no increase in a series that begins with its first failure.
                for counter in (metrics.FIRED, metrics.ERROR_ACTIONED, metrics.DROPPED):
                    counter.labels(rule.name)
                for action in _actions(rule):
                    if id(action) not in self._senders:
                        end = self._end_error_action if action is rule.error_action else self._end
                        self._senders[id(action)] = _Sender(rule, action, end)
            kept = {id(action) for rule in rules.rules for action in _actions(rule)}
            gone = [self._senders.pop(key) for key in list(self._senders) if key not in kept]
            self._rules = rules
        for sender in gone:
            # It finishes what it has; that may take as long as an emulator is away.
            threading.Thread(target=sender.stop, daemon=True).start()
        metrics.RULES.set(len(rules.rules))
        metrics.REFUSED_RULES.set(len(rules.refused))

    def receive(self, message: Message, acknowledge: Callable[[], None]) -> None:
        """Take a message from the broker."""
        metrics.RECEIVED.inc()
        metrics.IN_FLIGHT.inc()
        delivery = _Delivery(acknowledge, time.monotonic())
        with self._lock:
            wanted = self._apply_rules(message, delivery)
        if not wanted:
            metrics.UNMATCHED.inc()
        delivery.done()

    def _apply_rules(self, message: Message, delivery: _Delivery) -> bool:
        """Fire every rule that wants the message; returns whether one did."""
        direct = basic_ingest(message.topic)
        wanted = False
        for rule in self._rules.rules:
            if direct is not None:
                # Basic Ingest names its rule; whether the rest of the topic fits is not asked, as on AWS.
                if direct[0] != rule.name:
                    continue
            elif not rule.compiled.matches(message.topic):
                continue
            wanted = True
            if rule.compiled.calls_out:
                with delivery.lock:
                    delivery.left += 1
                self._evaluators.submit(self._fire_when_answered, rule, message, delivery)
            else:
                self._fire(rule, message, delivery)
        return wanted

    def stop(self) -> None:
        """Finish what is in the actions' hands."""
        self._stopped.set()
        self._evaluators.shutdown(wait=False, cancel_futures=True)
        for sender in self._senders.values():
            sender.stop()
        self._senders.clear()

    def _fire_when_answered(self, rule: Rule, message: Message, delivery: _Delivery) -> None:
        """Fire a rule that asks other services; where nobody answers, for as long as it takes."""
        pause = _FIRST_PAUSE
        while True:
            try:
                self._fire(rule, message, delivery)
            except OSError as error:
                log.warning("service_unreachable", rule=rule.name, error=str(error))
            else:
                break
            if self._stopped.wait(pause):
                return  # never acknowledged: it comes again with the next session
            pause = min(2 * pause, _LONGEST_PAUSE)
        delivery.done()

    def _fire(self, rule: Rule, message: Message, delivery: _Delivery) -> None:
        """Evaluate a rule and hand the result to its actions.

        Raises:
            OSError: the rule asks another service, and nobody answers.
        """
        try:
            result = rule.compiled.evaluate(message)
            if result is NOT_FIRED:
                return
            outgoing = Outgoing(message, to_bytes(result), result)
        except OSError:
            raise
        except Exception as error:
            # The rule's own doing, or a fault of ours: either way the message must not be lost with it.
            log.exception("rule_failed", rule=rule.name, topic=message.topic)
            why = Failure(rule.name, f"SQL: {error}", lasting=True)
            self._to_error_action(rule, message, delivery, [("sql", why)])
            return
        metrics.FIRED.labels(rule.name).inc()
        if not rule.actions:
            return
        with delivery.lock:
            delivery.left += 1
        firing = _Firing(message, delivery, len(rule.actions))
        with self._lock:
            senders = [self._senders.get(id(action)) for action in rule.actions]
        for sender in senders:
            # Without one the rule is gone: never acknowledged, the message comes again with the next session.
            if sender:
                sender.put(_Job(outgoing, delivery, firing))

    def _end(self, rule: Rule, action: Action, job: _Job, why: Failure | None) -> None:
        """Take note that an action has taken a message, or has failed for good."""
        firing = job.firing
        assert firing is not None  # noqa: S101  # an action of the rule, not its error action
        if why:
            log.warning(
                "action_failed", rule=rule.name, action=action.name, resource=why.resource, error=why.error
            )
        if firing.done(action.name, why):
            if firing.failures:
                self._to_error_action(rule, firing.message, firing.delivery, firing.failures)
            firing.delivery.done()

    def _end_error_action(self, rule: Rule, action: Action, job: _Job, why: Failure | None) -> None:
        if why is None:
            job.delivery.done()
            return
        # The last resort has failed: keep the message, and keep trying.
        log.error(
            "error_action_failed", rule=rule.name, action=action.name, resource=why.resource, error=why.error
        )
        with self._lock:
            sender = self._senders.get(id(action))
        if sender:
            sender.put_later(job)
        # Without one the rule is gone: never acknowledged, the message comes again with the next session.

    def _to_error_action(
        self,
        rule: Rule,
        message: Message,
        delivery: _Delivery,
        failures: Sequence[tuple[str, Failure]],
    ) -> None:
        if rule.error_action is None:
            # AWS drops it here, too, with a log entry.
            metrics.DROPPED.labels(rule.name).inc()
            log.error("message_without_error_action", rule=rule.name, topic=message.topic)
            return
        metrics.ERROR_ACTIONED.labels(rule.name).inc()
        document = error_message(rule, message, failures)
        with delivery.lock:
            delivery.left += 1
        outgoing = Outgoing(message, json.dumps(document).encode(), document)
        with self._lock:
            sender = self._senders.get(id(rule.error_action))
        if sender:
            sender.put(_Job(outgoing, delivery))


def error_message(rule: Rule, message: Message, failures: Sequence[tuple[str, Failure]]) -> dict[str, object]:
    """Make AWS's error-action message ("Error handling (error action)", developer guide).

    Args:
        rule: that failed.
        message: that it failed for.
        failures: the actions' names in the API and why they failed; "sql" for the statement itself.
    """
    return {
        "ruleName": rule.name,
        "topic": message.topic,
        "cloudwatchTraceId": str(uuid.uuid4()),
        "clientId": message.client_id or "N/A",
        "base64OriginalPayload": base64.b64encode(message.payload).decode(),
        "failures": [
            {
                "failedAction": f"{name[0].upper()}{name[1:]}Action",
                "failedResource": why.resource,
                "errorMessage": why.error,
            }
            for name, why in failures
        ],
    }


class _Sender:
    """The threads of one action."""

    def __init__(
        self, rule: Rule, action: Action, end: Callable[[Rule, Action, _Job, Failure | None], None]
    ) -> None:
        self._rule, self._action, self._end = rule, action, end
        # Bounded by the broker's window: it sends no more than that unacknowledged.
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._acted = metrics.ACTED.labels(rule.name, action.name)
        self._retried = metrics.RETRIED.labels(rule.name, action.name)
        self._gathering, self._counting, self._sending = threading.Lock(), threading.Lock(), 0
        self._threads = [
            threading.Thread(target=self._run, name=f"{rule.name}-{action.name}-{number}", daemon=True)
            for number in range(_WORKERS)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, job: _Job) -> None:
        self._queue.put(job)

    def put_later(self, job: _Job) -> None:
        timer = threading.Timer(_LONGEST_PAUSE, self._queue.put, (job,))
        timer.daemon = True
        timer.start()

    def stop(self) -> None:
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join(timeout=10)

    def _run(self) -> None:
        stopping = False
        while not stopping:
            # One gathers at a time: several would each have a part of what comes.
            with self._gathering:
                batch, stopping = self._gather()
            if batch:
                with self._counted():
                    self._send(batch)

    def _gather(self) -> tuple[list[_Job], bool]:
        """Wait for a message, and take more up to a whole batch; returns whether the thread is to stop after it.

        Where another thread is sending, more may be on its way: a request that is full costs hardly more than one with
        a message or two. Where none is, nothing waits.
        """
        first = self._queue.get()
        if first is None:
            return [], True
        batch, until = [first], time.monotonic() + _LINGER_SECONDS
        while len(batch) < self._action.max_batch:
            left = until - time.monotonic() if self._sending else 0
            try:
                another = self._queue.get(timeout=left) if left > 0 else self._queue.get_nowait()
            except queue.Empty:
                break
            if another is None:
                return batch, True
            batch.append(another)
        return batch, False

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count a thread that sends."""
        with self._counting:
            self._sending += 1
        try:
            yield
        finally:
            with self._counting:
                self._sending -= 1

    def _send(self, batch: list[_Job]) -> None:
        tries, pause = 0, _FIRST_PAUSE
        while batch:
            results = self._action.send([job.outgoing for job in batch])
            again, unreachable = [], False
            for job, why in zip(batch, results, strict=True):
                if why is None:
                    self._acted.inc()
                    self._end(self._rule, self._action, job, None)
                elif why.lasting or (tries + 1 >= _TRIES and not why.unreachable):
                    self._end(self._rule, self._action, job, why)
                else:
                    again.append(job)
                    unreachable = unreachable or why.unreachable
            batch = again
            if batch:
                self._retried.inc(len(batch))
                tries += not unreachable
                # Full jitter: workers that failed together must not come back together.
                time.sleep(random.uniform(0.5, 1) * pause)  # noqa: S311  # not a secret
                pause = min(2 * pause, _LONGEST_PAUSE)


def _actions(rule: Rule) -> tuple[Action, ...]:
    return (*rule.actions, rule.error_action) if rule.error_action else rule.actions
