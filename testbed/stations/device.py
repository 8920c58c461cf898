"""One device by hand: publish a message as a station, or listen to what all stations say."""

import queue
import re
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from testbed.deploy.deployment import Deployment
from testbed.deploy.stations import enrolment_of
from testbed.errors import TestbedError
from testbed.stations import observers

_PATIENCE_SECONDS = 20.0
# A thing's name may be longer; it is a certificate's common name here, which may not (RFC 5280, ub-common-name).
_NAME = re.compile(r"[A-Za-z0-9:_-]{1,64}", re.ASCII)


def publish(deployment: Deployment, station: str, *payloads: bytes) -> bool:
    """Publish ``payloads`` as ``station`` says it, with its certificate and at QoS 1, whatever they are.

    Returns:
        Whether it was enrolled for that.

    Raises:
        TestbedError: no thing can be named so, or the broker did not acknowledge one.
    """
    if not _NAME.fullmatch(station):
        raise TestbedError(
            f"{station!r} is no station's name.", "1 to 64 letters, digits, colons, underscores and hyphens."
        )
    new = bool(enrolment_of(deployment).enrol([station]))
    with _connected(deployment, deployment.certificates, station) as client:
        topic = deployment.telemetry_topic(station)
        sent = [client.publish(topic, payload, qos=1) for payload in payloads]
        # It is raised when the connection has gone; whether the message has gone out is the question.
        with suppress(RuntimeError):
            for message in sent:
                message.wait_for_publish(_PATIENCE_SECONDS)
        if not all(message.is_published() for message in sent):
            raise TestbedError("The broker did not acknowledge the message.", "See make logs.")
    return new


def listen(deployment: Deployment, messages: int, seconds: float, say: Callable[[str], None]) -> int:
    """Print what stations publish, topic and payload, until ``messages`` were seen or ``seconds`` are over.

    The listener is a device, too, with a certificate of its own and a policy that lets it read and not write.

    Returns:
        How many were seen.

    Raises:
        TestbedError: it is not a local deployment, or the broker does not let it in.
    """
    heard: queue.SimpleQueue[mqtt.MQTTMessage] = queue.SimpleQueue()
    deadline, seen = time.monotonic() + seconds, 0
    with (
        observers.enrolled(deployment, "observer") as certificate,
        _connected(deployment, certificate.parent, certificate.stem, heard.put) as client,
    ):
        client.subscribe(deployment.topic_filter, qos=0)
        while seen < messages:
            try:
                message = heard.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            seen += 1
            say(f"{message.topic} {message.payload.decode(errors='replace')}")
    return seen


@contextmanager
def _connected(
    deployment: Deployment,
    certificates: Path,
    name: str,
    heard: Callable[[mqtt.MQTTMessage], None] = lambda _: None,
) -> Iterator[mqtt.Client]:
    context = ssl.create_default_context(cafile=str(deployment.server_ca))
    context.load_cert_chain(certificates / f"{name}.crt", certificates / f"{name}.key")
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name)
    client.tls_set_context(context)
    client.on_message = lambda _client, _data, message: heard(message)
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    client.on_connect = lambda _client, _data, _flags, reason, _properties: answers.put(reason)
    try:
        client.connect(deployment.mqtt_host, deployment.mqtt_port)
        client.loop_start()
        reason = answers.get(timeout=_PATIENCE_SECONDS)
    except (OSError, queue.Empty) as error:
        raise TestbedError(f"{name} cannot connect to the broker: {error!r}.", "See make status.") from error
    try:
        if reason.is_failure:
            raise TestbedError(f"The broker refuses {name}: {reason}.", "See make logs.")
        yield client
    finally:
        client.disconnect()
        client.loop_stop()
