"""``python -m bridge.websocket``: MQTT over WebSocket for pages that watch, in front of any broker.

It takes presigned URLs as AWS IoT Core does and grants what a subscriber needs, no more. It has one connection to
the broker, with a certificate of its own, however many pages there are. A page that is slower than the stations
gets the latest message of each topic; how many it missed comes on ``DROPPED_TOPIC``.
"""

import asyncio
import contextlib
import logging
import os
import signal
import ssl
import sys
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

import paho.mqtt.client as mqtt
import structlog
import typer
from botocore.credentials import Credentials
from paho.mqtt.enums import CallbackAPIVersion
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from bridge.broker import packets
from bridge.presigned import RefusedUrlError, verify
from bridge.programs import configure_logs
from bridge.sql.topics import matcher

log = structlog.get_logger()

DROPPED_TOPIC = "$front-door/dropped"

_MOST_FROM_PAGE = 16 * 1024
_FRAME_BYTES = 64 * 1024
_MOST_TOPICS = 20_000
_MOST_ANSWERS = 100
_POLICY_VIOLATION, _BROKER_GONE = 1008, 1013
_KEEP_ALIVE_SECONDS = 15


class RefusedPacketError(Exception):
    """The page sent what a subscriber has no need of."""


@dataclass(frozen=True)
class Rights:
    """What a page may do: client ids that start so, and exactly these topic filters, at QoS 0."""

    client_prefix: str
    topic_filters: frozenset[str]


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
        if not (asked.supported and named and asked.clean_session and asked.will is None):
            raise RefusedPacketError("a CONNECT that is not a page's")
        self.connected = True
        self.outbox.answer(packets.connack(0))

    def _subscribe(self, identifier: int, wanted: list[tuple[str, int]]) -> None:
        for topic_filter, _ in wanted:
            if topic_filter not in self.rights.topic_filters:
                raise RefusedPacketError(f"a subscription to {topic_filter!r}")
            self.subscriptions[topic_filter] = matcher(topic_filter)
        # At QoS 0, whatever was asked for: what a page misses it asks the API for.
        self.outbox.answer(packets.suback(identifier, [0] * len(wanted)))

    def hear(self, topic: str, packet: bytes) -> None:
        """Pass on what it has subscribed to."""
        if any(wants(topic) for wants in self.subscriptions.values()):
            self.outbox.tell(topic, packet)


class FrontDoor:
    """Pages on one side, a broker on the other."""

    def __init__(self, credentials: Credentials, region: str, rights: Rights) -> None:
        """Whoever's URL ``credentials`` signed for ``region`` gets ``rights``."""
        self._credentials, self._region, self._rights = credentials, region, rights
        self._pages: dict[ServerConnection, Page] = {}
        self._broker_is_there = False
        self._closing: set[asyncio.Task[None]] = set()  # or else nothing holds them

    async def serve(self, host: str, port: int) -> Server:
        """Listen."""
        return await serve(
            self._carry, host, port,
            subprotocols=[Subprotocol("mqtt")], process_request=self._admit,
            max_size=_MOST_FROM_PAGE, compression=None,
        )  # fmt: skip

    def hear(self, topic: str, payload: bytes) -> None:
        """Pass a message of the broker's to every page that wants it."""
        packet = packets.publish(topic.encode(), payload, qos=0)
        for page in self._pages.values():
            page.hear(topic, packet)

    def broker(self, *, is_there: bool) -> None:
        """The connection to the broker is up, or has gone: then pages must not look live."""
        self._broker_is_there = is_there
        if not is_there:
            for connection in self._pages:
                task = asyncio.create_task(connection.close(_BROKER_GONE, "the broker is away"))
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        try:
            verify(
                request.path, request.headers.get("Host", ""), self._credentials, self._region,
                now=datetime.now(UTC),
            )  # fmt: skip
        except RefusedUrlError as error:
            log.info("url_refused", reason=str(error))
            return connection.respond(HTTPStatus.FORBIDDEN, f"{error}\n")
        if not self._broker_is_there:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "the broker is away\n")
        return None

    async def _carry(self, connection: ServerConnection) -> None:
        page = self._pages[connection] = Page(self._rights)
        sending = asyncio.create_task(_send(page.outbox, connection))
        try:
            await _listen(connection, page)
        except (RefusedPacketError, packets.MalformedPacketError) as error:
            log.info("page_closed", reason=str(error))
            await connection.close(_POLICY_VIOLATION, str(error)[:100])
        except ConnectionClosed:
            pass
        finally:
            del self._pages[connection]
            sending.cancel()


