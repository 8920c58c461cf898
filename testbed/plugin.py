"""The pytest plugin: what tests of a project need of its deployment; docs/own-project.md has an example.

It is loaded in each run of pytest where the testbed is installed, so all else is imported when it is used.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessageInfo

    from testbed.deploy.deployment import Deployment
    from testbed.stations.mqtt import Device

PATIENCE_SECONDS = 30.0
# For an answer of the broker, which comes at once but on a machine that does ten other things.
_BROKER_SECONDS = 60.0

_RUN = "TESTBED_TEST_RUN"
_BROUGHT_UP = "brought-up-by-tests"
_LOG_LINES = 30

T = TypeVar("T")


class TestDevice:
    """A device with a certificate of its own that is connected by MQTT; ``heard`` has what it received."""

    __test__ = False  # its name starts with Test, and pytest would collect it

    def __init__(
        self,
        deployment: Deployment,
        name: str,
        *,
        client_id: str = "",
        certificate: bool = True,
        comes_back: bool = True,
    ) -> None:
        """Begin to connect as ``name``, which is enrolled; see `device` for the options."""
        from testbed.stations.mqtt import Device  # noqa: PLC0415

        self.name = name
        self.heard: list[tuple[str, bytes]] = []
        self._topic = deployment.telemetry_topic(name)
        self.connection: Device = Device(
            deployment.mqtt_host,
            deployment.mqtt_port,
            ca=deployment.server_ca,
            client_id=client_id or name,
            certificate=deployment.certificates / f"{name}.crt" if certificate else None,
            heard=lambda message: self.heard.append((message.topic, bytes(message.payload))),
            comes_back=comes_back,
        )

    def connected(self) -> bool:
        """Wait for the broker's answer; return whether it let the device in and has not ended the connection since."""
        return self.connection.connected(_BROKER_SECONDS)

    def gone(self) -> bool:
        """Return whether the connection was refused or has ended."""
        return self.connection.gone()

    def publish(self, payload: bytes | dict[str, Any], topic: str = "") -> None:
        """Publish at QoS 1 to the device's own topic, or to another, and wait for the acknowledgement.

        Raises:
            AssertionError: the broker did not acknowledge it.
        """
        sent = self.send(payload, topic)
        with suppress(RuntimeError):  # not connected, or not any more
            sent.wait_for_publish(_BROKER_SECONDS)
        assert sent.is_published(), f"{self.name}: not acknowledged"  # noqa: S101

    def send(self, payload: bytes | dict[str, Any], topic: str = "") -> MQTTMessageInfo:
        """Publish at QoS 1 and wait for nothing: what the broker may refuse."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        return self.connection.client.publish(topic or self._topic, body, qos=1)

    def close(self) -> None:
        """Disconnect as a client should."""
        self.connection.close()

    def drop(self) -> None:
        """End the connection without a farewell, as a lost network does."""
        self.connection.drop()

    def subscribe(self, topic: str) -> None:
        """Subscribe at QoS 1; what comes is in ``heard``."""
        self.connection.client.subscribe(topic, qos=1)


def eventually_true(condition: Callable[[], T], seconds: float = PATIENCE_SECONDS) -> T:
    """Wait until ``condition()`` is true, and return what it gave.

    Raises:
        AssertionError: it was not, in time.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"Not true within {seconds:g} s: it gave {value!r}")
        time.sleep(0.05)
    return value


@pytest.fixture(scope="session")
def testbed() -> Deployment:
    """Provide the deployment of the project: the one that is up, or one that is brought up for this run."""
    from testbed.deploy import lifecycle  # noqa: PLC0415
    from testbed.deploy.deployment import current  # noqa: PLC0415
    from testbed.deploy.settings import Settings  # noqa: PLC0415
    from testbed.errors import TestbedError  # noqa: PLC0415
    from testbed.host import locks  # noqa: PLC0415

    settings = Settings.from_environment()
    # Of several test processes one brings it up, and the others find it.
    with locks.exclusive("tests"):
        try:
            return current(settings)
        except TestbedError:
            up = lifecycle.up(settings, print, lambda _: False)
            (up.path / _BROUGHT_UP).write_text(os.environ.get(_RUN, ""))
            return up


