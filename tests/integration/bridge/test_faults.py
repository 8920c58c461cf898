"""Processes die in the middle of load, and nothing that was acknowledged is missing."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from testbed.engines.bridge import bridge_options
from testbed.engines.embedded import EmbeddedEngine
from testbed.host import ports
from testbed.identity.enrolment import Enrolment
from testbed.paths import REPOSITORY
from tests.integration.bridge.conftest import (
    PATIENCE_SECONDS,
    Device,
    MakeDevice,
    Rules,
    Stack,
    drain,
    sqs,
    wait_for,
)

# `make drills WHAT=bridge-faults` runs the long form.
MESSAGES = int(os.environ.get("BRIDGE_MESSAGES", "500"))
AWAY_SECONDS = float(os.environ.get("BRIDGE_AWAY_SECONDS", "5"))


def publish_and_break(stack: Stack, sender: Device, queue: str, break_it: Callable[[], None]) -> set[int]:
    """Publish MESSAGES, break something a third of the way, and return what arrived in the end."""
    acknowledged: dict[int, int] = {}
    for number in range(MESSAGES):
        acknowledged[sender.publish(f"t/{sender.name}/a", {"n": number})] = number
        if number == MESSAGES // 3:
            break_it()
        time.sleep(0.001)
    assert wait_for(lambda: len(sender.acknowledged & set(acknowledged)) == MESSAGES), (
        "all must be acknowledged"
    )
    arrived: set[int] = set()
    wait_for(lambda: arrived.update(one["n"] for one in drain(stack, queue)) or len(arrived) == MESSAGES)
    return arrived


def test_a_killed_bridge_loses_nothing(
    stack: Stack, device: MakeDevice, rules: Rules, queue: str, name: str
) -> None:
    """The broker keeps what the bridge had not acknowledged."""
    rules.add("killed_bridge", f"SELECT n FROM 't/{name}/a'", sqs(queue))

    def kill() -> None:
        stack.processes["bridge"].stop(kill=True)
        stack.restart_bridge()

    assert publish_and_break(stack, device(name), queue, kill) == set(range(MESSAGES))


def test_a_second_bridge_ends_and_the_first_goes_on(
    stack: Stack, device: MakeDevice, rules: Rules, queue: str, name: str, tmp_path: Path
) -> None:
    """Both have one session: each message would go to either of them, and each would end the other's connection."""
    rules.add("second_bridge", f"SELECT n FROM 't/{name}/a'", sqs(queue))
    other = replace(stack.place.ports, metrics=ports.choose(None, what="a second bridge"))
    place, output = replace(stack.place, ports=other), tmp_path / "second.log"
    command = [
        sys.executable,
        "-m",
        "bridge.runtime",
        *bridge_options(place, EmbeddedEngine().endpoints(place)),
    ]
    command.append("--infer-publishers" if stack.is_mosquitto else "--names-publishers")
    with output.open("w") as log:
        second = subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=log)

    def ended() -> None:
        try:
            assert second.wait(PATIENCE_SECONDS) == 1, output.read_text()
        finally:
            second.kill()

    assert publish_and_break(stack, device(name), queue, ended) == set(range(MESSAGES))
    assert "another bridge has the session" in output.read_text()
    assert wait_for(lambda: stack.health()["connected"])


def test_a_killed_broker_loses_nothing(
    stack: Stack, device: MakeDevice, rules: Rules, queue: str, name: str
) -> None:
    """What the broker acknowledged is on disk before."""
    rules.add("killed_broker", f"SELECT n FROM 't/{name}/a'", sqs(queue))

    def kill() -> None:
        stack.processes["broker"].stop(kill=True)
        stack.restart_broker()

    assert publish_and_break(stack, device(name), queue, kill) == set(range(MESSAGES))