async def _listen(connection: ServerConnection, page: Page) -> None:
    buffer = bytearray()
    async for message in connection:
        buffer += message if isinstance(message, bytes) else message.encode()
        while (packet := packets.take_packet(buffer, _MOST_FROM_PAGE)) is not None:
            if not page.take(packet):
                return


async def _send(outbox: Outbox, connection: ServerConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await connection.send(await outbox.frame())


def _broker_client(door: FrontDoor, client_id: str, tls: ssl.SSLContext, filters: list[str]) -> mqtt.Client:
    """A client in a thread of its own; paho comes back by itself."""
    loop = asyncio.get_running_loop()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id)
    client.tls_set_context(tls)
    client.reconnect_delay_set(1, 5)

    def connected(_client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            log.error("refused_by_broker", client_id=client_id, reason=str(reason))
            return
        client.subscribe([(each, 0) for each in filters])

    def subscribed(_client: Any, _data: Any, _identifier: int, reasons: Any, _properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            log.error("subscription_refused", reasons=[str(reason) for reason in reasons])
            return
        loop.call_soon_threadsafe(lambda: door.broker(is_there=True))

    def gone(*_: Any) -> None:
        loop.call_soon_threadsafe(lambda: door.broker(is_there=False))

    def heard(_client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        loop.call_soon_threadsafe(door.hear, message.topic, bytes(message.payload))

    client.on_connect, client.on_subscribe = connected, subscribed
    client.on_disconnect, client.on_message = gone, heard
    return client


def main(
    port: Annotated[int, typer.Option(help="Port for pages.")],
    broker_port: Annotated[int, typer.Option(help="The broker's TLS port.")],
    broker_ca: Annotated[Path, typer.Option(help="Authority of the broker's certificate.")],
    client_id: Annotated[str, typer.Option(help="Client id at the broker.")],
    certificate: Annotated[Path, typer.Option(help="Certificate to show the broker (PEM).")],
    key: Annotated[Path, typer.Option(help="Its key.")],
    region: Annotated[str, typer.Option(help="Region that URLs are signed for.")],
    topic_filter: Annotated[list[str], typer.Option(help="What pages may subscribe to. May be repeated.")],
    client_prefix: Annotated[str, typer.Option(help="How pages' client ids begin.")] = "dashboard-",
    broker_host: Annotated[str, typer.Option(help="The broker.")] = "localhost",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """A subscribe-only WebSocket for pages; FRONT_DOOR_ACCESS_KEY_ID and FRONT_DOOR_SECRET_ACCESS_KEY sign its URLs."""
    configure_logs()
    # A probe of the port is no error.
    logging.getLogger("websockets.server").setLevel(logging.CRITICAL)
    try:
        credentials = Credentials(
            os.environ["FRONT_DOOR_ACCESS_KEY_ID"],
            os.environ["FRONT_DOOR_SECRET_ACCESS_KEY"],
            os.environ.get("FRONT_DOOR_SESSION_TOKEN"),
        )
    except KeyError as error:
        sys.exit(f"error: {error.args[0]} is not set: whoever signs the URLs gives it")
    tls = ssl.create_default_context(cafile=str(broker_ca))
    tls.load_cert_chain(certificate, key)
    door = FrontDoor(credentials, region, Rights(client_prefix, frozenset(topic_filter)))

    async def run() -> None:
        client = _broker_client(door, client_id, tls, topic_filter)
        client.connect_async(broker_host, broker_port, _KEEP_ALIVE_SECONDS)
        client.loop_start()
        try:
            await _serve(door, host, port)
        finally:
            client.disconnect()
            client.loop_stop()

    try:
        asyncio.run(run())
    except OSError as error:
        sys.exit(f"error: cannot listen on {host}:{port}: {error}")


async def _serve(door: FrontDoor, host: str, port: int) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with await door.serve(host, port):
        log.info("listening", host=host, port=port)
        await stopped.wait()


if __name__ == "__main__":
    typer.run(main)
