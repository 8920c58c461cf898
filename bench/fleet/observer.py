"""Watch what the broker says of its connections: one witness for every program, also for those that fail."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from bench.fleet.brokers import HOST, Broker

_TOPIC = "$SYS/broker/clients/connected"
_TIME_WAIT = "06"
# Of the ports that a client may get, this share may be in use when the next run begins.
_ROOM = 0.9
_PATIENCE_SECONDS = 65.0  # a closed connection keeps its port for a minute


@dataclass
class Connected:
    """The most clients that were connected at once, this observer left out, and when that was first seen."""

    most: int = 0
    begun: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    def told(self, clients: int) -> None:
        """Take what the broker says."""
        if clients - 1 > self.most:
            self.most, self.seconds = clients - 1, time.monotonic() - self.begun


@contextmanager
def observed(broker: Broker) -> Iterator[Connected]:
    """Listen to what Mosquitto tells of its clients, once a second."""
    connected = Connected()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="observer")

    def on_message(_client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        # What is retained is of before.
        if not message.retain:
            connected.told(int(message.payload))

    def on_connect(*_: Any) -> None:
        client.subscribe(_TOPIC)

    client.on_connect = on_connect
    client.on_message = on_message
    client.connect(HOST, broker.plain)
    client.loop_start()
    try:
        yield connected
    finally:
        client.disconnect()
        client.loop_stop()


def wait_for_ports(wanted: int) -> None:
    """Wait until so many ports are free for clients, a minute at most: those just closed are kept back (Linux)."""
    ports, sockets = Path("/proc/sys/net/ipv4/ip_local_port_range"), Path("/proc/net/tcp")
    if not ports.is_file() or not sockets.is_file():
        return
    first, last = (int(word) for word in ports.read_text().split())
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        kept_back = sum(line.split()[3] == _TIME_WAIT for line in sockets.read_text().splitlines()[1:])
        if kept_back + wanted <= _ROOM * (last - first):
            return
        time.sleep(1)
