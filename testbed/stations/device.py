"""One device by hand: publish a message as a station, or listen to what all stations say."""

import difflib
import queue
import re
import time
from collections.abc import Callable

from paho.mqtt.client import MQTTMessage

from testbed.deploy.deployment import Deployment
from testbed.deploy.stations import enrolment_of
from testbed.errors import TestbedError
from testbed.stations import observers
from testbed.stations.mqtt import connected

# A thing's name may be longer; it is a certificate's common name here, which may not (RFC 5280, ub-common-name).
_NAME = re.compile(r"[A-Za-z0-9:_-]{1,64}", re.ASCII)


def check_name(station: str) -> None:
    """Check that a thing and a certificate can have this name.

    Raises:
        TestbedError: they cannot.
    """
    if not _NAME.fullmatch(station):
        raise TestbedError(
            f"{station!r} is no station's name.", "1 to 64 letters, digits, colons, underscores and hyphens."
        )


def publish(
    deployment: Deployment, station: str, *payloads: bytes, topic: str = "", enrol: bool = False
) -> bool:
    """Publish ``payloads`` as ``station``, with its certificate and at QoS 1, whatever they are.

    Args:
        deployment: where.
        station: its name.
        payloads: messages.
        topic: where to, if not to the station's own topic.
        enrol: whether a station that does not exist is made; it is a mistyped one otherwise.

    Returns:
        Whether it was enrolled for that.

    Raises:
        TestbedError: no thing can be named so, there is no such station, or the broker did not acknowledge one.
    """
    check_name(station)
    enrolment = enrolment_of(deployment)
    known = enrolment.enrolled()
    if station not in known and not enrol:
        similar = difflib.get_close_matches(station, known, n=3)
        raise TestbedError(
            f"There is no station {station} here.",
            (f"Did you mean {' or '.join(similar)}? " if similar else "")
            + "A new one is enrolled with --enrol.",
        )
    new = bool(enrolment.enrol([station]))
    with connected(deployment, deployment.certificates / f"{station}.crt") as device:
        if not all(device.deliver(topic or deployment.telemetry_topic(station), *payloads)):
            raise TestbedError(
                "The broker did not acknowledge the message.",
                "Does the thing policy allow that topic? See make logs.",
            )
    return new


def listen(
    deployment: Deployment, messages: int, seconds: float, say: Callable[[str], None], topic: str = ""
) -> int:
    """Print what stations publish, topic and payload, until ``messages`` were seen or ``seconds`` are over.

    ``topic`` is a topic filter, if not that of all stations. The listener is a device, too, with a certificate of its
    own and a policy that lets it read and not write.

    Returns:
        How many were seen.

    Raises:
        TestbedError: it is not a local deployment, or the broker does not let it in.
    """
    heard: queue.SimpleQueue[MQTTMessage] = queue.SimpleQueue()
    deadline, seen = time.monotonic() + seconds, 0
    with (
        observers.enrolled(deployment, "observer", topic) as certificate,
        connected(deployment, certificate, heard.put) as device,
    ):
        device.client.subscribe(topic or deployment.topic_filter, qos=0)
        while seen < messages:
            try:
                message = heard.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            seen += 1
            say(f"{message.topic} {message.payload.decode(errors='replace')}")
    return seen
