"""One station's MQTT connection: paho-mqtt, driven by asyncio.

paho's own loop is a thread and a select() for each client, which ends at some 1,000 sockets. Its external-loop
interface lets one event loop serve thousands.
"""

import asyncio
import ssl
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion


@dataclass(frozen=True)
class Endpoint:
    """Where to connect: ``certificates`` holds ``<station id>.crt`` and ``.key``."""

    host: str
    port: int
    ca: Path
    certificates: Path
    keep_alive: int = 60


class ConnectionRefusedByBrokerError(OSError):
    """The broker answered, and does not want this client."""


class Connection:
    """A connection from CONNECT to its end; a new one is made to connect again."""

    def __init__(
        self,
        station_id: str,
        endpoint: Endpoint,
        *,
        acknowledged: Callable[[int], None],
        lost: Callable[[], None],
    ) -> None:
        """Connect to nothing yet.

        Args:
            station_id: client id, and name of the certificate.
            endpoint: where.
            acknowledged: called with a packet identifier when the broker has it.
            lost: called once when an established connection ends.
        """
        self._endpoint = endpoint
        self._loop = asyncio.get_running_loop()
        self._connected: asyncio.Future[None] = self._loop.create_future()
        self._acknowledged, self._lost = acknowledged, lost
        self._socket: Any = None
        self._closed = False
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=station_id, clean_session=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(str(endpoint.ca))
        context.load_cert_chain(
            endpoint.certificates / f"{station_id}.crt", endpoint.certificates / f"{station_id}.key"
        )
        self._client.tls_set_context(context)
        self._client.max_inflight_messages_set(0)  # the fleet bounds what is in flight
        self._client.on_connect = self._on_connect
        self._client.on_publish = self._on_publish
        self._client.on_disconnect = self._on_disconnect
        # Before the socket closes, while its number is still its own.
        self._client.on_socket_close = lambda *_: self._forget_socket()
        self._client.on_socket_register_write = self._register_write
        self._client.on_socket_unregister_write = self._unregister_write

    async def connect(self, executor: Executor, seconds: float = 30) -> None:
        """Connect and wait for the broker's answer.

        Raises:
            OSError: nobody answered, TLS failed, or the broker refused; TimeoutError is one, too.
        """
        endpoint = self._endpoint
        # paho connects and shakes hands blocking, so a thread does it.
        try:
            await self._loop.run_in_executor(
                executor,
                lambda: self._client.connect(endpoint.host, endpoint.port, keepalive=endpoint.keep_alive),
            )
            self._socket = self._client.socket()
            if self._socket is None:
                raise ConnectionResetError("the connection ended at once")  # noqa: TRY301  # as any other end
            self._loop.add_reader(self._socket, self._readable)
            self._register_write()
            async with asyncio.timeout(seconds):
                await self._connected
        except BaseException:
            self.abort()
            raise

    def publish(self, topic: str, payload: bytes, qos: int) -> int:
        """Send; returns the packet identifier that `acknowledged` will be called with."""
        return self._client.publish(topic, payload, qos).mid

    def tick(self) -> None:
        """Keep the connection alive: to be called about once a second."""
        if self._socket is not None:
            self._client.loop_misc()

    def close(self) -> None:
        """Say goodbye and close."""
        self._closed = True
        if self._socket is not None:
            self._client.disconnect()
            self._client.loop_write()
        self.abort()

    def abort(self) -> None:
        """Close without goodbye."""
        self._closed = True
        self._forget_socket()
        taken = self._client.socket()
        if taken is not None:
            try:
                taken.close()
            except OSError:
                return

    # --- paho's callbacks ----------------------------------------------------

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if self._connected.done():
            return
        if reason.is_failure:
            self._connected.set_exception(ConnectionRefusedByBrokerError(f"the broker refused: {reason}"))
        else:
            self._connected.set_result(None)

    def _on_publish(self, _client: Any, _data: Any, mid: int, _reason: Any, _properties: Any) -> None:
        self._acknowledged(mid)

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._forget_socket()
        if not self._connected.done():
            self._connected.set_exception(ConnectionResetError(f"the broker closed the connection: {reason}"))
        elif not self._closed:
            self._closed = True
            self._lost()

    def _register_write(self, *_: Any) -> None:
        # Called from the connecting thread, too, before there is a socket to watch.
        if self._socket is not None:
            self._loop.add_writer(self._socket, self._writable)

    def _unregister_write(self, *_: Any) -> None:
        if self._socket is not None:
            self._loop.remove_writer(self._socket)

    # --- the event loop's callbacks ------------------------------------------

    def _readable(self) -> None:
        self._client.loop_read()
        # TLS may hold more than the socket shows.
        while self._socket is not None and self._socket.pending():
            self._client.loop_read()

    def _writable(self) -> None:
        self._client.loop_write()

    def _forget_socket(self) -> None:
        taken, self._socket = self._socket, None
        if taken is not None:
            self._loop.remove_reader(taken)
            self._loop.remove_writer(taken)