def test_who_was_connected_when_the_broker_was_killed_is_said_to_be_gone(
    stack: Stack, device: MakeDevice, rules: Rules, queue: str, name: str
) -> None:
    """A station that does not come back must not stay online."""
    rules.add("gone", f"SELECT clientId, eventType FROM '$aws/events/presence/+/{name}'", sqs(queue))
    vanishing = device(name)
    found: list[dict[str, str]] = []
    assert wait_for(lambda: found.extend(drain(stack, queue)) or found)
    stack.processes["broker"].stop(kill=True)
    vanishing.client.loop_stop()
    stack.restart_broker()
    gone = {"clientId": name, "eventType": "disconnected"}
    assert wait_for(lambda: found.extend(drain(stack, queue)) or gone in found)
    # The first may come twice: whether the bridge's word for it was written down before the kill is chance.
    assert found[found.index(gone) :] == [gone]
    assert all(each == {"clientId": name, "eventType": "connected"} for each in found[: found.index(gone)])


def test_an_emulator_that_does_not_answer_is_waited_for(
    stack: Stack, device: MakeDevice, rules: Rules, queue: str, name: str
) -> None:
    """Nothing is lost, and nothing goes to the error action: nobody refused it."""
    rules.add("frozen", f"SELECT n FROM 't/{name}/a'", sqs(queue), error_action=sqs(queue))
    before = stack.metric("bridge_error_actioned_total")
    pid = stack.emulator.pid
    sender = device(name)
    waiting: list[float] = []

    def go_on() -> None:
        waiting.append(stack.metric("bridge_in_flight"))
        os.kill(pid, signal.SIGCONT)

    thaw = threading.Timer(AWAY_SECONDS, go_on)

    def freeze() -> None:
        os.kill(pid, signal.SIGSTOP)
        thaw.start()

    try:
        assert publish_and_break(stack, sender, queue, freeze) == set(range(MESSAGES))
    finally:
        thaw.cancel()
        os.kill(pid, signal.SIGCONT)
    assert waiting[0] > 0, "the emulator was not missed"
    assert stack.metric("bridge_error_actioned_total") == before


@pytest.mark.parametrize(
    "action", ["subscribe to another", "connect as another", "come from another authority"]
)
def test_nobody_speaks_or_listens_for_another(
    stack: Stack, device: MakeDevice, name: str, action: str
) -> None:
    victim, thief = device(f"{name}-v"), device(f"{name}-t")
    folder = stack.place.certificates / "devices"
    if action == "subscribe to another":
        thief.client.subscribe(f"t/{victim.name}/#", qos=1)
        assert wait_for(lambda: thief.subscribed)
        if not stack.is_mosquitto:
            assert thief.subscribed[0].is_failure
            return
        # Mosquitto grants it, and delivers nothing: what the victim says reaches the victim alone.
        victim.client.subscribe(f"t/{victim.name}/#", qos=1)
        assert wait_for(lambda: victim.subscribed)
        victim.publish(f"t/{victim.name}/a", {"n": 1})
        thief.client.subscribe(f"t/{thief.name}/#", qos=1)
        assert wait_for(lambda: len(thief.subscribed) == 2)
        thief.publish(f"t/{thief.name}/a", {"n": 2})
        assert wait_for(lambda: thief.received and victim.received)
        assert {topic for topic, _ in thief.received} == {f"t/{thief.name}/a"}
        return
    forged = folder / "forged"
    forged.mkdir(exist_ok=True)
    if action == "connect as another":
        for ending in ("crt", "key"):
            (forged / f"{victim.name}.{ending}").write_bytes((folder / f"{thief.name}.{ending}").read_bytes())
    else:
        from bridge.authority import Authority

        other = Authority.load_or_create(stack.place.certificates / "other", name="somebody's CA")
        other.client(victim.name).write(forged / f"{victim.name}.crt", forged / f"{victim.name}.key")
    impostor = Device(stack, victim.name, forged)
    try:
        if stack.is_mosquitto and action == "connect as another":
            # Mosquitto lets it in under its own name, whatever it says.
            assert impostor.connected.wait(PATIENCE_SECONDS)
            assert victim.client.is_connected()
            return
        assert wait_for(lambda: impostor.refused.is_set() or impostor.client._sock is None)
        assert not impostor.connected.is_set()
        assert victim.client.is_connected()
    finally:
        impostor.close()


