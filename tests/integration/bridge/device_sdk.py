"""AWS's device SDK, connected as its samples do it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from awscrt import mqtt, mqtt_request_response
from awsiot import mqtt_connection_builder

if TYPE_CHECKING:
    from tests.integration.bridge.conftest import Stack

_PATIENCE_SECONDS = 60.0
# What the service clients of the SDK's samples ask for.
OPTIONS = mqtt_request_response.ClientOptions(
    max_request_response_subscriptions=4, max_streaming_subscriptions=2, operation_timeout_in_seconds=30
)


@contextmanager
def connected(stack: "Stack", name: str) -> Iterator[mqtt.Connection]:
    """Connect a device that is enrolled by MQTT 3.1.1, and disconnect it at the end."""
    folder = stack.place.certificates / "devices"
    connection = mqtt_connection_builder.mtls_from_path(
        cert_filepath=str(folder / f"{name}.crt"),
        pri_key_filepath=str(folder / f"{name}.key"),
        ca_filepath=str(stack.authority.path),
        endpoint="localhost",
        port=stack.place.ports.mqtt,
        client_id=name,
    )
    connection.connect().result(_PATIENCE_SECONDS)
    yield connection
    connection.disconnect().result(_PATIENCE_SECONDS)
