"""The package by itself: its wheel in an empty environment is a local AWS IoT Core in one command (docs/bridge.md)."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import paho.mqtt.client as mqtt
import pytest

from testbed.host import ports, processes
from testbed.paths import REPOSITORY
from tests.integration.bridge.conftest import PATIENCE_SECONDS, payload, sqs, wait_for

_REGION = "us-east-1"


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
def core(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, int, Path]]:
    """Make a function that makes boto3 clients, the MQTT port, and the authority's certificate."""
    folder = tmp_path_factory.mktemp("core")
    aws, mqtt_port, data, metrics = (ports.choose(None, what="a test") for _ in range(4))
    options = {"aws-port": aws, "mqtt-port": mqtt_port, "data-port": data, "metrics-port": metrics}
    command = [str(program), "up", *(f"--{name}={value}" for name, value in options.items())]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, text=True, env=processes.clean_environment()
    ) as running:
        assert running.stdout is not None
        said = "".join(iter(running.stdout.readline, "")) if running.poll() else running.stdout.readline()
        try:
            assert "AWS IoT Core is up" in said
            session = boto3.Session("test", "test", region_name=_REGION)

            def client(service: str) -> Any:
                return session.client(service, endpoint_url=f"http://127.0.0.1:{aws}")  # type: ignore[call-overload]

            yield client, mqtt_port, folder / ".aws-iot" / "certificates" / "ca.crt"
        finally:
            os.kill(running.pid, signal.SIGINT)
            assert running.wait(PATIENCE_SECONDS) == 0


def test_a_device_made_with_boto3_connects_and_its_rule_and_shadow_work(
    core: tuple[Any, int, Path], tmp_path: Path
) -> None:
    client, port, authority = core
    iot, queues = client("iot"), client("sqs")
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
    device.tls_set(str(authority), str(tmp_path / "device.pem"), str(tmp_path / "device.key"))
    device.on_subscribe = lambda *_: subscribed.set()
    device.on_message = lambda _c, _d, message: deltas.append(json.loads(message.payload)["state"])
    device.connect("localhost", port)
    device.loop_start()
    try:
        assert wait_for(device.is_connected)
        device.subscribe("$aws/things/up/shadow/update/delta", qos=1)
        assert subscribed.wait(PATIENCE_SECONDS)
        client("iot-data").update_thing_shadow(
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
