"""A broker and a bridge of their own, as child processes, against the shared emulator."""

import json
import re
import ssl
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from bridge.authority import Authority
from testbed.engines.base import Place, Ports
from testbed.engines.embedded import EmbeddedEngine
from testbed.engines.localstack import LocalStackEngine
from testbed.engines.mosquitto import ensure_mosquitto
from testbed.errors import TestbedError
from testbed.host import emulated, ports
from testbed.host.processes import Process
from testbed.identity.enrolment import Enrolment
from tests.integration.bridge.five import Five, MakeFive
from tests.integration.conftest import REGION, AwsEmulator

PATIENCE_SECONDS = 60.0
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "iot:Connect",
            "Resource": "arn:aws:iot:*:*:client/${iot:Connection.Thing.ThingName}",
        },
        {
            "Effect": "Allow",
            "Action": ["iot:Publish", "iot:Receive", "iot:RetainPublish"],
            "Resource": [
                "arn:aws:iot:*:*:topic/t/${iot:Connection.Thing.ThingName}/*",
                "arn:aws:iot:*:*:topic/$aws/rules/*",
                "arn:aws:iot:*:*:topic/$aws/things/${iot:Connection.Thing.ThingName}/*",
                "arn:aws:iot:*:*:topic/$aws/things/${iot:Connection.Thing.ThingName}/*",
            ],
        },
        {
            "Effect": "Allow",
            "Action": "iot:Subscribe",
            "Resource": [
                "arn:aws:iot:*:*:topicfilter/t/${iot:ClientId}/*",
                "arn:aws:iot:*:*:topicfilter/$share/*/t/${iot:ClientId}/*",
                "arn:aws:iot:*:*:topicfilter/$aws/things/${iot:ClientId}/*",
            ],
        },
    ],
}


# For what does not depend on the broker.
ONE_RULES_ENGINE = pytest.mark.own_broker("either broker has the same rules engine beside it")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out with Mosquitto what is marked ``own_broker(why)``."""
    theirs = [item for item in items if item.get_closest_marker("own_broker") and "mosquitto" in item.name]
    config.hook.pytest_deselected(items=theirs)
    items[:] = [item for item in items if item not in theirs]


class MosquittoEngine(EmbeddedEngine):
    """The embedded engine, with Mosquitto for its broker as LocalStack's has it."""

    start_broker = LocalStackEngine.start_broker
    start_bridge = LocalStackEngine.start_bridge
    start_data_plane = LocalStackEngine.start_data_plane
    wait_admitted = LocalStackEngine.wait_admitted


class Stack:
    """The running broker, bridge and data plane."""

    def __init__(self, place: Place, emulator: AwsEmulator, engine: EmbeddedEngine) -> None:
        self.place = place
        self.emulator = emulator
        self.authority = Authority.load_or_create(place.certificates / "authority", name="test CA")
        self.authority.server("localhost", "127.0.0.1").write(
            place.certificates / "server.crt", place.certificates / "server.key"
        )
        self.engine = engine
        self.processes: dict[str, Process] = {}
        self.start()

    @property
    def is_mosquitto(self) -> bool:
        """Tell whether the broker grants and drops, as Mosquitto does, where AWS refuses or closes the connection."""
        return isinstance(self.engine, MosquittoEngine)

    def start(self) -> None:
        """Start all three."""
        self.restart_broker()
        self.restart_bridge()
        self.restart_data_plane()

    def restart_bridge(self) -> None:
        """Start the bridge (again, when it is dead)."""
        self.processes["bridge"] = self.engine.start_bridge(self.place)

    def restart_broker(self) -> None:
        """Start the broker (again, when it is dead; the bridge finds it by itself)."""
        self.processes["broker"] = self.engine.start_broker(self.place)

    def restart_data_plane(self) -> None:
        """Start the data plane (again, when it is dead)."""
        self.processes["data-plane"] = self.engine.start_data_plane(self.place)

    def health(self) -> dict[str, Any]:
        """Read what the bridge says of itself."""
        url = f"http://127.0.0.1:{self.place.ports.metrics}/health"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                health: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                health = json.load(error)
        return health

    def metric(self, name: str) -> float:
        """Sum a metric over its labels."""
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.place.ports.metrics}/metrics", timeout=5
        ) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if re.match(rf"{name}[{{ ]", line))


