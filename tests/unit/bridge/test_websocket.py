"""A page may subscribe to what it is shown, and to nothing else; a slow one costs a bounded memory."""

import asyncio

import pytest

from bridge.broker import packets
from bridge.broker.packets import Packet
from bridge.websocket import DROPPED_TOPIC, Outbox, RefusedPacketError, Rights

FILTER = "ev-swap/stations/+/telemetry"
RIGHTS = Rights("dashboard-", frozenset({FILTER}))


def _text(value: str) -> bytes:
    return len(value).to_bytes(2) + value.encode()


def _connect(client_id: str, flags: int = 2) -> Packet:
    return Packet(packets.CONNECT, 0, _text("MQTT") + bytes((4, flags, 0, 30)) + _text(client_id))


def _subscribe(topic_filter: str, qos: int = 0) -> Packet:
    return Packet(packets.SUBSCRIBE, 2, b"\0\1" + _text(topic_filter) + bytes((qos,)))


def test_lets_a_page_watch() -> None:
    RIGHTS.check(_connect("dashboard-1"), first=True)
    RIGHTS.check(_subscribe(FILTER), first=False)
    RIGHTS.check(Packet(packets.PINGREQ, 0, b""), first=False)


@pytest.mark.parametrize(
    ("packet", "first"),
    [
        (Packet(packets.PUBLISH, 0, _text("ev-swap/stations/a/telemetry") + b"{}"), False),
        (_subscribe("#"), False),
        (_subscribe("$aws/events/presence/+/+"), False),
        (_subscribe(FILTER, qos=1), False),
        (_subscribe(FILTER), True),
        (_connect("dashboard-1"), False),
        (_connect("bridge"), True),
        (_connect("dashboard-1", flags=0), True),
    ],
)
def test_refuses(packet: Packet, first: bool) -> None:
    with pytest.raises(RefusedPacketError):
        RIGHTS.check(packet, first=first)


def test_a_slow_page_gets_the_latest_and_is_told() -> None:
    async def fill() -> bytes:
        outbox = Outbox()
        for count in range(1000):
            raw = bytearray(packets.publish(b"a", str(count).encode(), qos=0))
            whole = bytes(raw)
            packet = packets.take_packet(raw, 100)
            assert packet
            outbox.put(packet, whole)
        return await outbox.frame()

    frame = asyncio.run(fill())
    told = packets.publish(DROPPED_TOPIC.encode(), b"999", qos=0)
    assert frame == told + packets.publish(b"a", b"999", qos=0)
