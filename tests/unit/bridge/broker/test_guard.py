"""How live connections follow the registry."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from bridge.broker.connection import ClientConnection
from bridge.broker.guard import RegistryGuard
from bridge.broker.server import Broker, Identity
from bridge.policies import Policies, Policy
from bridge.registry import Registry
from tests.unit.bridge.broker.test_malformed import connect
from tests.unit.bridge.broker.test_visitors import Wire, settle

CONNECTIONS = 300


def test_a_new_version_of_a_policy_reaches_all_connections_by_one_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 10,000 certificates asking about each in turn takes hours; AWS follows within minutes."""
    monkeypatch.setattr("bridge.broker.guard._POLL_SECONDS", 0.001)
    registry, calls = Registry("http://127.0.0.1:1", "us-east-1"), []
    text = json.dumps({"Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]})
    older = Policy.of(text, "shared")

    def call(operation: str, **parameters: Any) -> Any:
        calls.append((operation, parameters))
        return {"policyDocument": text.replace("iot:*", "iot:Connect")}

    monkeypatch.setattr(registry, "_call", call)

    async def run() -> None:
        guard = RegistryGuard(registry, frozenset())
        broker = Broker(guard, tmp_path)
        broker.start()
        connections = []
        for number in range(CONNECTIONS):
            connection = ClientConnection(broker, Identity(str(number), "", (), Policies((older,))))
            connection.connection_made(Wire())
            connection.data_received(connect(f"client{number}"))
            connections.append(connection)
        await settle()

        def may() -> set[bool]:
            return {one.may("iot:Publish", "topic/t") for one in connections}

        assert may() == {True}
        following = asyncio.create_task(guard.follow_versions(lambda: {"all": connections}))
        async with asyncio.timeout(60):
            while may() != {False}:  # noqa: ASYNC110  # nothing tells of it
                await asyncio.sleep(0.01)
        assert {one.may("iot:Connect", "client/c") for one in connections} == {True}
        following.cancel()
        broker.close()

    asyncio.run(run())
    assert calls == [("GetPolicy", {"policyName": "shared"})]


def described(certificate_id: str) -> dict[str, Any]:
    arn = f"arn:aws:iot:us-east-1:000000000000:cert/{certificate_id}"
    return {"certificateArn": arn, "status": "ACTIVE", "policies": [], "things": []}


def test_who_connects_at_once_is_asked_about_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three calls a connect would be 30,000 when a fleet of 10,000 comes back."""
    registry, asked = Registry("http://127.0.0.1:1", "us-east-1"), []

    def ask(_path: str, document: Any) -> Any:
        asked.append(document["certificateIds"])
        return {"principals": {one: described(one) for one in asked[-1] if one != "unknown"}}

    monkeypatch.setattr(registry, "_ask", ask)
    ids = [*map(str, range(CONNECTIONS)), "unknown", "0"]

    async def run() -> list[Identity | None]:
        guard = RegistryGuard(registry, frozenset())
        return await asyncio.gather(*(guard.identify(one, f"name of {one}") for one in ids))

    found = asyncio.run(run())
    assert [one and (one.principal, one.common_name) for one in found] == [
        None if one == "unknown" else (one, f"name of {one}") for one in ids
    ]
    assert len(asked) <= 5


def test_each_that_waits_is_told_that_the_registry_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry("http://127.0.0.1:1", "us-east-1")

    def away(_path: str, _document: Any) -> Any:
        raise EndpointConnectionError(endpoint_url="x", error="away")

    monkeypatch.setattr(registry, "_ask", away)

    async def run() -> list[Any]:
        guard = RegistryGuard(registry, frozenset())
        return await asyncio.gather(*(guard.identify(str(n), "") for n in range(3)), return_exceptions=True)

    assert {type(one) for one in asyncio.run(run())} == {EndpointConnectionError}


def test_live_connections_are_followed_many_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is attached to or taken from a certificate reaches 10,000 connections in a minute, not in hours."""
    monkeypatch.setattr("bridge.broker.guard._POLL_SECONDS", 0.001)
    registry, asked = Registry("http://127.0.0.1:1", "us-east-1"), []
    text = json.dumps({"Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]})

    def ask(_path: str, document: Any) -> Any:
        asked.append(document["certificateIds"])
        return {"principals": {one: described(one) for one in asked[-1]}}

    monkeypatch.setattr(registry, "_ask", ask)

    async def run() -> None:
        guard = RegistryGuard(registry, frozenset())
        broker = Broker(guard, tmp_path)
        broker.start()
        live: dict[str, list[ClientConnection]] = {}
        for number in range(CONNECTIONS):
            held = Policies((Policy.of(text, "taken away"),))
            connection = ClientConnection(broker, Identity(str(number), "", (), held))
            connection.connection_made(Wire())
            connection.data_received(connect(f"client{number}"))
            live[str(number)] = [connection]
        await settle()
        following = asyncio.create_task(guard.follow(lambda: live))
        async with asyncio.timeout(60):
            while any(one.may("iot:Publish", "topic/t") for (one,) in live.values()):  # noqa: ASYNC110  # nothing tells of it
                await asyncio.sleep(0.01)
        following.cancel()
        broker.close()

    asyncio.run(run())
    assert max(map(len, asked)) >= CONNECTIONS // 2
