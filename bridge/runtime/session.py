"""The bridge's persistent MQTT session."""

import ssl
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import paho.mqtt.client as mqtt
import structlog
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bridge.claims import Claim
from bridge.runtime import metrics
from bridge.runtime.properties import from_paho, to_paho, use_lean_properties
from bridge.sockets import DrainingSocket
from bridge.sql import Message, MqttProperties
from bridge.topics import FROM_PREFIX, READY_TOPIC

log = structlog.get_logger()

_SUBSCRIBE_SECONDS = 10
_SESSION_NEVER_EXPIRES = 0xFFFFFFFF


class MqttSession:
    """Receives at QoS 1 and acknowledges a message only when told to.

    The broker keeps what arrives while the bridge is away, and sends again what was not acknowledged.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        ca: Path,
        certificate: Path,
        key: Path,
        client_id: str,
        names_publishers: bool,
        receive: Callable[[Message, Callable[[], None]], None],
        publisher: Callable[[str], str | None] = lambda _topic: None,
    ) -> None:
        """Connect to nothing yet.

        Args:
            host: of the broker.
            port: of the broker.
            ca: authority of the broker's certificate.
            certificate: the bridge's own.
            key: its key.
            client_id: the session's name; the same at every start.
            names_publishers: whether the broker tells who published ("$from/...").
            receive: called with each message and with what acknowledges it; from paho's thread.
            publisher: says who published to a topic, where the broker does not.
        """
        self._address = (host, port)
        self._receive = receive
        self._publisher = publisher
        self._prefix = f"{FROM_PREFIX}+/" if names_publishers else ""
        self._filters: set[str] = set()
        self._subscribed: set[str] = set()
        # Packet identifiers are the connection's: an acknowledgement must not reach the next one.
        self._generation = 0
        self._claim = Claim()
        self._lock = threading.Lock()
        self.connected = threading.Event()
        # Set once another process that was there before has the same session: this one is too many.
        self.outranked = threading.Event()
        # Set while no subscription waits for the broker's answer.
        self._settled = threading.Event()
        self._settled.set()
        use_lean_properties()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5, manual_ack=True
        )
        context = ssl.create_default_context(cafile=str(ca))
        context.load_cert_chain(certificate, key)
        context.sslsocket_class = DrainingSocket
        self._client.tls_set_context(context)
        self._client.max_queued_messages_set(0)
        self._client.reconnect_delay_set(min_delay=1, max_delay=5)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda *_: self._settled.set()

    def start(self) -> None:
        """Connect, and again whenever the connection is lost."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's
        properties.SessionExpiryInterval = _SESSION_NEVER_EXPIRES
        self._client.connect_async(*self._address, keepalive=30, clean_start=False, properties=properties)
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect; the broker keeps the session."""
        self._client.disconnect()
        self._client.loop_stop()

    def subscribe(self, topic_filters: Iterable[str]) -> None:
        """Be subscribed to exactly these, and wait until the broker has said so."""
        with self._lock:
            self._filters = {self._prefix + topic_filter for topic_filter in topic_filters} | {READY_TOPIC}
        if self.connected.is_set():
            self._update_subscriptions()
            # Whoever sees a rule on /health may publish for it at once.
            self._settled.wait(_SUBSCRIBE_SECONDS)

    def say_ready(self) -> None:
        """Tell the broker's supervisor, if there is one, that this connection has its subscriptions."""
        if self.connected.is_set():
            self._say_ready()

    def _say_ready(self, *, retain: bool = False) -> None:
        self._client.publish(READY_TOPIC, self._claim.said(), qos=1, retain=retain)

    def publish(self, topic: str, payload: bytes, qos: int, properties: MqttProperties | None = None) -> None:
        """Publish, and wait for the broker's acknowledgement.

        Raises:
            OSError: there was none within ten seconds.
        """
        sent = self._client.publish(
            topic, payload, qos, properties=to_paho(properties) if properties else None
        )
        sent.wait_for_publish(10)
        if not sent.is_published():
            raise OSError(f"the broker did not acknowledge a message to {topic}")

    def _on_connect(self, _client: Any, _data: Any, flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            log.warning("broker_refused", reason=str(reason))
            return
        with self._lock:
            self._generation += 1
            # A broker that was killed may remember the session without its newest subscriptions.
            self._subscribed -= self._filters
        log.info("broker_connected", session_present=flags.session_present)
        self._update_subscriptions()
        self.connected.set()
        # Behind the subscription: who else says so comes first.
        self._say_ready(retain=True)

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self.connected.clear()
        with self._lock:
            self._generation += 1
        log.warning("broker_disconnected", reason=str(reason))

    def _update_subscriptions(self) -> None:
        with self._lock:
            new, old = self._filters - self._subscribed, self._subscribed - self._filters
            self._subscribed = set(self._filters)
        if new:
            self._settled.clear()
            self._client.subscribe([(topic_filter, 1) for topic_filter in sorted(new)])
        if old:
            self._client.unsubscribe(sorted(old))

    def _on_ready(self, said: str) -> None:
        if (said_at := self._claim.own(said)) is not None:
            metrics.CAUGHT_UP.set(said_at)
        elif self._claim.is_outranked(said):
            self.outranked.set()

    def _on_message(self, client: mqtt.Client, _data: Any, received: mqtt.MQTTMessage) -> None:
        generation, topic = self._generation, received.topic
        publisher: str | None
        if topic == READY_TOPIC:
            self._on_ready(received.payload.decode())
            client.ack(received.mid, received.qos)
            return
        if topic.startswith(FROM_PREFIX):
            quoted, _, topic = topic.removeprefix(FROM_PREFIX).partition("/")
            publisher = unquote(quoted) or None
        else:
            publisher = self._publisher(topic)
        mid, qos = received.mid, received.qos

        def acknowledge() -> None:
            with self._lock:
                current = generation == self._generation
            if current:
                client.ack(mid, qos)

        message = Message(
            topic,
            bytes(received.payload),
            publisher,
            now_ms=int(time.time() * 1000),
            properties=from_paho(received.properties),
        )
        self._receive(message, acknowledge)
