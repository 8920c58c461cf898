"""``python -m bridge.websocket``: MQTT over WebSocket for pages that watch, in front of any broker.

It takes presigned URLs as AWS IoT Core does, and lets through only what a subscriber needs. A page that is
slower than the stations gets the latest message of each topic; how many it missed comes on ``DROPPED_TOPIC``.
"""

import asyncio
import contextlib
import logging
import os
import signal
import ssl
import sys
from collections import OrderedDict, deque
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

import typer
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from bridge.broker import packets
from bridge.presigned import Credentials, RefusedUrlError, verify

log = logging.getLogger(__name__)

DROPPED_TOPIC = "$front-door/dropped"

_LET_THROUGH = (
    packets.CONNECT, packets.SUBSCRIBE, packets.UNSUBSCRIBE, packets.PINGREQ, packets.DISCONNECT,
)  # fmt: skip
_MOST_FROM_PAGE = 16 * 1024
_MOST_FROM_BROKER = 256 * 1024
_FRAME_BYTES = 64 * 1024
_MOST_TOPICS = 20_000
_MOST_ANSWERS = 100
_POLICY_VIOLATION, _BROKER_GONE = 1008, 1013


class RefusedPacketError(Exception):
    """The page sent what a subscriber has no need of."""


@dataclass(frozen=True)
class Rights:
    """What a page may do: client ids that start so, and exactly these topic filters, at QoS 0."""

    client_prefix: str
    topic_filters: frozenset[str]

    def check(self, packet: packets.Packet, *, first: bool) -> None:
        """Look at a packet from a page.

        Raises:
            RefusedPacketError, MalformedPacketError: it must not reach the broker.
        """
        if packet.kind not in _LET_THROUGH or first != (packet.kind == packets.CONNECT):
            raise RefusedPacketError(f"a packet of type {packet.kind} at this place")
        if packet.kind == packets.CONNECT:
            asked = packets.parse_connect(packet.body)
            named = asked.client_id.startswith(self.client_prefix)
            if not (asked.supported and named and asked.clean_session and asked.will is None):
                raise RefusedPacketError("a CONNECT that is not a page's")
        elif packet.kind == packets.SUBSCRIBE:
            for topic_filter, qos in packets.parse_subscribe(packet.body)[1]:
                if topic_filter not in self.topic_filters or qos:
                    raise RefusedPacketError(f"a subscription to {topic_filter!r} at QoS {qos}")


class Outbox:
    """What waits for a slow page: answers in order, and of each topic the latest message only."""

    def __init__(self) -> None:
        self._answers: deque[bytes] = deque()
        self._latest: OrderedDict[str, bytes] = OrderedDict()
        self._ready = asyncio.Event()
        self.dropped = 0
        self._told = 0

    def put(self, packet: packets.Packet, raw: bytes) -> None:
        """Take a packet from the broker."""
        if packet.kind == packets.PUBLISH:
            topic = packets.parse_publish(packet.flags, packet.body).topic
            self.dropped += topic in self._latest
            self._latest[topic] = raw
            if len(self._latest) > _MOST_TOPICS:
                self._latest.popitem(last=False)
                self.dropped += 1
        else:
            self._answers.append(raw)
            if len(self._answers) > _MOST_ANSWERS:
                raise RefusedPacketError("more questions than the page reads answers to")
        self._ready.set()

    async def frame(self) -> bytes:
        """Wait for something, and take as much as fits a frame."""
        await self._ready.wait()
        frame = bytearray()
        while self._answers:
            frame += self._answers.popleft()
        if self.dropped != self._told:
            self._told = self.dropped
            frame += packets.publish(DROPPED_TOPIC.encode(), str(self.dropped).encode(), qos=0)
        while self._latest and len(frame) < _FRAME_BYTES:
            frame += self._latest.popitem(last=False)[1]
        if not self._latest:
            self._ready.clear()
        return bytes(frame)


