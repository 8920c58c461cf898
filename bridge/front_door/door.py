"""The front door: MQTT over WebSocket for pages, whose messages come from one connection to the broker."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import paho.mqtt.client as mqtt
import structlog
from botocore.credentials import Credentials
from paho.mqtt.enums import CallbackAPIVersion
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from bridge import packets
from bridge.front_door.page import Outbox, Page, RefusedPacketError, Rights, deliver
from bridge.front_door.presigned import RefusedUrlError, verify

log = structlog.get_logger()
_MOST_FROM_PAGE = 16 * 1024
_POLICY_VIOLATION, _BROKER_GONE = 1008, 1013


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
            self._carry,
            host,
            port,
            subprotocols=[Subprotocol("mqtt")],
            process_request=self._admit,
            max_size=_MOST_FROM_PAGE,
            compression=None,
        )

    def hear(self, topic: str, payload: bytes) -> None:
        """Pass a message of the broker's to every page that wants it."""
        packet = packets.publish(topic.encode(), payload, qos=0)
        deliver(self._pages.values(), topic, packet, int(time.monotonic()))

    def broker(self, *, is_there: bool) -> None:
        """Note that the connection to the broker is up, or has gone: then pages must not look live."""
        self._broker_is_there = is_there
        if not is_there:
            for connection in self._pages:
                task = asyncio.create_task(connection.close(_BROKER_GONE, "the broker is away"))
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        try:
            verify(
                request.path,
                request.headers.get("Host", ""),
                self._credentials,
                self._region,
                now=datetime.now(UTC),
            )
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


def broker_client(
    door: FrontDoor,
    client_id: str,
    tls: ssl.SSLContext,
    filters: list[str],
    refused: Callable[[str], None],
) -> mqtt.Client:
    """Make a client in a thread of its own; paho comes back by itself.

    ``refused`` is called on the loop with the reason where a subscription is refused: no page would ever hear of it.
    """
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
        denied = [
            f"{each} ({reason})" for each, reason in zip(filters, reasons, strict=True) if reason.is_failure
        ]
        if denied:
            loop.call_soon_threadsafe(refused, ", ".join(denied))
            return
        loop.call_soon_threadsafe(lambda: door.broker(is_there=True))

    def gone(*_: Any) -> None:
        loop.call_soon_threadsafe(lambda: door.broker(is_there=False))

    def heard(_client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        loop.call_soon_threadsafe(door.hear, message.topic, bytes(message.payload))

    client.on_connect, client.on_subscribe = connected, subscribed
    client.on_disconnect, client.on_message = gone, heard
    return client