@pytest.fixture(scope="session", params=["own", "mosquitto"])
def stack(
    request: pytest.FixtureRequest, aws_emulator: AwsEmulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Start a broker and a bridge with one rule that nothing matches: the bridge is ready when it has rules."""
    if request.param == "mosquitto":
        try:
            ensure_mosquitto()
        except TestbedError as error:
            pytest.skip(str(error))
    iot = aws_emulator.client("iot")
    iot.create_policy(policyName="bridge-test", policyDocument=json.dumps(POLICY))
    queue = aws_emulator.client("sqs").create_queue(QueueName="idle")["QueueUrl"]
    iot.create_topic_rule(ruleName="idle", topicRulePayload=payload("SELECT * FROM 'nothing'", sqs(queue)))
    aws_port = urlsplit(aws_emulator.url).port or 0
    mqtt_port, metrics, broker, websocket, https = (ports.choose(None, what="a test") for _ in range(5))
    place = Place(
        tmp_path_factory.mktemp("stack"),
        Ports(
            aws_port,
            mqtt_port,
            metrics,
            broker=broker,
            data=aws_emulator.data_port,
            websocket=websocket,
            https=https,
        ),
        REGION,
    )
    running = Stack(
        place, aws_emulator, MosquittoEngine() if request.param == "mosquitto" else EmbeddedEngine()
    )
    yield running
    for process in running.processes.values():
        process.stop()
    iot.delete_topic_rule(ruleName="idle")
    iot.delete_policy(policyName="bridge-test")


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Make a name of this test's own, fit for a thing, a queue and a topic level."""
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower()).strip("-")
    return f"{words[:30].strip('-')}-{uuid.uuid4().hex[:6]}"


@pytest.fixture
def enrolment(stack: Stack) -> Enrolment:
    """Provide what enrols devices."""
    session = emulated.session(REGION)
    folder = stack.place.certificates / "devices"
    return Enrolment(
        session,
        stack.emulator.url,
        authority=stack.authority,
        policy="bridge-test",
        folder=folder,
        admitted=lambda names: stack.engine.wait_admitted(stack.place, names),
    )


