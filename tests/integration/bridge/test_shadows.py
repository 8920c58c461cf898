"""Device Shadow with AWS's own clients: the Device SDK over MQTT and boto3 over HTTP, and a rule on its topics."""

import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from awsiot import ServiceStreamOptions, V2ServiceException, iotshadow

from testbed.identity.enrolment import Enrolment
from tests.integration.bridge import device_sdk
from tests.integration.bridge.conftest import (
    PATIENCE_SECONDS,
    MakeDevice,
    Rules,
    Stack,
    drain,
    sqs,
    wait_for,
)


@pytest.fixture
def sdk(stack: Stack, enrolment: Enrolment, name: str) -> Iterator[iotshadow.IotShadowClientV2]:
    """Make the shadow client of `awsiotsdk`, as its sample "shadow" makes it."""
    enrolment.enrol([name])
    with device_sdk.connected(stack, name) as connection:
        yield iotshadow.IotShadowClientV2(connection, device_sdk.OPTIONS)
    enrolment.remove([name])


def test_the_device_sdk_and_boto3_share_a_shadow(
    stack: Stack, sdk: iotshadow.IotShadowClientV2, name: str
) -> None:
    """ "Interacting with shadows", developer guide."""
    cloud = stack.emulator.client("iot-data")
    with pytest.raises(V2ServiceException) as missing:
        sdk.get_shadow(iotshadow.GetShadowRequest(thing_name=name)).result(PATIENCE_SECONDS)
    assert missing.value.modeled_error.code == 404
    deltas: list[Any] = []
    subscribed = threading.Event()
    stream = sdk.create_shadow_delta_updated_stream(
        iotshadow.ShadowDeltaUpdatedSubscriptionRequest(thing_name=name),
        ServiceStreamOptions(
            incoming_event_listener=deltas.append,
            subscription_status_listener=lambda _event: subscribed.set(),
        ),
    )
    stream.open()
    assert subscribed.wait(PATIENCE_SECONDS)
    wanted = {"state": {"desired": {"color": "red"}}, "clientToken": "mine"}
    answer = json.load(cloud.update_thing_shadow(thingName=name, payload=json.dumps(wanted))["payload"])
    assert (answer["version"], answer["clientToken"]) == (1, "mine")
    assert wait_for(lambda: deltas)
    assert (deltas[0].state, deltas[0].version) == ({"color": "red"}, 1)

    state = iotshadow.ShadowState(reported={"color": "red"})
    request = iotshadow.UpdateShadowRequest(thing_name=name, state=state, version=1)
    assert sdk.update_shadow(request).result(PATIENCE_SECONDS).version == 2
    with pytest.raises(V2ServiceException) as conflict:
        sdk.update_shadow(request).result(PATIENCE_SECONDS)
    assert conflict.value.modeled_error.code == 409
    found = sdk.get_shadow(iotshadow.GetShadowRequest(thing_name=name)).result(PATIENCE_SECONDS)
    assert (found.state.desired, found.state.reported, found.state.delta) == (
        {"color": "red"},
        {"color": "red"},
        None,
    )
    assert json.load(cloud.get_thing_shadow(thingName=name)["payload"])["version"] == 2
    cloud.delete_thing_shadow(thingName=name)
    with pytest.raises(cloud.exceptions.ResourceNotFoundException, match="No shadow exists"):
        cloud.get_thing_shadow(thingName=name)


