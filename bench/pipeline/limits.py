"""AWS IoT's limit of publishes a second, lifted while a bench runs.

A bench's few clients stand for many devices each, so the limit of a connection would be what is measured.
"""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from bridge.topics import LIMITS_TOPIC
from testbed.deploy.deployment import Deployment
from testbed.engines.bridge import OPERATOR, client_certificate
from testbed.errors import TestbedError

_AWS = 100
_PATIENCE_SECONDS = 20.0


@contextmanager
def lifted(deployment: Deployment) -> Iterator[None]:
    """Lift the limit for connections that are made meanwhile; a broker without it takes no notice.

    Raises:
        TestbedError: the broker does not answer.
    """
    if deployment.engine is None:
        yield
        return
    _set(deployment, 0)
    try:
        yield
    finally:
        _set(deployment, _AWS)


def _set(deployment: Deployment, per_second: int) -> None:
    certificate = client_certificate(deployment.place, OPERATOR)
    context = ssl.create_default_context(cafile=str(deployment.server_ca))
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=OPERATOR)
    client.tls_set_context(context)
    try:
        client.connect(deployment.mqtt_host, deployment.mqtt_port)
        client.loop_start()
        said = client.publish(LIMITS_TOPIC, json.dumps({"publishesPerSecond": per_second}), qos=1)
        said.wait_for_publish(_PATIENCE_SECONDS)
        if not said.is_published():
            raise TestbedError("The broker does not take a new limit of publishes.", "See make logs.")
    except OSError as error:
        raise TestbedError(f"The broker does not answer: {error}.", "See make status.") from error
    finally:
        client.disconnect()
        client.loop_stop()