@dataclass(frozen=True)
class FrontDoor:
    """Pages on one side, a broker on the other."""

    credentials: Credentials
    region: str
    rights: Rights
    broker_host: str
    broker_port: int
    broker_tls: ssl.SSLContext | None

    async def serve(self, host: str, port: int) -> Server:
        """Listen."""
        return await serve(
            self._carry, host, port,
            subprotocols=[Subprotocol("mqtt")], process_request=self._admit,
            max_size=_MOST_FROM_PAGE, compression=None,
        )  # fmt: skip

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        try:
            verify(
                request.path, request.headers.get("Host", ""), self.credentials, self.region,
                now=datetime.now(UTC),
            )  # fmt: skip
        except RefusedUrlError as error:
            log.info("refused a URL: %s", error)
            return connection.respond(HTTPStatus.FORBIDDEN, f"{error}\n")
        return None

    async def _carry(self, page: ServerConnection) -> None:
        try:
            reader, writer = await asyncio.open_connection(
                self.broker_host, self.broker_port, ssl=self.broker_tls
            )
        except OSError as error:
            log.warning("the broker does not answer: %s", error)
            await page.close(_BROKER_GONE, "the broker does not answer")
            return
        outbox = Outbox()
        tasks = [
            asyncio.create_task(self._from_page(page, writer)),
            asyncio.create_task(_from_broker(reader, outbox)),
            asyncio.create_task(_to_page(outbox, page)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        refused = next(
            (e for e in ended if isinstance(e, RefusedPacketError | packets.MalformedPacketError)), None
        )
        if refused is not None:
            log.info("closed a page: %s", refused)
            await page.close(_POLICY_VIOLATION, str(refused)[:100])
        else:
            await page.close(_BROKER_GONE, "the broker closed the connection")

    async def _from_page(self, page: ServerConnection, writer: asyncio.StreamWriter) -> None:
        buffer, first = bytearray(), True
        async for message in page:
            buffer += message if isinstance(message, bytes) else message.encode()
            for packet, raw in _whole(buffer, _MOST_FROM_PAGE):
                self.rights.check(packet, first=first)
                first = False
                writer.write(raw)
            await writer.drain()


async def _from_broker(reader: asyncio.StreamReader, outbox: Outbox) -> None:
    buffer = bytearray()
    while chunk := await reader.read(_FRAME_BYTES):
        buffer += chunk
        for packet, raw in _whole(buffer, _MOST_FROM_BROKER):
            outbox.put(packet, raw)


async def _to_page(outbox: Outbox, page: ServerConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await page.send(await outbox.frame())


def _whole(buffer: bytearray, limit: int) -> list[tuple[packets.Packet, bytes]]:
    """Take every whole packet, with its bytes as they came."""
    found: list[tuple[packets.Packet, bytes]] = []
    before = bytes(buffer)
    at = 0
    while (packet := packets.take_packet(buffer, limit)) is not None:
        end = len(before) - len(buffer)
        found.append((packet, before[at:end]))
        at = end
    return found


def main(
    port: Annotated[int, typer.Option(help="Port for pages.")],
    broker_port: Annotated[int, typer.Option(help="The broker's TLS port.")],
    broker_ca: Annotated[Path, typer.Option(help="Authority of the broker's certificate.")],
    certificate: Annotated[Path, typer.Option(help="Certificate to show the broker (PEM).")],
    key: Annotated[Path, typer.Option(help="Its key.")],
    region: Annotated[str, typer.Option(help="Region that URLs are signed for.")],
    topic_filter: Annotated[list[str], typer.Option(help="What pages may subscribe to. May be repeated.")],
    client_prefix: Annotated[str, typer.Option(help="How pages' client ids begin.")] = "dashboard-",
    broker_host: Annotated[str, typer.Option(help="The broker.")] = "localhost",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """A subscribe-only WebSocket for pages; the signing key is read from FRONT_DOOR_ACCESS_KEY_ID and ..._SECRET."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # A probe of the port is no error.
    logging.getLogger("websockets.server").setLevel(logging.CRITICAL)
    try:
        credentials = Credentials(
            os.environ["FRONT_DOOR_ACCESS_KEY_ID"], os.environ["FRONT_DOOR_SECRET_ACCESS_KEY"]
        )
    except KeyError as error:
        sys.exit(f"error: {error.args[0]} is not set: whoever signs the URLs gives it")
    context = ssl.create_default_context(cafile=str(broker_ca))
    context.load_cert_chain(certificate, key)
    rights = Rights(client_prefix, frozenset(topic_filter))
    try:
        asyncio.run(
            _run(FrontDoor(credentials, region, rights, broker_host, broker_port, context), host, port)
        )
    except OSError as error:
        sys.exit(f"error: cannot listen on {host}:{port}: {error}")


async def _run(door: FrontDoor, host: str, port: int) -> None:
    server = await door.serve(host, port)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    log.info("listening on %s:%d", host, port)
    await stopped.wait()
    server.close()
    await server.wait_closed()


if __name__ == "__main__":
    typer.run(main)
