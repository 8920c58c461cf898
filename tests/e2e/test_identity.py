"""A station speaks for itself alone."""

import json

from testbed.deploy.deployment import Deployment
from testbed.identity.enrolment import Enrolment
from tests.e2e.conftest import Connect, now, station_in_api, wait_for


def test_without_a_certificate_nobody_gets_in(connect: Connect, name: str) -> None:
    assert not connect(name, certificate=False).connected()


def test_a_station_cannot_publish_as_another(deployment: Deployment, connect: Connect, name: str) -> None:
    """AWS IoT closes the connection; whatever the broker does, the message goes nowhere."""
    victim, thief = connect(f"{name}-victim"), connect(f"{name}-thief")
    assert thief.connected()
    forged = {"station_id": victim.name, "battery_available": 13, "timestamp": now()}
    thief.send(json.dumps(forged).encode(), f"ev-swap/stations/{victim.name}/telemetry")

    # What the victim says afterwards is the first thing that is heard of it.
    victim.publish(json.dumps(forged | {"battery_available": 1, "timestamp": forged["timestamp"]}).encode())
    served = wait_for(lambda: station_in_api(deployment, victim.name))
    assert served
    assert served["battery_available"] == 1


def test_a_station_cannot_connect_as_another(connect: Connect, name: str) -> None:
    """The other's connection stays, and the thief has no connection of that name."""
    victim = connect(f"{name}-victim")
    assert victim.connected()
    thief = connect(f"{name}-thief", client_id=victim.name)
    thief.connected()
    assert victim.connected()


def test_a_deactivated_certificate_is_refused_within_seconds(
    connect: Connect, enrolment: Enrolment, name: str
) -> None:
    station = connect(name)
    assert station.connected()
    enrolment.deactivate(name)
    assert wait_for(lambda: not connect(name).connected(), seconds=30)
