"""One MQTT client with a certificate: what a station, an observer and a publisher have in common."""

import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from testbed.deploy.deployment import Deployment
from testbed.errors import TestbedError

PATIENCE_SECONDS = 30.0
# Unacknowledged publishes that AWS IoT takes of a client: "AWS IoT Core message broker and protocol limits and quotas".
_MOST_IN_FLIGHT = 100

Heard = Callable[[mqtt.MQTTMessage], None]


class Device:
    """A connection to a broker by TLS; ``client`` is paho's, whose thread runs until `close` or `drop`."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        ca: Path,
        client_id: str,
        certificate: Path | None = None,
        heard: Heard = lambda _: None,
        comes_back: bool = True,
    ) -> None:
        """Begin to connect.

        Args:
            host: the broker's.
            port: the broker's.
            ca: the PEM file with the authority that the broker's certificate comes from.
            client_id: of the session.
            certificate: the device's, with its key beside it, ending in ``.key``; None: without one.
            heard: takes each message that it subscribed to.
            comes_back: whether it connects again when the connection was lost.
        """
        context = ssl.create_default_context(cafile=str(ca))
        if certificate:
            context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        # What the broker, or the network, answered to each attempt to connect.
        self.reasons: list[Any] = []
        self._welcome, self._gone, self._decided = Event(), Event(), Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id)
        self.client.tls_set_context(context)
        self.client.max_inflight_messages_set(_MOST_IN_FLIGHT)
        self.client.on_message = lambda _client, _data, message: heard(message)
        self.client.on_connect = lambda _client, _data, _flags, reason, _properties: self._take(reason)
        self.client.on_disconnect = lambda *_: self._end()
        if not comes_back:
            self.client.reconnect_delay_set(3600, 3600)
        try:
            self.client.connect(host, port, keepalive=30)
        except OSError as error:
            self.reasons.append(error)
            self._end()
            return
        self.client.loop_start()

    @classmethod
    def of(cls, deployment: Deployment, certificate: Path, heard: Heard = lambda _: None) -> "Device":
        """Begin to connect to a deployment's broker, under the name of the certificate's file."""
        return cls(
            deployment.mqtt_host,
            deployment.mqtt_port,
            ca=deployment.server_ca,
            client_id=certificate.stem,
            certificate=certificate,
            heard=heard,
        )

    def _take(self, reason: Any) -> None:
        self.reasons.append(reason)
        if reason.is_failure:
            self._end()
        else:
            self._welcome.set()
            self._decided.set()

    def _end(self) -> None:
        self._gone.set()
        self._decided.set()

    def connected(self, seconds: float = PATIENCE_SECONDS) -> bool:
        """Wait for the broker's answer, and return whether it let the device in and has not ended it since."""
        self._decided.wait(seconds)
        return self._welcome.is_set() and not self._gone.is_set()

    def gone(self) -> bool:
        """Return whether the connection was refused or has ended."""
        return self._gone.is_set()

    def deliver(self, topic: str, *payloads: bytes) -> list[bool]:
        """Publish at QoS 1, and return which payloads the broker acknowledged in time."""
        sent = [self.client.publish(topic, payload, qos=1) for payload in payloads]
        deadline = time.monotonic() + PATIENCE_SECONDS
        for message in sent:
            # Not connected, or not any more: then it was not acknowledged.
            with suppress(RuntimeError):
                message.wait_for_publish(max(0.0, deadline - time.monotonic()))
        return [message.rc == mqtt.MQTT_ERR_SUCCESS and message.is_published() for message in sent]

    def close(self) -> None:
        """Disconnect as a client should."""
        self.client.disconnect()
        self.client.loop_stop()

    def drop(self) -> None:
        """End the connection without a farewell."""
        self.client.loop_stop()
        if (transport := self.client.socket()) is not None:
            transport.close()


@contextmanager
def connected(deployment: Deployment, certificate: Path, heard: Heard = lambda _: None) -> Iterator[Device]:
    """Connect to a deployment's broker under the name of the certificate's file; disconnect at the end.

    Raises:
        TestbedError: the broker is not there, or refuses it.
    """
    device = Device.of(deployment, certificate, heard)
    try:
        if not device.connected():
            why = device.reasons[-1] if device.reasons else "no answer"
            raise TestbedError(f"The broker does not let {certificate.stem} in: {why}.", "See make logs.")
        yield device
    finally:
        device.close()
