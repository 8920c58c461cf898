"""The data plane's persistent MQTT session: a trusted client of whichever broker there is."""

import asyncio
import json
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import paho.mqtt.client as mqtt
import structlog
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bridge.claims import Claim
from bridge.sockets import DrainingSocket
from bridge.topics import ANSWER_PROPERTY, DATA_PLANE_READY_TOPIC, FROM_PREFIX, TO_PREFIX

log = structlog.get_logger()

CLIENT_ID = "data-plane"

_NEVER = 0xFFFFFFFF
# What the broker has not acknowledged: beyond it paho waits.
_IN_FLIGHT = 1000


@dataclass(frozen=True)
class Received:
    """A message, who published it (None if the broker does not say), and the number to acknowledge it by."""

    topic: str
    payload: bytes
    publisher: str | None
    number: int
    generation: int


@dataclass(frozen=True)
class Outgoing:
    """A message to publish; the MQTT 5 properties by the names that paho has for them."""

    topic: str
    payload: bytes
    retain: bool = False
    properties: dict[str, Any] = field(default_factory=dict)


class UnavailableError(OSError):
    """The broker did not acknowledge in time."""


class DataPlaneSession:
    """Publishes at QoS 1 and receives requests; called from one event loop.

    The broker keeps what arrives while the data plane is away, and sends again what was not acknowledged.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        ca: Path,
        certificate: Path,
        key: Path,
        names_publishers: bool,
        topic_filters: Iterable[str],
        receive: Callable[[Received], None],
        connected: Callable[[], None],
    ) -> None:
        """Connect to nothing yet.

        Args:
            host: of the broker.
            port: of the broker.
            ca: authority of the broker's certificate.
            certificate: the data plane's own.
            key: its key.
            names_publishers: whether the broker tells who published, and takes who did ("$from/...").
            topic_filters: of the requests.
            receive: called on the loop with each message.
            connected: called on the loop when a connection begins, before its first message.
        """
        self._address = (host, port)
        self._names_publishers = names_publishers
        prefix = f"{FROM_PREFIX}+/" if names_publishers else ""
        self._filters = [(prefix + topic_filter, 1) for topic_filter in topic_filters]
        self._filters.append((DATA_PLANE_READY_TOPIC, 1))
        self._claim = Claim()
        # Set once another process that was there before has the same session: this one is too many.
        self.outranked = asyncio.Event()
        self._receive, self._begun = receive, connected
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: dict[int, asyncio.Future[str | None]] = {}
        # Acknowledged, with the answer, before anybody waited for it.
        self._early: dict[int, str | None] = {}
        # Packet identifiers are the connection's: an acknowledgement must not reach the next one.
        self._generation = 0
        self._subscribed = False
        self._client = self._make_client(ca, certificate, key)

    @property
    def ready(self) -> bool:
        """Whether it is connected with its subscriptions."""
        return self._subscribed

    def start(self) -> None:
        """Connect, and again whenever the connection is lost."""
        self._loop = asyncio.get_running_loop()
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = _NEVER
        properties.ReceiveMaximum = _IN_FLIGHT
        self._client.connect_async(*self._address, keepalive=30, clean_start=False, properties=properties)
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect; the broker keeps the session."""
        self._client.disconnect()
        self._client.loop_stop()

    def say_ready(self, *, retain: bool = False) -> None:
        """Tell that this connection has its subscriptions, and who has it."""
        self.send(Outgoing(DATA_PLANE_READY_TOPIC, self._claim.said().encode(), retain))

    async def publish(self, message: Outgoing, *, seconds: float = 10) -> None:
        """Publish, and wait for the broker's acknowledgement: then the message is safe with its subscribers.

        Raises:
            UnavailableError: it took longer than ``seconds``. The message may arrive all the same.
        """
        try:
            await asyncio.wait_for(self.send(message), seconds)
        except TimeoutError as error:
            raise UnavailableError(f"the broker did not acknowledge a message to {message.topic}") from error

    def send(self, message: Outgoing) -> asyncio.Future[str | None]:
        """Publish; over the next connection if there is none now.

        Returns:
            What is done when the broker has acknowledged it, with what our own broker answers to a command.
        """
        # No client id: rules see none, as of a message that came by HTTPS.
        to_the_broker = message.topic.startswith(("$bridge/", TO_PREFIX))
        prefix = f"{FROM_PREFIX}/" if self._names_publishers and not to_the_broker else ""
        sent = self._client.publish(
            prefix + message.topic,
            message.payload,
            qos=1,
            retain=message.retain,
            properties=self._properties(message.properties),
        )
        waiting = asyncio.get_running_loop().create_future()
        self._waiting[sent.mid] = waiting
        if sent.mid in self._early:
            self._acknowledged(sent.mid)
        return waiting

    async def ask(self, topic: str, options: Mapping[str, Any], *, seconds: float = 10) -> Any:
        """Ask our own broker itself, by one of its own topics, and return its answer; None for nothing found.

        Raises:
            UnavailableError: it did not answer within ``seconds``. It may have done what it was asked.
        """
        asked = self.send(Outgoing(topic, json.dumps(options).encode()))
        try:
            answer = await asyncio.wait_for(asked, seconds)
        except TimeoutError as error:
            raise UnavailableError("the broker did not answer") from error
        return None if answer is None else json.loads(answer)

    def acknowledge(self, received: Received) -> None:
        """Tell the broker that a message is dealt with; if its connection has ended, it will come again."""
        if received.generation == self._generation:
            self._client.ack(received.number, 1)

    # --- paho's thread -----------------------------------------------------------

    def _make_client(self, ca: Path, certificate: Path, key: Path) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=CLIENT_ID, protocol=mqtt.MQTTv5, manual_ack=True
        )
        context = ssl.create_default_context(cafile=str(ca))
        context.load_cert_chain(certificate, key)
        context.sslsocket_class = DrainingSocket
        client.tls_set_context(context)
        client.max_queued_messages_set(0)
        client.max_inflight_messages_set(_IN_FLIGHT)
        client.reconnect_delay_set(min_delay=1, max_delay=2)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        return client

    def _properties(self, named: dict[str, Any]) -> Properties | None:
        if not named:
            return None
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        for name, value in named.items():
            setattr(properties, name, value)
        return properties

    def _soon(self, function: Callable[..., None], *arguments: Any) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)

    def _on_connect(self, client: mqtt.Client, _data: Any, flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            log.warning("broker_refused", reason=str(reason))
            return
        log.info("broker_connected", session_present=flags.session_present)
        self._generation += 1
        self._soon(self._begun)
        client.subscribe(self._filters)
        # Behind the subscription: who else says so comes first.
        self._soon(partial(self.say_ready, retain=True))

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        log.warning("broker_disconnected", reason=str(reason))
        self._generation += 1
        self._subscribed = False

    def _on_subscribe(self, *_: Any) -> None:
        self._subscribed = True

    def _on_publish(self, _client: Any, _data: Any, mid: int, _reason: Any, properties: Any) -> None:
        self._early[mid] = dict(getattr(properties, "UserProperty", ())).get(ANSWER_PROPERTY)
        if mid in self._waiting:
            self._soon(self._acknowledged, mid)

    def _on_message(self, client: Any, _data: Any, received: mqtt.MQTTMessage) -> None:
        topic, publisher = received.topic, None
        if topic == DATA_PLANE_READY_TOPIC:
            if self._claim.is_outranked(received.payload.decode()):
                self._soon(self.outranked.set)
            client.ack(received.mid, received.qos)
            return
        if topic.startswith(FROM_PREFIX):
            quoted, _, topic = topic.removeprefix(FROM_PREFIX).partition("/")
            publisher = unquote(quoted)
        payload = bytes(received.payload)
        self._soon(self._receive, Received(topic, payload, publisher, received.mid, self._generation))

    # --- the loop ----------------------------------------------------------------

    def _acknowledged(self, mid: int) -> None:
        answer = self._early.pop(mid, None)
        waiting = self._waiting.pop(mid, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)
