"""How live connections follow the registry."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

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
