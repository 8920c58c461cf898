"""Publish as fast as told, by a few MQTT clients."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from simulator.ledger import Ledger
from testbed.errors import TestbedError
from testbed.stations.mqtt import Device

_PATIENCE_SECONDS = 120.0

Payload = Callable[[str, int], dict[str, Any]]


def telemetry(run_id: str, first_sequence: int = 1) -> Payload:
    """Return what makes a station's message of ``(station, number)``; ``run_id`` is part of its id."""

    def payload(name: str, number: int) -> dict[str, Any]:
        sequence = first_sequence + number
        return {
            "station_id": name,
            "battery_available": number % 13,
            "sequence": sequence,
            "message_id": f"{name}-{run_id}-{sequence}",
            "slots": 13,
            "temperature_c": 21.5,
            "status": "OK",
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }

    return payload


class LoadClients:
    """The connected clients, one for each name."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        ca: Path,
        certificates: Path | None,
        names: Sequence[str],
        ledger: Path | None = None,
    ) -> None:
        """Connect; with the certificate of each name, if there are any. ``ledger`` is for `make audit`'s eyes."""
        self._devices: list[tuple[str, Device]] = []
        self._acknowledged = 0
        self._condition = threading.Condition()
        self._ledger = Ledger(ledger)
        for name in names:
            certificate = certificates / f"{name}.crt" if certificates else None
            device = Device(host, port, ca=ca, client_id=name, certificate=certificate)
            if not device.connected():
                raise TestbedError(
                    f"{name} cannot connect to the broker: {device.reasons}.", "See make logs."
                )
            device.client.on_publish = self._on_publish
            self._devices.append((name, device))

    def _on_publish(self, *_: Any) -> None:
        with self._condition:
            self._acknowledged += 1
            self._condition.notify_all()

    def send(self, topic: str, payload: Payload, count: int, rate: float = 0) -> float:
        """Publish ``count`` messages at QoS 1, ``rate`` a second (0: as fast as it goes), until all are acknowledged.

        Returns:
            The seconds it took.

        Raises:
            TestbedError: they were not acknowledged in two minutes.
        """
        begun, before = time.monotonic(), self._acknowledged
        sent = []
        for number in range(count):
            name, device = self._devices[number % len(self._devices)]
            message = payload(name, number)
            device.client.publish(topic.format(name=name), json.dumps(message), qos=1)
            if self._ledger.kept:
                sent.append(message)
            if rate:
                time.sleep(max(0.0, begun + number / rate - time.monotonic()))
        with self._condition:
            if not self._condition.wait_for(lambda: self._acknowledged - before >= count, _PATIENCE_SECONDS):
                raise TestbedError(
                    f"Only {self._acknowledged - before} of {count} publishes were acknowledged."
                )
        spent = time.monotonic() - begun
        for message in sent:
            self._ledger.add(*(message[key] for key in ("message_id", "station_id", "sequence", "timestamp")))
        self._ledger.flush()
        return spent

    def close(self) -> None:
        """Disconnect all."""
        for _, device in self._devices:
            device.close()
        self._ledger.close()