@pytest.fixture
def device(testbed: Deployment) -> Iterator[Callable[..., TestDevice]]:
    """Provide ``device(name)``, which enrols a device and connects it; without a name it gets one of its own.

    It takes ``client_id``, if that is not the name; ``certificate=False`` to connect without one; ``comes_back=False``,
    so that a refusal or a lost connection ends it for good; and ``admitted=False`` where the broker may refuse it: then
    nothing is waited for, and ``connected()`` says what came of it.
    """
    from testbed.deploy.project import project  # noqa: PLC0415
    from testbed.deploy.stations import enrolment_of  # noqa: PLC0415

    enrolment = enrolment_of(testbed)
    before = set(enrolment.enrolled())
    made: list[TestDevice] = []

    def connect(
        name: str = "",
        *,
        client_id: str = "",
        certificate: bool = True,
        comes_back: bool = True,
        admitted: bool = True,
    ) -> TestDevice:
        name = name or f"{project().device_prefix}{uuid.uuid4().hex[:8]}"
        enrolment.enrol([name])
        one = TestDevice(testbed, name, client_id=client_id, certificate=certificate, comes_back=comes_back)
        made.append(one)
        assert not admitted or one.connected(), (  # noqa: S101
            f"The broker does not let {name} in: {one.connection.reasons}"
        )
        return one

    yield connect
    for one in made:
        one.close()
    enrolment.remove({one.name for one in made} - before)


@pytest.fixture
def fleet(testbed: Deployment, tmp_path: Path) -> Iterator[Callable[..., list[str]]]:
    """Provide ``fleet(devices, interval=1)``: devices that publish by the project's model in the test."""
    from simulator.messages import station_ids  # noqa: PLC0415
    from testbed.deploy.project import project  # noqa: PLC0415
    from testbed.deploy.stations import enrolment_of  # noqa: PLC0415
    from testbed.stations import simulation  # noqa: PLC0415

    enrolled: list[str] = []
    with ExitStack() as running:

        def start(devices: int, interval: float = 1) -> list[str]:
            prefix = f"{project().device_prefix}{uuid.uuid4().hex[:8]}-"
            log, extra = tmp_path / f"{prefix}simulator.log", ["--prefix", prefix]
            running.enter_context(simulation.started(testbed, devices, extra, log, interval))
            names = station_ids(devices, prefix)
            enrolled.extend(names)
            return names

        yield start
    enrolment_of(testbed).remove(enrolled)


@pytest.fixture
def aws(testbed: Deployment) -> Callable[[str], Any]:
    """Provide ``aws(service)``, a boto3 client of the deployment's cloud."""
    return testbed.client


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """Provide ``eventually(condition, seconds=30)``; see `eventually_true`."""
    return eventually_true


def pytest_configure(config: pytest.Config) -> None:
    """Give the run a name that its processes share."""
    if not hasattr(config, "workerinput"):
        os.environ[_RUN] = uuid.uuid4().hex


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Take down what this run has brought up; ``TESTBED_KEEP=1`` leaves it for the next one."""
    if hasattr(session.config, "workerinput") or os.environ.get("TESTBED_KEEP") == "1":
        return
    from testbed.errors import TestbedError  # noqa: PLC0415
    from testbed.paths import state_root  # noqa: PLC0415

    try:
        marks = list((state_root() / "deployments").glob(f"*/{_BROUGHT_UP}"))
    except TestbedError:  # no project here: a run of other tests
        return
    if any(mark.read_text() == os.environ[_RUN] for mark in marks):
        from testbed.deploy import lifecycle  # noqa: PLC0415
        from testbed.deploy.settings import Settings  # noqa: PLC0415

        lifecycle.down(Settings.from_environment(), print, lambda _: False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the newest log lines of functions, rules and broker with a test that failed."""
    report = yield
    deployment = getattr(item, "funcargs", {}).get("testbed")
    if report.failed and call.when == "call" and deployment is not None:
        from testbed.pipeline import logs  # noqa: PLC0415

        since = call.start - 1
        lines = [
            line
            for line in logs.newest(deployment, minutes=(time.time() - since) / 60, lines=_LOG_LINES)
            # Processes' logs reach further back than functions'.
            if line.when is None or line.when.timestamp() >= since
        ]
        report.sections.append(("Logs of the testbed", "\n".join(_text(line) for line in lines)))
    return report


def _text(line: Any) -> str:
    when = line.when.strftime("%H:%M:%S") if line.when else "-"
    fields = " ".join(f"{name}={value}" for name, value in line.fields.items())
    return f"{when} {line.source} {line.message} {fields}".rstrip()
