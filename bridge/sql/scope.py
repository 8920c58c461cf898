"""What an expression can see: the message, and within a nested SELECT the array's element."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import Final

from bridge.sql.outside import Outside
from bridge.sql.values import UNDEFINED, Value, loads
from bridge.topics import BASIC_INGEST, basic_ingest

SQL_VERSIONS: Final = ("2016-03-23", "2015-10-08", "beta")


@dataclass(frozen=True, slots=True)
class MqttProperties:
    """MQTT 5 properties of a PUBLISH; `user` keeps order and duplicates, `message_expiry` is in seconds."""

    content_type: str | None = None
    payload_is_utf8: bool = False
    response_topic: str | None = None
    correlation_data: bytes | None = None
    user: tuple[tuple[str, str], ...] = ()
    message_expiry: int | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it reached the broker.

    `client_id` None means that it was not sent over MQTT; `now_ms` is the time of receipt in epoch
    milliseconds, None for the time of evaluation.
    """

    topic: str
    payload: bytes
    client_id: str | None = None
    principal: str | None = None
    now_ms: int | None = None
    trace_id: str | None = None
    source_ip: str | None = None
    properties: MqttProperties | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """What is the same for every message of a rule: the account that owns it, and who asks other services for it.

    Without `outside`, rules that ask other services are refused.
    """

    account_id: str = "000000000000"
    outside: Outside | None = None


class Scope:
    """The state of one evaluation: payload decoded at most once, each variable and the clock read at most
    once.
    """

    __slots__ = (
        "_now",
        "_trace",
        "account_id",
        "message",
        "root",
        "row",
        "topic",
        "variables",
        "whole_as_int",
    )

    def __init__(self, message: Message, account_id: str, whole_as_int: bool) -> None:
        self.message = message
        self.account_id = account_id
        self.whole_as_int = whole_as_int
        topic = message.topic
        if topic.startswith(BASIC_INGEST):
            ingest = basic_ingest(topic)
            topic = ingest[1] if ingest else topic
        self.topic = topic
        self.root: Scope | None = (
            None  # not itself: a cycle would leave every message to the garbage collector
        )
        self.row: Value = UNREAD
        self.variables: dict[str, Value] = {}
        self._now = message.now_ms
        self._trace = message.trace_id

    def nested(self, row: Value) -> Scope:
        """Return the same message with another object in front: an element that a nested SELECT reads."""
        inner = Scope.__new__(Scope)
        inner.message = self.message
        inner.account_id = self.account_id
        inner.topic = self.topic
        inner.root = self.root or self
        inner.row = row
        return inner

    def read(self) -> Value:
        """Return the decoded payload; bytes where it is not JSON."""
        payload = self.message.payload
        try:
            row = loads(payload, whole_as_int=self.whole_as_int)
        except ValueError:
            row = payload
        self.row = row
        return row

    def now(self) -> int:
        """Epoch milliseconds; the same throughout the evaluation."""
        root = self.root or self
        if root._now is None:
            root._now = time.time_ns() // 1_000_000
        return root._now

    def trace(self) -> Value:
        """Return the trace id: given, or made up once for a message that came over MQTT."""
        root = self.root or self
        if root._trace is None:
            if root.message.client_id is None:
                return UNDEFINED
            root._trace = str(uuid.uuid4())
        return root._trace


class _Unread:
    """Marks a payload that nobody has looked at yet."""


UNREAD: Final = _Unread()