class Device:
    """A client that publishes until it is acknowledged, over as many connections as that takes."""

    def __init__(
        self,
        stack: Stack,
        client_id: str,
        folder: Path,
        *,
        will: str | None = None,
        host: str = "localhost",
        protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv311,
    ) -> None:
        self.name = client_id
        self.acknowledged: set[int] = set()
        self.received: list[tuple[str, bytes]] = []
        self.connected, self.refused = threading.Event(), threading.Event()
        self.subscribed: list[Any] = []
        context = ssl.create_default_context(cafile=str(stack.authority.path))
        context.load_cert_chain(folder / f"{client_id}.crt", folder / f"{client_id}.key")
        clean = {} if protocol == MQTTProtocolVersion.MQTTv5 else {"clean_session": False}
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=protocol, **clean
        )
        self.client.tls_set_context(context)
        self.client.reconnect_delay_set(1, 1)
        self.client.max_inflight_messages_set(50)
        if will:
            self.client.will_set(will, b"gone", qos=1)
        self.client.on_connect = self._on_connect
        self.client.on_publish = lambda _c, _d, mid, _r, _p: self.acknowledged.add(mid)
        self.client.on_message = lambda _c, _d, message: self.received.append(
            (message.topic, message.payload)
        )
        self.client.on_subscribe = lambda _c, _d, _m, reasons, _p: self.subscribed.extend(reasons)
        try:
            self.client.connect(host, stack.place.ports.mqtt, keepalive=20)
        except OSError:
            self.refused.set()
        self.client.loop_start()

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        (self.refused if reason.is_failure else self.connected).set()

    def publish(self, topic: str, document: Any) -> int:
        """Publish at QoS 1; the message is sent again over the next connection if this one ends."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.client.publish(topic, body, qos=1).mid

    def close(self) -> None:
        """Disconnect."""
        self.client.disconnect()
        self.client.loop_stop()
        # paho leaves a pair of sockets to the garbage collector, which warns if it sees them before the client.
        self.client._reset_sockets()


MakeDevice = Callable[..., Device]


@pytest.fixture
def device(stack: Stack, enrolment: Enrolment) -> Iterator[MakeDevice]:
    """Provide ``device(name, will=topic, protocol=...)``: it enrols a device and connects it."""
    made: list[Device] = []

    def make(device_name: str, **options: Any) -> Device:
        enrolment.enrol([device_name])
        made.append(Device(stack, device_name, stack.place.certificates / "devices", **options))
        assert made[-1].connected.wait(PATIENCE_SECONDS)
        return made[-1]

    yield make
    for one in made:
        one.close()
    enrolment.remove([one.name for one in made])


@pytest.fixture
def five(stack: Stack, enrolment: Enrolment) -> Iterator[MakeFive]:
    """``five(name)``: enrolled and connected."""
    made: list[Five] = []
    enrolled: set[str] = set()

    def make(name: str, **options: Any) -> Five:
        if name not in enrolled:
            enrolment.enrol([name])
            enrolled.add(name)
        made.append(Five(stack, name, **options))
        assert made[-1].connected.wait(PATIENCE_SECONDS)
        return made[-1]

    yield make
    for one in made:
        one.close()
    enrolment.remove(sorted(enrolled))


class Rules:
    """Makes rules, and waits until the bridge has them."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._iot = stack.emulator.client("iot")
        self.made: list[str] = []

    def add(
        self, rule: str, sql: str, *actions: Any, error_action: Any = None, refused: bool = False
    ) -> None:
        """Create a rule."""
        self._iot.create_topic_rule(
            ruleName=rule, topicRulePayload=payload(sql, *actions, error_action=error_action)
        )
        self.made.append(rule)
        key = "refused" if refused else "rules"
        assert wait_for(lambda: rule in self._stack.health()[key]), self._stack.health()

    def remove(self) -> None:
        """Delete what was made."""
        for rule in self.made:
            self._iot.delete_topic_rule(ruleName=rule)
        assert wait_for(lambda: not set(self.made) & set(self._stack.health()["rules"]))


@pytest.fixture
def rules(stack: Stack) -> Iterator[Rules]:
    """Provide what makes rules of this test."""
    made = Rules(stack)
    yield made
    made.remove()


@pytest.fixture
def queue(stack: Stack, name: str) -> str:
    """Make a queue of this test's own, and return its URL."""
    url: str = stack.emulator.client("sqs").create_queue(QueueName=name)["QueueUrl"]
    return url


def payload(sql: str, *actions: Any, error_action: Any = None) -> dict[str, Any]:
    """Write a rule's definition for the API."""
    definition = {"sql": sql, "awsIotSqlVersion": "2016-03-23", "actions": list(actions)}
    return definition | ({"errorAction": error_action} if error_action else {})


def sqs(queue_url: str) -> dict[str, Any]:
    """Write an SQS action."""
    return {"sqs": {"queueUrl": queue_url, "roleArn": "arn:aws:iam::000000000000:role/r", "useBase64": False}}


def drain(stack: Stack, queue_url: str) -> list[Any]:
    """Take everything out of a queue."""
    client, bodies = stack.emulator.client("sqs"), []
    while messages := client.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10).get("Messages", []):
        for message in messages:
            bodies.append(json.loads(message["Body"]))
            client.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
    return bodies


def wait_for(condition: Callable[[], Any], *, seconds: float = PATIENCE_SECONDS) -> Any:
    """Wait until ``condition()`` is true; its last value when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() > deadline:
            return value
        time.sleep(0.05)
