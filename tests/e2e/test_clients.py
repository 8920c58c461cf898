"""What `make clients` leaves behind and says; tests/integration/bridge/test_clients.py has clients on both brokers."""

import pytest
import typer

from testbed.cli.drills import clients_command
from testbed.deploy.deployment import Deployment
from testbed.drills.clients import runner
from testbed.drills.clients.visit import Client


def test_nothing_of_the_clients_stays_behind(deployment: Deployment) -> None:
    iot = deployment.client("iot")
    before = {one["policyName"] for one in iot.list_policies()["policies"]}
    [result] = runner.run(deployment, ["identity v2"])[:1]
    if result.state == "skipped":
        pytest.skip(result.why)
    assert {one["policyName"] for one in iot.list_policies()["policies"]} == before
    left = [
        one["thingName"] for one in iot.list_things()["things"] if one["thingName"].startswith("clients-")
    ]
    assert left == []
    assert not list(deployment.certificates.parent.glob("clients-*"))


def test_what_fails_and_what_is_missing_is_named(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        runner,
        "CLIENTS",
        (
            Client("silent", "MQTT 5", "", "paho_mqtt", "silent", ""),
            Client("absent", "MQTT 5", "", "absent", "echo", "look for it"),
        ),
    )
    failed, missing = runner.run(deployment)
    assert (failed.state, missing.state) == ("failed", "skipped")
    assert "silent" in failed.why
    assert missing.why.endswith("absent is not installed: look for it")
    assert "AttributeError" in (deployment.path / "logs" / "clients.log").read_text()
    monkeypatch.setattr("testbed.cli.drills.current", lambda _settings: deployment)
    with pytest.raises(typer.Exit) as ended:
        clients_command(["silent"])
    assert ended.value.exit_code == 1
