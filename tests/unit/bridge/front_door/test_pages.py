"""A page may subscribe to what it is shown, and to nothing else; a slow one costs a bounded memory."""

import asyncio
import re

import pytest

from bridge import packets
from bridge.front_door.page import DROPPED_TOPIC, Outbox, Page, RefusedPacketError, Rights, deliver
from bridge.packets import Packet

FILTER = "ev-swap/stations/+/telemetry"
RIGHTS = Rights("dashboard-", frozenset({FILTER}))


def _text(value: str) -> bytes:
    return len(value).to_bytes(2) + value.encode()


def _connect(client_id: str, flags: int = 2) -> Packet:
    return Packet(packets.CONNECT, 0, _text("MQTT") + bytes((4, flags, 0, 30)) + _text(client_id))


def _subscribe(topic_filter: str, qos: int = 0) -> Packet:
    return Packet(packets.SUBSCRIBE, 2, b"\0\1" + _text(topic_filter) + bytes((qos,)))


def test_a_page_hears_what_it_subscribed_to() -> None:
    async def listen() -> bytes:
        page = Page(RIGHTS)
        for packet in (_connect("dashboard-1"), _subscribe(FILTER), Packet(packets.PINGREQ, 0, b"")):
            assert page.take(packet)
        deliver([page], "ev-swap/stations/a/telemetry", b"<heard>", 1)
        deliver([page], "ev-swap/stations/a/secrets", b"<not heard>", 1)
        assert not page.take(Packet(packets.DISCONNECT, 0, b""))
        return await page.outbox.frame()

    granted = packets.connack(0) + packets.suback(1, [0]) + packets.PINGRESP_PACKET
    assert asyncio.run(listen()) == granted + b"<heard>"


def _subscribed(topic_filter: str, rights: Rights = RIGHTS) -> Page:
    page = Page(rights, connected=True)
    assert page.take(_subscribe(topic_filter))
    return page


def _frame(page: Page) -> bytes:
    return asyncio.run(page.outbox.frame())


def test_a_shared_subscription_gives_each_message_to_one_of_its_members() -> None:
    """AWS IoT Core developer guide, "MQTT", "Shared Subscriptions"; other groups, and who does not share, get all."""
    group = [_subscribed(f"$share/one/{FILTER}") for _ in range(4)]
    others = [_subscribed(f"$share/two/{FILTER}"), _subscribed(FILTER)]
    said = [f"<{number}>".encode() for number in range(200)]
    for number, packet in enumerate(said):
        deliver([*group, *others], f"ev-swap/stations/s{number}/telemetry", packet, 1)
    granted = packets.suback(1, [0])
    shares = [_frame(page).removeprefix(granted) for page in group]
    heard = [packet for share in shares for packet in re.findall(rb"<\d+>", share)]
    assert sorted(heard) == sorted(said)
    # By chance: one of four gets none of 200 once in 10^24.
    assert all(shares)
    assert [_frame(page).removeprefix(granted) for page in others] == [b"".join(said)] * 2


def test_a_connection_gets_so_many_messages_a_second_and_the_rest_is_dropped() -> None:
    """AWS general reference, "AWS IoT Core message broker limits": publish requests a second of a connection."""
    page = _subscribed(FILTER, Rights("dashboard-", frozenset({FILTER}), most_a_second=2))
    for number in range(6):
        deliver([page], f"ev-swap/stations/s{number}/telemetry", f"<{number}>".encode(), number // 3)
    assert _frame(page) == packets.suback(1, [0]) + b"<0><1><3><4>"


@pytest.mark.parametrize(
    ("packet", "connected"),
    [
        (Packet(packets.PUBLISH, 0, _text("ev-swap/stations/a/telemetry") + b"{}"), True),
        (_subscribe("#"), True),
        (_subscribe("$share/one/#"), True),
        (_subscribe(f"$share/+/{FILTER}"), True),
        (_subscribe(f"$share//{FILTER}"), True),
        (_subscribe("$aws/events/presence/+/+"), True),
        (_subscribe(FILTER), False),
        (_connect("dashboard-1"), True),
        (_connect("bridge"), False),
        (_connect("dashboard-1", flags=0), False),
    ],
)
def test_refuses(packet: Packet, connected: bool) -> None:
    async def try_it() -> None:
        Page(RIGHTS, connected=connected).take(packet)

    with pytest.raises(RefusedPacketError):
        asyncio.run(try_it())


def test_a_page_that_asks_and_never_reads_is_refused() -> None:
    async def ask() -> None:
        page = Page(RIGHTS, connected=True)
        for _ in range(1000):
            page.take(Packet(packets.PINGREQ, 0, b""))

    with pytest.raises(RefusedPacketError):
        asyncio.run(ask())


def test_a_slow_page_gets_the_latest_and_is_told() -> None:
    async def fill() -> bytes:
        outbox = Outbox()
        for count in range(1000):
            outbox.tell("a", packets.publish(b"a", str(count).encode(), qos=0))
        return await outbox.frame()

    frame = asyncio.run(fill())
    told = packets.publish(DROPPED_TOPIC.encode(), b"999", qos=0)
    assert frame == told + packets.publish(b"a", b"999", qos=0)
