"""The package by itself: its wheel in an empty environment is a local AWS IoT Core in one command (docs/bridge.md)."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import paho.mqtt.client as mqtt
import pytest
from awscrt import auth, mqtt5
from awsiot import mqtt5_client_builder

from testbed.host import ports, processes
from testbed.paths import REPOSITORY
from tests.integration.bridge.conftest import PATIENCE_SECONDS, payload, sqs, wait_for

_REGION = "us-east-1"
_PORTS = ("aws", "mqtt", "websocket", "data", "https", "metrics")


@dataclass(frozen=True)
class Core:
    """What runs: its ports by name, and the authority's certificate."""

    ports: dict[str, int]
    authority: Path

    def client(self, service: str) -> Any:
        """Make a boto3 client."""
        session = boto3.Session("test", "test", region_name=_REGION)
        return session.client(service, endpoint_url=f"http://127.0.0.1:{self.ports['aws']}")  # type: ignore[call-overload]


def _uv(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "uv", *arguments, "--quiet"], check=True)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the installed command."""
    folder = tmp_path_factory.mktemp("wheel")
    _uv("build", "--wheel", str(REPOSITORY / "bridge"), "--out-dir", str(folder))
    [wheel] = folder.glob("*.whl")
    _uv("venv", str(folder / "venv"))
    _uv("pip", "install", "--python", str(folder / "venv" / "bin" / "python"), f"{wheel}[ministack]")
    return folder / "venv" / "bin" / "aws-iot-bridge"


@pytest.fixture(scope="module")
def core(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    """Run it."""
    folder = tmp_path_factory.mktemp("core")
    free = {name: ports.choose(None, what="a test") for name in _PORTS}
    command = [str(program), "up", *(f"--{name}-port={value}" for name, value in free.items())]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, text=True, env=processes.clean_environment()
    ) as running:
        assert running.stdout is not None
        said = "".join(iter(running.stdout.readline, "")) if running.poll() else running.stdout.readline()
        try:
            assert "AWS IoT Core is up" in said
            yield Core(free, folder / ".aws-iot" / "certificates" / "ca.crt")
        finally:
            os.kill(running.pid, signal.SIGINT)
            assert running.wait(PATIENCE_SECONDS) == 0


def test_a_device_made_with_boto3_connects_and_its_rule_and_shadow_work(core: Core, tmp_path: Path) -> None:
    iot, queues = core.client("iot"), core.client("sqs")
    made = iot.create_keys_and_certificate(setAsActive=True)
    (tmp_path / "device.pem").write_text(made["certificatePem"])
    (tmp_path / "device.key").write_text(made["keyPair"]["PrivateKey"])
    statement = {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}
    iot.create_policy(
        policyName="all", policyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    iot.attach_policy(policyName="all", target=made["certificateArn"])
    queue = queues.create_queue(QueueName="up")["QueueUrl"]
    iot.create_topic_rule(ruleName="up", topicRulePayload=payload("SELECT * FROM 't/up'", sqs(queue)))

    deltas: list[Any] = []
    subscribed = threading.Event()
    device = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="up", protocol=mqtt.MQTTv5)
    device.tls_set(str(core.authority), str(tmp_path / "device.pem"), str(tmp_path / "device.key"))
    device.on_subscribe = lambda *_: subscribed.set()
    device.on_message = lambda _c, _d, message: deltas.append(json.loads(message.payload)["state"])
    device.connect("localhost", core.ports["mqtt"])
    device.loop_start()
    try:
        assert wait_for(device.is_connected)
        device.subscribe("$aws/things/up/shadow/update/delta", qos=1)
        assert subscribed.wait(PATIENCE_SECONDS)
        core.client("iot-data").update_thing_shadow(
            thingName="up", payload=b'{"state": {"desired": {"on": true}}}'
        )
        assert wait_for(lambda: deltas) == [{"on": True}]

        def told() -> bool:
            # Until the bridge has read the rule, which takes a second.
            device.publish("t/up", b'{"n": 1}', qos=1)
            return "Messages" in queues.receive_message(QueueUrl=queue, WaitTimeSeconds=1)

        assert wait_for(told)
    finally:
        device.disconnect()
        device.loop_stop()


def test_the_device_sdk_connects_over_websocket_with_the_credentials_of_the_welcome(core: Core) -> None:
    received: list[bytes] = []
    connected, stopped = threading.Event(), threading.Event()
    client = mqtt5_client_builder.websockets_with_default_aws_signing(
        endpoint="localhost",
        port=core.ports["websocket"],
        region=_REGION,
        credentials_provider=auth.AwsCredentialsProvider.new_static("test", "test"),
        ca_filepath=str(core.authority),
        client_id="signed",
        on_publish_received=lambda data: received.append(data.publish_packet.payload),
        on_lifecycle_connection_success=lambda _: connected.set(),
        on_lifecycle_stopped=lambda _: stopped.set(),
    )
    client.start()
    assert connected.wait(PATIENCE_SECONDS)
    asked = mqtt5.SubscribePacket([mqtt5.Subscription("t/signed", mqtt5.QoS.AT_LEAST_ONCE)])
    client.subscribe(asked).result(PATIENCE_SECONDS)
    sent = mqtt5.PublishPacket(topic="t/signed", payload=b"x", qos=mqtt5.QoS.AT_LEAST_ONCE)
    client.publish(sent).result(PATIENCE_SECONDS)
    assert wait_for(lambda: received) == [b"x"]
    client.stop()
    assert stopped.wait(PATIENCE_SECONDS)


def test_a_taken_port_is_refused_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "bridge", "up", "--data-dir", str(tmp_path), "--mqtt-port", str(port)],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert f"port {port} is taken by another program: choose another with --mqtt-port" in done.stderr