def test_named_shadows_are_apart_and_listed(
    stack: Stack, sdk: iotshadow.IotShadowClientV2, name: str
) -> None:
    """ "ListNamedShadowsForThing" of the Device Shadow REST API."""
    cloud = stack.emulator.client("iot-data")
    for shadow in ("config", "status"):
        request = iotshadow.UpdateNamedShadowRequest(
            thing_name=name, shadow_name=shadow, state=iotshadow.ShadowState(reported={"of": shadow})
        )
        assert sdk.update_named_shadow(request).result(PATIENCE_SECONDS).version == 1
    assert cloud.list_named_shadows_for_thing(thingName=name)["results"] == ["config", "status"]
    found = json.load(cloud.get_thing_shadow(thingName=name, shadowName="status")["payload"])
    assert found["state"] == {"reported": {"of": "status"}}
    gone = iotshadow.DeleteNamedShadowRequest(thing_name=name, shadow_name="status")
    assert sdk.delete_named_shadow(gone).result(PATIENCE_SECONDS).version == 1
    assert cloud.list_named_shadows_for_thing(thingName=name)["results"] == ["config"]


def test_rules_fire_on_requests_and_on_answers(
    stack: Stack, device: MakeDevice, rules: Rules, queue: str, name: str
) -> None:
    """ "Reserved topics": rules may select from shadow topics."""
    rule = name.replace("-", "_")
    for stub in ("update", "update/accepted", "update/documents", "update/rejected"):
        topic = f"$aws/things/{name}/shadow/{stub}"
        rules.add(f"{rule}_{stub.replace('/', '_')}", f"SELECT topic() AS t FROM '{topic}'", sqs(queue))
    station = device(name)
    station.publish(f"$aws/things/{name}/shadow/update", {"state": {"reported": {"n": 1}}})
    station.publish(f"$aws/things/{name}/shadow/update", b"no JSON")
    found: list[str] = []
    assert wait_for(lambda: found.extend(one["t"] for one in drain(stack, queue)) or len(found) >= 5)
    stubs = sorted(topic.removeprefix(f"$aws/things/{name}/shadow/") for topic in found)
    assert stubs == ["update", "update", "update/accepted", "update/documents", "update/rejected"]


@pytest.mark.parametrize(
    "victim",
    [
        "data-plane",
        pytest.param(
            "broker", marks=pytest.mark.own_broker("Mosquitto, killed, may lose what it acknowledged")
        ),
    ],
)
def test_an_update_that_was_acknowledged_counts_once_whoever_is_killed(
    stack: Stack, device: MakeDevice, rules: Rules, queue: str, name: str, victim: str
) -> None:
    """The version of a shadow is the number of its updates: none is lost, and none is carried out twice.

    But for what a device publishes again, as it must, since the broker was killed before it acknowledged it.
    """
    updates = 200
    rule = name.replace("-", "_")
    topic = f"$aws/things/{name}/shadow/update"
    rules.add(rule, f"SELECT version, clientToken FROM '{topic}/accepted'", sqs(queue))
    station = device(name)
    sent: dict[int, str] = {}
    published_again: set[str] = set()
    for number in range(updates):
        update = {"state": {"reported": {"n": number}}, "clientToken": str(number)}
        sent[station.publish(topic, update)] = str(number)
        if number == updates // 3:
            stack.processes[victim].stop(kill=True)
            if victim == "broker":
                published_again = {sent[one] for one in sent.keys() - station.acknowledged}
            {"data-plane": stack.restart_data_plane, "broker": stack.restart_broker}[victim]()
        time.sleep(0.001)
    assert wait_for(lambda: station.acknowledged >= sent.keys())
    versions: defaultdict[str, set[int]] = defaultdict(set)

    def arrived() -> bool:
        # Told twice it may be, of one version.
        for answer in drain(stack, queue):
            versions[answer["clientToken"]].add(answer["version"])
        return len(versions) == updates and told() == newest()

    def told() -> list[int]:
        return sorted(version for each in versions.values() for version in each)

    def newest() -> list[int]:
        found = json.load(stack.emulator.client("iot-data").get_thing_shadow(thingName=name)["payload"])
        return list(range(1, found["version"] + 1))

    assert wait_for(arrived), f"{len(versions)} of {updates}, {set(newest()) ^ set(told())}"
    assert {token for token, each in versions.items() if len(each) > 1} <= published_again
