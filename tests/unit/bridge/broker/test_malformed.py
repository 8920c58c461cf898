"""Packets that are none: the broker closes that connection, says so, and everybody else goes on.

A real broker on a port of loopback. "The Server MUST close the network connection" (MQTT 3.1.1 and 5, 4.8 and 4.13).
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bridge import packets, properties
from bridge.broker.connection import ClientConnection
from bridge.broker.limits import MOST_PACKET_BYTES
from bridge.broker.server import Broker, Identity
from bridge.broker.websocket import WebSocket
from bridge.policies import Policies

SEED = 20261125
PATIENCE_SECONDS = 60.0
CONNECTIONS = 600
EVERYTHING = {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}
ANYBODY = Identity("someone", "", (), Policies(({"Version": "2012-10-17", "Statement": [EVERYTHING]},)))


class Nobody:
    """A guard who knows no certificate."""

    async def identify(self, certificate_id: str, common_name: str) -> Identity | None:  # noqa: ARG002
        """Know nobody."""
        return None


def connect(client_id: str, level: int = 4, *, more: bytes = b"", flags: int = 2, tail: bytes = b"") -> bytes:
    """Write a CONNECT; ``more`` are properties of MQTT 5, ``tail`` is what follows the client id."""
    written = properties.with_length([more]) if level == packets.V5 else b""
    name = properties.write_binary(client_id.encode())
    return frame(0x10, b"\0\4MQTT" + bytes((level, flags)) + b"\0\x3c" + written + name + tail)


def frame(head: int, body: bytes) -> bytes:
    """Put a fixed header in front."""
    return bytes((head,)) + properties.write_length(len(body)) + body


def session(client_id: str, level: int) -> list[bytes]:
    """Write what a well-behaved client sends."""
    five = level == packets.V5
    topic = properties.write_binary(b"t/" + client_id.encode())
    none = b"\0" if five else b""
    content = (
        properties.with_length(
            [properties.write({properties.CONTENT_TYPE: "x", properties.USER: [("a", "b")]})]
        )
        if five
        else b""
    )
    return [
        connect(client_id, level),
        frame(0x82, b"\0\1" + none + topic + b"\1"),
        frame(0x32, topic + b"\0\2" + content + b"payload"),
        frame(0x30, topic + content + b"payload"),
        frame(0x40, b"\0\1"),
        frame(0xA2, b"\0\3" + none + topic),
        frame(0xC0, b""),
        frame(0xE0, b""),
    ]


def spoil(sent: list[bytes], chance: random.Random) -> bytes:
    """Change what a client sends: bits, bytes, lengths, order."""
    whole = bytearray(b"".join(sent))
    kind = chance.randrange(7)
    place = chance.randrange(len(whole))
    if kind == 0:
        whole[place] ^= 1 << chance.randrange(8)
    elif kind == 1:
        whole[place:place] = chance.randbytes(chance.randint(1, 8))
    elif kind == 2:
        del whole[place : place + chance.randint(1, 8)]
    elif kind == 3:
        return bytes(whole[:place])
    elif kind == 4:
        return sent[0] + chance.randbytes(chance.randint(1, 200))
    elif kind == 5:
        return b"".join(chance.sample(sent, len(sent)))
    else:
        for _ in range(5):
            whole[chance.randrange(len(whole))] = chance.randrange(256)
    return bytes(whole)


@asynccontextmanager
async def listening(folder: Path) -> AsyncIterator[tuple[Broker, int]]:
    """Start a broker without TLS for somebody who may do anything that AWS lets a client do."""
    broker = Broker(Nobody(), folder)
    broker.start()
    server = await asyncio.get_running_loop().create_server(
        lambda: ClientConnection(broker, ANYBODY), "127.0.0.1", 0
    )
    yield broker, server.sockets[0].getsockname()[1]
    server.close()
    await until(lambda: not broker.connections)
    broker.close()


async def talk(port: int, data: bytes) -> bytes:
    """Send, say that this is all, and return what comes until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    heard = b""
    with contextlib.suppress(ConnectionError):
        writer.write(data)
        writer.write_eof()
        heard = await reader.read()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return heard


async def until(condition: Callable[[], bool]) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110  # what it waits for has no event
            await asyncio.sleep(0.01)


def run(folder: Path, what: Callable[[Broker, int], Awaitable[None]]) -> None:
    """Run it beside a broker."""

    async def beside() -> None:
        async with listening(folder) as (broker, port):
            await what(broker, port)

    asyncio.run(beside())


