"""The short form of `make clients`, on both brokers: every client that is installed is served."""

from testbed.deploy.deployment import Deployment
from testbed.deploy.outputs import Outputs
from testbed.drills.clients import runner
from tests.integration.bridge.conftest import Stack


def test_each_client_is_at_home(stack: Stack) -> None:
    place = stack.place
    deployment = Deployment(
        target="local",
        # Mosquitto is LocalStack's broker, and what such a deployment lacks is what is left out.
        engine_name="localstack" if stack.is_mosquitto else "embedded",
        name="clients",
        region=place.region,
        environment="dev",
        folder=str(place.folder),
        air_gapped=True,
        ports=place.ports,
        applied=Outputs(iot_policy_name="bridge-test"),
        aws_url=stack.emulator.url,
        iot_url=stack.emulator.url,
        mqtt_host="localhost",
        mqtt_port=place.ports.mqtt,
    )
    results = runner.run(deployment)
    assert [(one.client.name, one.client.protocol, one.why) for one in results if one.state == "failed"] == []
    served = {(one.client.module, one.client.protocol) for one in results if one.state == "ok"}
    for always in ("device_sdk", "paho_mqtt", "aio_mqtt"):
        assert {(always, "MQTT 3.1.1"), (always, "MQTT 5")} <= served
    assert ("boto", "HTTPS") in served
