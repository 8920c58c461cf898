"""What crosses the borders between the bridge's parts."""

from dataclasses import dataclass
from typing import Any

from bridge.sql import Message


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What a rule made of a message, for one action."""

    message: Message
    payload: bytes
    document: Any


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an action did not take a message.

    ``lasting`` failures (access denied, no such queue, too large) will not go away by trying again;
    ``unreachable`` means that nobody answered at all: then trying goes on for as long as it takes.
    """

    resource: str
    error: str
    lasting: bool
    unreachable: bool = False