def test_hundreds_of_spoiled_clients_leave_a_good_one_its_broker(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(SEED)
    print(f"seed {SEED}")
    caplog.set_level(logging.WARNING)

    async def what(broker: Broker, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(connect("good"))
        assert await reader.readexactly(4) == b"\x20\x02\0\0"
        for number in range(CONNECTIONS):
            name = f"bad{number % 7}"
            await talk(port, spoil(session(name, chance.choice((packets.V3, packets.V5))), chance))
            if number % 50 == 0:
                writer.write(frame(0x32, b"\0\6good/t\0\7x"))
                assert await reader.readexactly(4) == b"\x40\x02\0\7"
        await until(lambda: len(broker.connections) == 1)
        assert all(one.connection is None for name, one in broker.sessions.items() if name != "good")
        # What outlives a connection is what asked for a session: few client ids came through whole.
        assert len(broker.sessions) < CONNECTIONS / 10
        writer.write(frame(0xC0, b""))
        assert await reader.readexactly(2) == packets.PINGRESP_PACKET
        writer.close()

    run(tmp_path, what)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


WITHOUT_CONNECT = [
    (frame(0xC0, b""), "something else before CONNECT"),
    (frame(0x11, connect("c")[2:]), "something else before CONNECT"),
    (b"\x10\xff\xff\xff\xff\x01", "a remaining length of more than four bytes"),
    (b"\x10\xff\xff\x7f", "over the limit"),
    (frame(0x10, b"\0\4MQTT\4"), "a CONNECT that ends early"),
    (connect("c", flags=3), "its reserved flag set"),
    (connect("c", flags=0x0A), "and no will"),
    (connect("c", flags=0x22), "and no will"),
    (connect("c", flags=0x42, tail=b"\0\1p"), "a password and no user name"),
    (connect("c", tail=b"more"), "something behind its end"),
    (connect("c", 5, more=properties.write({properties.RECEIVE_MAXIMUM: 0})), "a receive maximum of 0"),
    (connect("c", 5, more=properties.write({properties.MAXIMUM_PACKET: 0})), "a maximum packet size of 0"),
    (connect("c", 5, more=properties.write({properties.REQUEST_PROBLEM: 2})), "neither 0 nor 1"),
    (connect("c", 5, more=properties.write({properties.AUTHENTICATION_DATA: b"x"})), "without a method"),
    (connect("c", 5, more=b"\x21\0\1\x21\0\1"), "property 0x21 twice"),
    (connect("c", 5, more=b"\x01\1"), "does not belong"),
    (connect("c\0"), "a null character"),
]
AFTER_CONNECT = [
    (connect("c"), "a second CONNECT"),
    (frame(0x80, b"\0\1\0\1t\1"), "a packet of type 8 with flags 0"),
    (frame(0x82, b"\0\1"), "a SUBSCRIBE to nothing"),
    (frame(0x82, b"\0\0\0\1t\1"), "packet identifier 0"),
    (frame(0x82, b"\0\1\0\1t\3"), "subscription options 0x03"),
    (frame(0xA2, b"\0\1"), "an UNSUBSCRIBE from nothing"),
    (frame(0x36, b"\0\1t\0\1"), "a PUBLISH at QoS 3"),
    (frame(0x38, b"\0\1t"), "at QoS 0 that says it was sent before"),
    (frame(0x30, b"\0\3t/#"), "a topic with wildcards"),
    (frame(0x30, b"\0\0"), "or to none"),
    (frame(0x30, b"\0\2\xff\xfe"), "not UTF-8"),
    (frame(0x30, b"\0\x09t"), "a field that ends early"),
    (frame(0x20, b"\0\0"), "a packet of type 2"),
    (frame(0x00, b""), "a packet of type 0"),
    (frame(0xF0, b""), "a packet of type 15"),
    (frame(0xC2, b""), "a packet of type 12 with flags 2"),
    (frame(0x41, b"\0\1"), "a packet of type 4 with flags 1"),
    (frame(0xE1, b""), "a packet of type 14 with flags 1"),
]


@pytest.mark.parametrize(
    ("data", "said"), [*WITHOUT_CONNECT, *[(connect("c") + data, said) for data, said in AFTER_CONNECT]]
)
def test_what_is_no_packet_is_named_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, data: bytes, said: str
) -> None:
    caplog.set_level(logging.INFO)

    async def what(broker: Broker, port: int) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        await until(lambda: "closing" in caplog.text)
        await until(lambda: not broker.connections)
        writer.close()

    run(tmp_path, what)
    closings = [line for line in caplog.messages if line.startswith("closing")]
    assert len(closings) == 1
    assert said in closings[0]


def test_what_comes_before_a_client_is_let_in_waits_with_it(tmp_path: Path) -> None:
    """Nobody fills the broker's memory while the registry is asked who it is."""

    async def what() -> None:
        broker, decided = Broker(Nobody(), tmp_path), asyncio.Event()
        broker.start()

        class Undecided(ClientConnection):
            async def _decide(self, connect: packets.Connect, client_id: str) -> int:  # noqa: ARG002
                await decided.wait()
                return packets.Reason.SERVER_UNAVAILABLE

        server = await asyncio.get_running_loop().create_server(
            lambda: Undecided(broker, ANYBODY), "127.0.0.1", 0
        )
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(connect("c") + b"\x30" * (64 * MOST_PACKET_BYTES))
        await until(lambda: any(one._connecting for one in broker.connections))
        for _ in range(100):
            await asyncio.sleep(0)
        (connection,) = broker.connections
        assert len(connection._buffer) < 4 * MOST_PACKET_BYTES
        decided.set()
        await until(lambda: not broker.connections)
        writer.close()
        server.close()
        broker.close()

    asyncio.run(what())


def test_a_connect_that_comes_byte_by_byte_has_no_more_time(tmp_path: Path) -> None:
    async def what(broker: Broker, port: int) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        await until(lambda: bool(broker.connections))
        (connection,) = broker.connections
        before = connection.deadline
        for byte in connect("c")[:-1]:
            writer.write(bytes((byte,)))
            await asyncio.sleep(0)
        await until(lambda: bool(connection._buffer))
        assert connection.deadline == before
        writer.close()

    run(tmp_path, what)


def test_a_websocket_that_nobody_asks_for_is_closed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.broker.websocket.CONNECT_SECONDS", 0.01)
    caplog.set_level(logging.INFO)

    async def nobody(*_: object) -> Identity:
        return ANYBODY

    async def what(broker: Broker, _: int) -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: WebSocket(broker, nobody), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"GET /mqtt HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        server.close()

    run(tmp_path, what)
    assert "closing a WebSocket: it was not asked for" in caplog.text
