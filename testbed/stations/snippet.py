"""A device of the user's own: its certificate, and the lines with which the AWS IoT Device SDK connects as it."""

from pathlib import Path

from testbed.deploy.deployment import Deployment
from testbed.deploy.stations import enrolment_of
from testbed.stations.device import check_name

_SNIPPET = """\
# pip install awsiotsdk
import threading
from awscrt import mqtt5
from awsiot import mqtt5_client_builder

connected = threading.Event()
client = mqtt5_client_builder.mtls_from_path(
    endpoint="{host}",
    port={port},
    cert_filepath="{certificate}",
    pri_key_filepath="{key}",
    ca_filepath="{ca}",
    client_id="{name}",
    on_lifecycle_connection_success=lambda _: connected.set(),
    on_lifecycle_connection_failure=lambda failure: print(failure.exception),
)
client.start()
assert connected.wait(20)
done = client.publish(
    mqtt5.PublishPacket(
        topic="{topic}",
        payload='{{"station_id": "{name}", "battery_available": 3, "timestamp": "2026-01-01T00:00:00Z"}}',
        qos=mqtt5.QoS.AT_LEAST_ONCE,
    )
)
print(done.result(20).puback.reason_code)
client.stop()
"""


def add(deployment: Deployment, name: str) -> str:
    """Register a device, if it is not, and return the Python that connects as it.

    Raises:
        TestbedError: no thing can be named so.
    """
    check_name(name)
    enrolment_of(deployment).enrol([name])
    certificate = (deployment.certificates / f"{name}.crt").resolve()
    return _SNIPPET.format(
        host=deployment.mqtt_host,
        port=deployment.mqtt_port,
        certificate=certificate,
        key=certificate.with_suffix(".key"),
        ca=Path(deployment.server_ca).resolve(),
        name=name,
        topic=deployment.telemetry_topic(name),
    )
