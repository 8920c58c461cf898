"""AWS's port 443: WebSockets, and where ALPN asks for it MQTT, with a certificate or a custom authorizer."""

import asyncio
from typing import Any

from websockets.datastructures import Headers

from bridge.authorizers import Shown
from bridge.broker.connection import ClientConnection
from bridge.broker.server import Broker, Identity
from bridge.broker.signers import Signers
from bridge.broker.visitors import Authorizers, Visitor
from bridge.broker.websocket import WebSocket
from bridge.tls import server_name


class Doors:
    """Who comes in there: those who sign, those whom a custom authorizer lets in, and those with a certificate."""

    def __init__(self, broker: Broker, signers: Signers, authorizers: Authorizers) -> None:
        """Ask these."""
        self._broker, self._signers, self._authorizers = broker, signers, authorizers

    def protocol(self, transport: asyncio.BaseTransport) -> asyncio.Protocol:
        """Return what speaks over a connection, by its ALPN protocol."""
        match transport.get_extra_info("ssl_object").selected_alpn_protocol():
            case "mqtt":
                shown = Shown(server_name(transport))
                return ClientConnection(self._broker, visitor=Visitor(shown, self._authorizers.admit))
            case "x-amzn-mqtt-ca":
                return ClientConnection(self._broker)
            case _:
                return WebSocket(self._broker, self.admit)

    async def admit(self, target: str, headers: Headers, name: str) -> Identity | Visitor:
        """Say who asks for a WebSocket; see `bridge.broker.websocket.Admit`.

        Who does not sign is a visitor: what an authorizer wants may come in the CONNECT. Where there are no
        authorizers nobody is.
        """
        if self._signers.signed(target, headers) or not await self._authorizers.any_active():
            return await self._signers.admit(target, headers)
        _, _, query = target.partition("?")
        return Visitor(Shown(name, dict(headers.raw_items()), query), self._authorizers.admit)


class Gate(asyncio.Protocol):
    """A connection of which it is not known yet what it speaks."""

    def __init__(self, doors: Doors) -> None:
        """Wait for TLS."""
        self._doors = doors

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand the connection over to what speaks its protocol."""
        protocol = self._doors.protocol(transport)
        # uvloop's transports are no subclasses of asyncio's.
        settable: Any = transport
        settable.set_protocol(protocol)
        protocol.connection_made(transport)
