"""A client whom a custom authorizer let in: for how long, and what when it is asked again."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bridge import packets
from bridge.authorizers import RefusedError, Shown
from bridge.broker.connection import ClientConnection
from bridge.broker.server import Broker, Identity
from bridge.broker.visitors import Visitor
from bridge.policies import Policies

# MQTT 5, client id "c", clean start.
CONNECT = bytes.fromhex("100e00044d51545405020000 00 0001 63".replace(" ", ""))
SUBSCRIBED, SUBSCRIBE = 0x90, bytes.fromhex("8207 0001 00 0001 74 01".replace(" ", ""))


class Wire(asyncio.Transport):
    """The other end of a connection: what was written, and whether it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        """Keep it."""
        self.written.append(bytes(data))

    def close(self) -> None:
        """Note it."""
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        """Tell whether it is closed."""
        return self.closed

    def pause_reading(self) -> None:
        """Read on: nothing comes by itself."""

    resume_reading = pause_reading


class Nobody:
    """A guard who knows no certificate."""

    async def identify(self, certificate_id: str, common_name: str) -> Identity | None:  # noqa: ARG002
        """Know nobody."""
        return None


def identity(*actions: str, disconnect: float = 3600, refresh: float = 300) -> Identity:
    """Return who may do these actions on anything."""
    statement = {"Effect": "Allow", "Action": ["iot:Connect", *actions], "Resource": "*"}
    policies = Policies(({"Version": "2012-10-17", "Statement": [statement]},))
    return Identity("someone", "", (), policies, disconnect_after=disconnect, refresh_after=refresh)


@asynccontextmanager
async def let_in(folder: Path, admit: Callable[[Shown], Any]) -> AsyncIterator[tuple[ClientConnection, Wire]]:
    """Connect a visitor to a broker."""
    broker, wire = Broker(Nobody(), folder), Wire()
    broker.start()

    async def decide(shown: Shown) -> Identity:
        found = admit(shown)
        if found is None:
            raise RefusedError("no")
        return found  # type: ignore[no-any-return]

    connection = ClientConnection(broker, visitor=Visitor(Shown("host"), decide))
    connection.connection_made(wire)
    connection.data_received(CONNECT)
    await settle()
    yield connection, wire
    broker.close()


async def settle() -> None:
    """Let what was begun end."""
    for _ in range(10):
        await asyncio.sleep(0)


def later(seconds: float) -> float:
    """Return a time of the monotonic clock."""
    return asyncio.get_running_loop().time() + seconds


def test_its_time_ends_with_disconnect_after(tmp_path: Path) -> None:
    async def run() -> None:
        async with let_in(tmp_path, lambda _shown: identity(disconnect=3600)) as (connection, wire):
            connection.deadline = float("inf")
            connection.tick(later(3500))
            assert not wire.closed
            connection.tick(later(3700))
            assert wire.closed
            assert connection.reason == "CUSTOMAUTH_TTL_EXPIRATION"

    asyncio.run(run())


def test_it_is_asked_about_again_and_its_new_policies_count(tmp_path: Path) -> None:
    answers = [identity(), identity("iot:Subscribe")]

    async def run() -> None:
        async with let_in(tmp_path, lambda _shown: answers.pop(0)) as (connection, wire):
            connection.deadline = float("inf")
            connection.data_received(SUBSCRIBE)
            await settle()
            assert wire.written[-1][-1] == packets.Reason.NOT_AUTHORIZED
            connection.tick(later(310))
            await settle()
            connection.data_received(SUBSCRIBE)
            await settle()
            assert wire.written[-1][0] == SUBSCRIBED
            assert wire.written[-1][-1] == 1
            assert not wire.closed

    asyncio.run(run())


def test_what_is_answered_at_once_goes_out_in_one_piece(tmp_path: Path) -> None:
    async def run() -> None:
        async with let_in(tmp_path, lambda _shown: identity("iot:Subscribe")) as (connection, wire):
            before = len(wire.written)
            connection.data_received(SUBSCRIBE * 3)
            await settle()
            [together] = wire.written[before:]
            assert together.count(bytes([SUBSCRIBED])) == 3
            connection.data_received(SUBSCRIBE)
            connection.end(packets.Reason.NOT_AUTHORIZED, "FORBIDDEN_ACCESS")
            assert wire.written[-1][0] == SUBSCRIBED  # before it is closed
            assert wire.closed

    asyncio.run(run())


def test_it_is_sent_away_when_it_is_no_longer_let_in(tmp_path: Path) -> None:
    answers = [identity(), None]

    async def run() -> None:
        async with let_in(tmp_path, lambda _shown: answers.pop(0)) as (connection, wire):
            connection.deadline = float("inf")
            connection.tick(later(310))
            await settle()
            assert wire.closed
            assert connection.reason == "AUTH_ERROR"

    asyncio.run(run())
