"""MQTT over WebSocket: what comes in frames is what comes over TLS otherwise.

"MQTT over WSS" (protocols.html of the AWS IoT Core developer guide): ``wss://<endpoint>/mqtt``, signed with Signature
Version 4 for the service ``iotdevicegateway`` in the query or in headers, subprotocol ``mqtt``; or with what a custom
authorizer asks for, there or in the CONNECT.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, cast

from websockets.datastructures import Headers
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from bridge.broker.connection import CONNECT_SECONDS, ClientConnection
from bridge.broker.limits import MOST_PACKET_BYTES
from bridge.broker.server import Broker, Identity
from bridge.broker.visitors import Visitor
from bridge.front_door.presigned import RefusedUrlError
from bridge.tls import server_name

log = logging.getLogger(__name__)
# It tells of every connection.
logging.getLogger("websockets.server").setLevel(logging.WARNING)

_DATA = (Opcode.BINARY, Opcode.CONT)

# Says who a request is from, by its target, its headers and the server's name that TLS asked for; raises
# `RefusedUrlError`.
Admit = Callable[[str, Headers, str], Awaitable[Identity | Visitor]]


class WebSocket(asyncio.Protocol, asyncio.Transport):
    """Asyncio's protocol to the one side, a transport to the MQTT connection on the other."""

    def __init__(self, broker: Broker, admit: Admit) -> None:
        """Wait for the request that asks for a WebSocket."""
        super().__init__()
        self._broker, self._admit = broker, admit
        self._transport: asyncio.Transport | None = None
        self._protocol = ServerProtocol(subprotocols=[Subprotocol("mqtt")], max_size=4 * MOST_PACKET_BYTES)
        self._admitting: asyncio.Task[None] | None = None
        self._connection: ClientConnection | None = None

    # --- asyncio's side ------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the connection."""
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._waiting = asyncio.get_running_loop().call_later(CONNECT_SECONDS, self._too_late)

    def data_received(self, data: bytes) -> None:
        """Take whole frames from what arrived."""
        self._protocol.receive_data(data)
        self._take()

    def eof_received(self) -> None:
        """Note that the other side sends no more."""
        self._protocol.receive_eof()
        self._take()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the MQTT connection."""
        self._waiting.cancel()
        if self._admitting:
            self._admitting.cancel()
        if self._connection:
            self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        """Tell the MQTT connection to send no more."""
        if self._connection:
            self._connection.pause_writing()

    def resume_writing(self) -> None:
        """Tell the MQTT connection to send again."""
        if self._connection:
            self._connection.resume_writing()

    # --- the MQTT connection's side ------------------------------------------

    def write(self, data: Any) -> None:
        """Send a frame."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_binary(bytes(data))
            self._flush()

    def close(self) -> None:
        """Say goodbye and close when all is sent."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(1000)
            self._flush()
        if self._transport:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport:
            self._transport.abort()

    def is_closing(self) -> bool:
        """Return whether it is closed, or about to be."""
        return (
            self._transport is None
            or self._transport.is_closing()
            or self._protocol.state not in (State.OPEN, State.CONNECTING)
        )

    def pause_reading(self) -> None:
        """Take no more from the peer for now."""
        if self._transport and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take from the peer again."""
        if self._transport and not self._transport.is_closing():
            self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what the connection below knows of itself."""
        return self._transport.get_extra_info(name, default) if self._transport else default

    # --- inside --------------------------------------------------------------

    def _take(self) -> None:
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._admitting = asyncio.create_task(self._answer(event))
            elif self._connection and isinstance(event, Frame) and event.opcode in _DATA:
                self._connection.data_received(bytes(event.data))
        self._flush()
        if self._protocol.close_expected() and self._transport:
            self._transport.close()

    def _too_late(self) -> None:
        if self._connection is None:
            log.info("closing a WebSocket: it was not asked for in %d s", CONNECT_SECONDS)
            self.abort()

    def _flush(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()

    async def _answer(self, request: Request) -> None:
        path = request.path.partition("?")[0]
        if path != "/mqtt":
            self._reject(HTTPStatus.NOT_FOUND, f"MQTT over WebSocket is at /mqtt, not at {path}\n")
            return
        try:
            name = server_name(self._transport) if self._transport else ""
            who = await self._admit(request.path, request.headers, name)
        except Exception as error:
            reason = str(error) if isinstance(error, RefusedUrlError) else "the credentials cannot be checked"
            log.info("refused a WebSocket: %s", reason, exc_info=not isinstance(error, RefusedUrlError))
            self._reject(HTTPStatus.FORBIDDEN, f"{reason}\n")
            return
        self._protocol.send_response(self._protocol.accept(request))
        self._flush()
        if self._protocol.state is not State.OPEN or self._transport is None:
            return
        known = (None, who) if isinstance(who, Visitor) else (who, None)
        self._connection = ClientConnection(self._broker, *known)
        self._connection.connection_made(self)

    def _reject(self, status: HTTPStatus, text: str) -> None:
        self._protocol.send_response(self._protocol.reject(status, text))
        self._flush()
        if self._transport:
            self._transport.close()
