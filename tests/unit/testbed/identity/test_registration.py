"""Who is enrolled, and how a station is removed while AWS IoT still detaches."""

from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from bridge.authority import Authority
from testbed.identity import registration
from testbed.identity.registration import Journal, Registrar


def test_who_came_and_did_not_go_is_enrolled(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert journal.read() == {}
    journal.note("station-1", "arn:1")
    journal.note("station-2", "arn:2")
    journal.note("station-1", "")
    assert Journal(tmp_path).read() == {"station-2": "arn:2"}


class SlowlyDetaching:
    """A control plane that refuses deletes until it was asked a second time, as AWS's does for some seconds."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def call(self, operation: str, **_: Any) -> Any:
        self.calls.append(operation)
        refusals = {"DeleteThing": "InvalidRequestException", "DeleteCertificate": "DeleteConflictException"}
        if operation in refusals and self.calls.count(operation) < 2:
            raise ClientError({"Error": {"Code": refusals[operation], "Message": "attached"}}, operation)


def test_a_station_is_shut_out_first_and_deletes_wait_for_the_detachment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS IoT API reference, "DetachThingPrincipal": this call is asynchronous."""
    monkeypatch.setattr(registration, "_DETACH_PAUSES", (0.0, 0.0))
    aws = SlowlyDetaching()
    station = Registrar(aws, cast("Authority", None), "policy", tmp_path)
    station.unregister("station-1", "arn:aws:iot:eu-central-1:123456789012:cert/abc")
    assert aws.calls[0] == "UpdateCertificate"
    assert aws.calls.count("DeleteThing") == aws.calls.count("DeleteCertificate") == 2


def test_a_refusal_that_lasts_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "_DETACH_PAUSES", ())
    station = Registrar(SlowlyDetaching(), cast("Authority", None), "policy", tmp_path)
    with pytest.raises(ClientError, match="attached"):
        station.unregister("station-1", "arn:aws:iot:eu-central-1:123456789012:cert/abc")


class WithAThing:
    """An AWS IoT that has the thing already, with attributes."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def call(self, operation: str, **_: Any) -> Any:
        self.calls.append(operation)
        if operation == "CreateThing":
            raise ClientError({"Error": {"Code": "ResourceAlreadyExistsException"}}, operation)
        return {"certificateArn": "arn:cert/1"}


def test_a_thing_that_terraform_made_gets_a_certificate_and_stays_when_that_goes(tmp_path: Path) -> None:
    iot = WithAThing()
    registrar = Registrar(iot, Authority.load_or_create(tmp_path, name="CA"), "policy", tmp_path)
    registrar.enrol("pump-1")
    assert iot.calls[-2:] == ["AttachThingPrincipal", "AttachPolicy"]
    registrar.remove("pump-1", "arn:cert/1")
    assert "DeleteCertificate" in iot.calls
    assert "DeleteThing" not in iot.calls