@pytest.mark.parametrize(
    "topic", ["$from/{victim}/t/{victim}/a", "$aws/events/presence/disconnected/{victim}"]
)
def test_the_brokers_own_topics_are_closed_whatever_a_policy_says(
    stack: Stack, device: MakeDevice, rules: Rules, queue: str, name: str, topic: str
) -> None:
    """Nobody can forge who published, nor that another is gone."""
    victim = f"{name}-v"
    rule = name.replace("-", "_")
    rules.add(rule, f"SELECT clientid() AS who FROM 't/{victim}/a'", sqs(queue))
    rules.add(
        f"{rule}_presence", f"SELECT clientId AS who FROM '$aws/events/presence/+/{victim}'", sqs(queue)
    )
    thief = device(f"{name}-t")
    thief.publish(topic.format(victim=victim), {"clientId": victim})
    if not stack.is_mosquitto:
        assert wait_for(lambda: not thief.client.is_connected())
    # What the victim itself says is all that arrives.
    device(victim).publish(f"t/{victim}/a", {})
    found: list[object] = []
    assert wait_for(lambda: found.extend(drain(stack, queue)) or len(found) >= 2)
    assert found == [{"who": victim}, {"who": victim}]


@pytest.mark.own_broker("Mosquitto drops what AWS closes the connection for")
def test_a_shadow_is_updated_under_the_clients_own_name_alone(
    stack: Stack, device: MakeDevice, rules: Rules, queue: str, name: str
) -> None:
    """A policy decides about the reserved topics that AWS lets clients use ("Reserved topics")."""
    rules.add(
        name.replace("-", "_"),
        "SELECT clientid() AS who, topic() AS at FROM '$aws/things/+/shadow/update'",
        sqs(queue),
    )
    sender, gone = device(name), threading.Event()
    sender.publish(f"$aws/things/{name}/shadow/update", {"state": {}})
    found: list[object] = []
    assert wait_for(lambda: found.extend(drain(stack, queue)) or found)
    assert found == [{"who": name, "at": f"$aws/things/{name}/shadow/update"}]
    assert sender.client.is_connected()
    sender.client.on_disconnect = lambda *_: gone.set()
    sender.publish("$aws/things/another/shadow/update", {"state": {}})
    assert gone.wait(PATIENCE_SECONDS)


def test_a_certificate_that_nobody_registered_does_nothing(
    stack: Stack, rules: Rules, queue: str, name: str
) -> None:
    """Signed by our authority: our broker refuses it; Mosquitto lets it in, drops what it says, sends it away."""
    rules.add(name.replace("-", "_"), f"SELECT * FROM 't/{name}/a'", sqs(queue))
    folder = stack.place.certificates / "strangers"
    stack.authority.client(name).write(folder / f"{name}.crt", folder / f"{name}.key")
    stranger = Device(stack, name, folder)
    gone = threading.Event()
    stranger.client.on_disconnect = lambda *_: gone.set()
    try:
        stranger.publish(f"t/{name}/a", {"x": 1})
        assert wait_for(lambda: stranger.refused.is_set() or gone.is_set())
        assert stack.is_mosquitto or not stranger.connected.is_set()
    finally:
        stranger.close()
    assert drain(stack, queue) == []


def test_who_is_deactivated_loses_its_connection(
    stack: Stack, device: MakeDevice, enrolment: Enrolment, name: str
) -> None:
    station = device(name)
    gone = threading.Event()
    station.client.on_disconnect = lambda *_: gone.set()
    enrolment.deactivate(name)
    assert gone.wait(PATIENCE_SECONDS)
    again = Device(stack, name, stack.place.certificates / "devices")
    try:
        assert wait_for(lambda: again.refused.is_set() or again.client._sock is None)
        assert not again.connected.is_set()
    finally:
        again.close()
