"""A page that is connected to the front door: what it may ask for, and what waits to be sent to it."""

import asyncio
import random
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from bridge import packets
from bridge.topics import SHARED_PREFIX, matcher, split_shared

DROPPED_TOPIC = "$front-door/dropped"
_FRAME_BYTES = 64 * 1024
_MOST_TOPICS = 20_000
_MOST_ANSWERS = 100


class RefusedPacketError(Exception):
    """The page sent what a subscriber has no need of."""


@dataclass(frozen=True)
class Rights:
    """What a page may do: client ids that start so, and exactly these topic filters, shared or not, at QoS 0.

    ``most_a_second`` messages go to a connection, as AWS IoT Core does, and what is over that is dropped; 0: all do.
    """

    client_prefix: str
    topic_filters: frozenset[str]
    most_a_second: int = 0


class Outbox:
    """What waits for a slow page: answers in order, and of each topic the latest message only."""

    def __init__(self) -> None:
        """Nothing waits."""
        self._answers: deque[bytes] = deque()
        self._latest: OrderedDict[str, bytes] = OrderedDict()
        self._ready = asyncio.Event()
        self._dropped = self._told = 0

    def answer(self, packet: bytes) -> None:
        """Answer the page.

        Raises:
            RefusedPacketError: it asks and does not read.
        """
        self._answers.append(packet)
        if len(self._answers) > _MOST_ANSWERS:
            raise RefusedPacketError("more questions than the page reads answers to")
        self._ready.set()

    def tell(self, topic: str, packet: bytes) -> None:
        """Pass a message on, in place of an older one of its topic that still waits."""
        self._dropped += topic in self._latest
        self._latest[topic] = packet
        if len(self._latest) > _MOST_TOPICS:
            self._latest.popitem(last=False)
            self._dropped += 1
        self._ready.set()

    async def frame(self) -> bytes:
        """Wait for something, and take as much as fits a frame."""
        await self._ready.wait()
        frame = bytearray()
        while self._answers:
            frame += self._answers.popleft()
        if self._dropped != self._told:
            self._told = self._dropped
            frame += packets.publish(DROPPED_TOPIC.encode(), str(self._dropped).encode(), qos=0)
        while self._latest and len(frame) < _FRAME_BYTES:
            frame += self._latest.popitem(last=False)[1]
        if not self._latest:
            self._ready.clear()
        return bytes(frame)


@dataclass
class Page:
    """A page's half of MQTT 3.1.1."""

    rights: Rights
    outbox: Outbox = field(default_factory=Outbox)
    subscriptions: dict[str, Callable[[str], bool]] = field(default_factory=dict)
    connected: bool = False
    _second: int = 0
    _heard: int = 0

    def take(self, packet: packets.Packet) -> bool:
        """Answer a packet; False at a DISCONNECT.

        Raises:
            RefusedPacketError, MalformedPacketError: the connection must end.
        """
        if self.connected == (packet.kind == packets.CONNECT):
            raise RefusedPacketError(f"a packet of type {packet.kind} at this place")
        if packet.kind == packets.CONNECT:
            self._connect(packets.parse_connect(packet.body))
        elif packet.kind == packets.SUBSCRIBE:
            self._subscribe(*packets.parse_subscribe(packet.body))
        elif packet.kind == packets.UNSUBSCRIBE:
            identifier, gone = packets.parse_unsubscribe(packet.body)
            for topic_filter in gone:
                self.subscriptions.pop(topic_filter, None)
            self.outbox.answer(packets.unsuback(identifier))
        elif packet.kind == packets.PINGREQ:
            self.outbox.answer(packets.PINGRESP_PACKET)
        elif packet.kind != packets.DISCONNECT:
            raise RefusedPacketError(f"a packet of type {packet.kind}: a page only listens")
        return packet.kind != packets.DISCONNECT

    def _connect(self, asked: packets.Connect) -> None:
        named = asked.client_id.startswith(self.rights.client_prefix)
        if not (asked.level == packets.V3 and named and asked.clean_start and asked.will is None):
            raise RefusedPacketError("a CONNECT that is not a page's")
        self.connected = True
        self.outbox.answer(packets.connack(0))

    def _subscribe(self, identifier: int, wanted: list[packets.Filter]) -> None:
        for topic_filter in (each.topic_filter for each in wanted):
            shared = split_shared(topic_filter) if topic_filter.startswith(SHARED_PREFIX) else None
            plain = shared[1] if shared else topic_filter
            if plain not in self.rights.topic_filters:
                raise RefusedPacketError(f"a subscription to {topic_filter!r}")
            self.subscriptions[topic_filter] = matcher(plain)
        # At QoS 0, whatever was asked for: what a page misses it asks the API for.
        self.outbox.answer(packets.suback(identifier, [0] * len(wanted)))

    def wanting(self, topic: str) -> list[str]:
        """Return the filters, shared ones as they were written, by which it wants a message."""
        return [topic_filter for topic_filter, wants in self.subscriptions.items() if wants(topic)]

    def hear(self, topic: str, packet: bytes, second: int) -> None:
        """Pass a message on, unless the connection has had its share in this ``second``."""
        if self._second != second:
            self._second, self._heard = second, 0
        self._heard += 1
        if not self.rights.most_a_second or self._heard <= self.rights.most_a_second:
            self.outbox.tell(topic, packet)


def deliver(pages: Iterable[Page], topic: str, packet: bytes, second: int) -> None:
    """Pass a message to each page that wants it, and of each shared subscription to one member, by chance.

    As AWS IoT Core does ("MQTT", developer guide, "Shared Subscriptions").
    """
    groups: dict[str, list[Page]] = {}
    for page in pages:
        wanted = page.wanting(topic)
        if any(not each.startswith(SHARED_PREFIX) for each in wanted):
            page.hear(topic, packet, second)
        for each in wanted:
            if each.startswith(SHARED_PREFIX):
                groups.setdefault(each, []).append(page)
    for members in groups.values():
        random.choice(members).hear(topic, packet, second)  # noqa: S311  # balance, no secret
