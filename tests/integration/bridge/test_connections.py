"""What ``iot-data`` tells of connections, and that it ends them: the operations' pages in the API reference."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from paho.mqtt.enums import MQTTProtocolVersion

from bridge.data_plane.session import CLIENT_ID
from testbed.host import emulated
from tests.integration.bridge.conftest import MakeDevice, Rules, Stack, drain, sqs, wait_for
from tests.integration.conftest import REGION

pytestmark = pytest.mark.own_broker("Mosquitto tells nobody of its clients")


@pytest.fixture
def iot_data(stack: Stack) -> Iterator[Any]:
    """Make a client as users have it."""
    client = emulated.session(REGION).client("iot-data", endpoint_url=stack.emulator.url)
    yield client
    client.close()


def _about(iot_data: Any, client_id: str, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = iot_data.get_connection(clientId=client_id, **options)
    return {key: value for key, value in found.items() if key != "ResponseMetadata"}


def test_get_connection_tells_of_a_client_while_it_is_there_and_afterwards(
    stack: Stack, device: MakeDevice, name: str, iot_data: Any
) -> None:
    client = device(name)
    found = _about(iot_data, name, includeSocketInformation=True)
    assert found.pop("connectedSince") > 1_700_000_000_000
    assert found.pop("sourcePort") > 0
    assert found == {
        "clientId": name,
        "thingName": name,
        "connected": True,
        "cleanSession": False,
        "sessionExpiry": 3600,
        "keepAliveDuration": 20,
        "sourceIp": "127.0.0.1",
        "targetIp": "127.0.0.1",
        "targetPort": stack.place.ports.mqtt,
    }
    assert "sourceIp" not in _about(iot_data, name)
    client.close()
    assert wait_for(lambda: not _about(iot_data, name)["connected"])
    found = _about(iot_data, name)
    assert found["disconnectReason"] == "CLIENT_INITIATED_DISCONNECT"
    assert found["disconnectedSince"] > 1_700_000_000_000
    assert "connectedSince" not in found


def test_delete_connection_ends_it_and_keeps_or_removes_the_session(
    device: MakeDevice, name: str, iot_data: Any
) -> None:
    """The device comes back by itself: by its subscriptions one sees which session it found."""
    client = device(name)
    client.client.subscribe(f"t/{name}/a", qos=1)
    assert wait_for(lambda: client.subscribed)
    since = _about(iot_data, name)["connectedSince"]

    def came_back() -> int | None:
        found = _about(iot_data, name).get("connectedSince", 0)
        return found if found > since else None

    iot_data.delete_connection(clientId=name)
    since = wait_for(came_back)
    kept = iot_data.list_subscriptions(clientId=name)["subscriptions"]
    assert kept == [{"topicFilter": f"t/{name}/a", "qos": 1}]
    iot_data.delete_connection(clientId=name, cleanSession=True)
    assert wait_for(came_back)
    assert iot_data.list_subscriptions(clientId=name)["subscriptions"] == []


def test_delete_connection_publishes_the_will_unless_it_is_prevented(
    stack: Stack, device: MakeDevice, rules: Rules, queue: str, name: str, iot_data: Any
) -> None:
    rules.add(name.replace("-", "_"), f"SELECT topic(3) AS last FROM 't/{name}/#'", sqs(queue))
    client = device(name, will=f"t/{name}/will")
    since = _about(iot_data, name)["connectedSince"]
    iot_data.delete_connection(clientId=name, preventWillMessage=True)
    assert wait_for(lambda: _about(iot_data, name).get("connectedSince", 0) > since)
    client.publish(f"t/{name}/mark", {})
    iot_data.delete_connection(clientId=name)
    seen: list[str] = []
    assert wait_for(lambda: seen.extend(one["last"] for one in drain(stack, queue)) or "will" in seen)
    assert seen.count("will") == 1, seen


def test_subscriptions_are_listed_in_pages(device: MakeDevice, name: str, iot_data: Any) -> None:
    client = device(name, protocol=MQTTProtocolVersion.MQTTv5)
    filters = [f"t/{name}/{number}" for number in range(5)]
    client.client.subscribe([(one, number % 2) for number, one in enumerate(filters)])
    assert wait_for(lambda: client.subscribed)
    first = iot_data.list_subscriptions(clientId=name, maxResults=3)
    second = iot_data.list_subscriptions(clientId=name, maxResults=3, nextToken=first["nextToken"])
    assert "nextToken" not in second
    listed = first["subscriptions"] + second["subscriptions"]
    assert listed == [{"topicFilter": one, "qos": number % 2} for number, one in enumerate(filters)]


@pytest.mark.parametrize("operation", ["get_connection", "delete_connection", "list_subscriptions"])
@pytest.mark.parametrize("client_id", ["nobody/at all", CLIENT_ID])
def test_a_client_that_is_not_there_or_is_the_testbeds_own_is_not_found(
    iot_data: Any, operation: str, client_id: str
) -> None:
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        getattr(iot_data, operation)(clientId=client_id)
