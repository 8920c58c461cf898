"""A paho client of MQTT 5 that remembers what it is told."""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

if TYPE_CHECKING:
    from tests.integration.bridge.conftest import Stack

_PATIENCE_SECONDS = 60.0


def wait_for(condition: Callable[[], Any]) -> Any:
    """Wait until ``condition()`` is true; its last value when the time is over."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        value = condition()
        if value or time.monotonic() > deadline:
            return value
        time.sleep(0.05)


class Five:
    """A paho client of MQTT 5 that remembers what it is told."""

    def __init__(self, stack: "Stack", name: str, *, clean_start: bool = True, **options: Any) -> None:
        self.name = name
        self.received: list[mqtt.MQTTMessage] = []
        self.acknowledged: dict[int, Any] = {}
        self.subscribed: list[Any] = []
        self.said: Any = None
        self.present: bool | None = None
        self.connected, self.gone = threading.Event(), threading.Event()
        self.ended_with: list[Any] = []
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5)
        folder = stack.place.certificates / "devices"
        self.client.tls_set(
            str(stack.authority.path),
            str(folder / f"{name}.crt"),
            str(folder / f"{name}.key"),
        )
        will = options.pop("will", None)
        if will:
            self.client.will_set(**will)
        self.client.max_inflight_messages_set(100)
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = self._on_disconnect
        self.client.on_message = lambda _c, _d, message: self.received.append(message)
        self.client.on_publish = lambda _c, _d, mid, reason, _p: self.acknowledged.__setitem__(mid, reason)
        self.client.on_subscribe = lambda _c, _d, _m, reasons, _p: self.subscribed.extend(reasons)
        asked = properties(PacketTypes.CONNECT, **options.pop("properties", {}))
        self.client.connect(
            "localhost",
            stack.place.ports.mqtt,
            keepalive=options.pop("keepalive", 60),
            clean_start=clean_start,
            properties=asked,
        )
        self.client.loop_start()

    def _on_connect(self, _client: Any, _data: Any, flags: Any, reason: Any, properties: Any) -> None:
        self.said, self.present, self.reason = properties, flags.session_present, reason
        self.connected.set()

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self.ended_with.append(reason)
        self.gone.set()

    def subscribe(self, topic_filter: str, **options: Any) -> Any:
        """Subscribe at QoS 1 and return the reason code."""
        before = len(self.subscribed)
        self.client.subscribe(topic_filter, options=SubscribeOptions(qos=1, **options))
        assert wait_for(lambda: len(self.subscribed) > before)
        return self.subscribed[-1]

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, **given: Any) -> Any:
        """Publish at QoS 1 and return the reason code."""
        mid = self.client.publish(
            topic, payload, qos=1, retain=retain, properties=properties(PacketTypes.PUBLISH, **given)
        ).mid
        assert wait_for(lambda: mid in self.acknowledged)
        return self.acknowledged[mid]

    def vanish(self) -> None:
        """Lose the connection without a word."""
        self.client.loop_stop()
        self.client._sock_close()
        self.client._reset_sockets()

    def close(self) -> None:
        """Disconnect."""
        self.client.disconnect()
        self.client.loop_stop()
        self.client._reset_sockets()


MakeFive = Callable[..., Five]


def properties(kind: int, **values: Any) -> Properties:
    """Return MQTT 5 properties by paho's names."""
    found = Properties(kind)
    for name, value in values.items():
        setattr(found, name, value)
    return found
