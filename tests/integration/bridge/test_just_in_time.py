"""A first connection with a certificate of a registered CA, by AWS's device SDK, which comes again by itself.

"Register a client certificate when the client connects to AWS IoT" (auto-register-device-cert.html), "Just-in-time
provisioning" (jit-provisioning.html) and "Register your CA certificate" (register-CA-cert.html) of the developer guide.
"""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from awsiot import mqtt5_client_builder
from botocore.exceptions import ClientError

from bridge.authority import Authority, KeyPair, certificate_id
from tests.integration.bridge.conftest import PATIENCE_SECONDS, Rules, Stack, drain, sqs, wait_for

pytestmark = pytest.mark.own_broker("Mosquitto takes the certificates of one authority")

# The developer guide's example, with a policy of ours.
TEMPLATE = {
    "Parameters": {
        "AWS::IoT::Certificate::CommonName": {"Type": "String"},
        "AWS::IoT::Certificate::SerialNumber": {"Type": "String"},
        "AWS::IoT::Certificate::Id": {"Type": "String"},
    },
    "Resources": {
        "thing": {
            "Type": "AWS::IoT::Thing",
            "Properties": {
                "ThingName": {"Ref": "AWS::IoT::Certificate::CommonName"},
                "AttributePayload": {
                    "version": "v1",
                    "serialNumber": {"Ref": "AWS::IoT::Certificate::SerialNumber"},
                },
            },
            "OverrideSettings": {"AttributePayload": "MERGE", "ThingTypeName": "REPLACE"},
        },
        "certificate": {
            "Type": "AWS::IoT::Certificate",
            "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "ACTIVE"},
            "OverrideSettings": {"Status": "DO_NOTHING"},
        },
        "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "bridge-test"}},
    },
}
ROLE = "arn:aws:iam::000000000000:role/provisioning"


class Attempts:
    """A client of the device SDK's that tries again and again."""

    def __init__(self, stack: Stack, certificate: Path, key: Path, client_id: str) -> None:
        self.connected, self._stopped = threading.Event(), threading.Event()
        self.failures: list[Any] = []
        self._client = mqtt5_client_builder.mtls_from_path(
            str(certificate),
            str(key),
            endpoint="localhost",
            port=stack.place.ports.mqtt,
            ca_filepath=str(stack.authority.path),
            client_id=client_id,
            min_reconnect_delay_ms=200,
            max_reconnect_delay_ms=1000,
            on_lifecycle_connection_success=lambda _: self.connected.set(),
            on_lifecycle_connection_failure=self.failures.append,
            on_lifecycle_stopped=lambda _: self._stopped.set(),
        )
        self._client.start()

    def close(self) -> None:
        """Disconnect."""
        self._client.stop()
        assert self._stopped.wait(PATIENCE_SECONDS)


Connect = Callable[[KeyPair, str], Attempts]


@pytest.fixture
def authority(tmp_path: Path, name: str) -> Authority:
    """Make a CA of the user's own."""
    return Authority.load_or_create(tmp_path / "authority", name=name)


@pytest.fixture
def register(stack: Stack, authority: Authority) -> Iterator[Callable[..., str]]:
    """``register(...)`` registers the CA, with a verification certificate, for automatic registration; its id."""
    iot = stack.emulator.client("iot")
    made: list[str] = []

    def make(**config: Any) -> str:
        code = iot.get_registration_code()["registrationCode"]
        found = iot.register_ca_certificate(
            caCertificate=authority.path.read_text(),
            verificationCertificate=authority.client(code).certificate.decode(),
            setAsActive=True,
            allowAutoRegistration=True,
            **config,
        )
        made.append(found["certificateId"])
        return made[-1]

    yield make
    for ca in made:
        iot.update_ca_certificate(certificateId=ca, newStatus="INACTIVE")
        iot.delete_ca_certificate(certificateId=ca)


@pytest.fixture
def connect(stack: Stack, tmp_path: Path) -> Iterator[Connect]:
    """``connect(pair, client_id)`` tries to connect."""
    made: list[Attempts] = []

    def make(pair: KeyPair, client_id: str) -> Attempts:
        certificate = tmp_path / "device.crt"
        pair.write(certificate, certificate.with_suffix(".key"))
        made.append(Attempts(stack, certificate, certificate.with_suffix(".key"), client_id))
        return made[-1]

    yield make
    for one in made:
        one.close()


def _status(stack: Stack, pair: KeyPair) -> str:
    iot = stack.emulator.client("iot")
    try:
        found = iot.describe_certificate(certificateId=certificate_id(pair.certificate))
    except iot.exceptions.ResourceNotFoundException:
        return "not there"
    return str(found["certificateDescription"]["status"])


def test_a_first_connection_registers_the_certificate_and_an_event_tells_of_it(
    stack: Stack,
    authority: Authority,
    register: Callable[..., str],
    connect: Connect,
    rules: Rules,
    queue: str,
    name: str,
) -> None:
    """What AWS's rule of a Lambda would do with the event, the test does: activate, and attach a policy."""
    ca = register()
    rules.add(name.replace("-", "_"), f"SELECT * FROM '$aws/events/certificates/registered/{ca}'", sqs(queue))
    pair = authority.client(name)
    device = connect(pair, name)
    events: list[Any] = []
    # It comes again with each connection, until the certificate is ACTIVE.
    assert wait_for(lambda: events.extend(drain(stack, queue)) or len(events) >= 2)
    identity = certificate_id(pair.certificate)
    for event in events:
        assert (event["certificateId"], event["caCertificateId"]) == (identity, ca)
        assert (event["certificateStatus"], event["awsAccountId"]) == ("PENDING_ACTIVATION", "000000000000")
    assert min(events, key=lambda event: event["timestamp"])["certificateRegistrationTimestamp"] is None
    assert _status(stack, pair) == "PENDING_ACTIVATION"
    assert not device.connected.is_set()
    iot = stack.emulator.client("iot")
    arn = iot.describe_certificate(certificateId=identity)["certificateDescription"]["certificateArn"]
    iot.create_thing(thingName=name)
    iot.attach_thing_principal(thingName=name, principal=arn)
    iot.attach_policy(policyName="bridge-test", target=arn)
    iot.update_certificate(certificateId=identity, newStatus="ACTIVE")
    assert device.connected.wait(PATIENCE_SECONDS)
    _forget(stack, name)


@pytest.mark.parametrize("how", ["in the CA", "by its name"])
def test_a_template_provisions_the_device_at_its_first_connection(
    stack: Stack, authority: Authority, register: Callable[..., str], connect: Connect, name: str, how: str
) -> None:
    iot = stack.emulator.client("iot")
    body = json.dumps(TEMPLATE)
    if how == "in the CA":
        register(registrationConfig={"templateBody": body, "roleArn": ROLE})
    else:
        iot.create_provisioning_template(
            templateName=name[-30:], templateBody=body, enabled=True, provisioningRoleArn=ROLE, type="JITP"
        )
        register(registrationConfig={"templateName": name[-30:]})
    pair = authority.client(name)
    assert connect(pair, name).connected.wait(PATIENCE_SECONDS)
    assert _status(stack, pair) == "ACTIVE"
    found = iot.describe_thing(thingName=name)["attributes"]
    assert (found["version"], found["serialNumber"].isdigit()) == ("v1", True)
    _forget(stack, name)
    if how != "in the CA":
        iot.delete_provisioning_template(templateName=name[-30:])


def test_a_ca_that_does_not_register_by_itself_lets_nobody_in(
    stack: Stack, authority: Authority, register: Callable[..., str], connect: Connect, name: str
) -> None:
    iot = stack.emulator.client("iot")
    ca = register()
    iot.update_ca_certificate(certificateId=ca, newAutoRegistrationStatus="DISABLE")
    pair = authority.client(name)
    device = connect(pair, name)
    assert wait_for(lambda: len(device.failures) >= 3)
    assert _status(stack, pair) == "not there"


def test_register_thing_provisions_by_a_template_of_the_call(
    stack: Stack, authority: Authority, name: str
) -> None:
    """``RegisterThing`` for users, with the certificate in PEM, and a thing that is there the second time."""
    iot = stack.emulator.client("iot")
    template = {
        "Parameters": {"Name": {"Type": "String"}, "Place": {"Type": "String"}},
        "Resources": {
            "it": {
                "Type": "AWS::IoT::Thing",
                "Properties": {"ThingName": {"Ref": "Name"}, "AttributePayload": {"place": {"Ref": "Place"}}},
                "OverrideSettings": {"AttributePayload": "FAIL"},
            },
            "paper": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {"CertificatePem": authority.client(name).certificate.decode()},
            },
            "right": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "bridge-test"}},
        },
    }
    body, parameters = json.dumps(template), {"Name": name, "Place": "here"}
    made = iot.register_thing(templateBody=body, parameters=parameters)
    assert set(made["resourceArns"]) == {"it", "paper", "right"}
    assert made["resourceArns"]["it"].endswith(f":thing/{name}")
    [principal] = iot.list_thing_principals(thingName=name)["principals"]
    assert principal == made["resourceArns"]["paper"]
    described = iot.describe_certificate(certificateId=principal.rpartition("/")[2])["certificateDescription"]
    assert (described["status"], described["certificatePem"]) == ("ACTIVE", made["certificatePem"])
    assert iot.describe_thing(thingName=name)["attributes"] == {"place": "here"}
    with pytest.raises(iot.exceptions.ConflictingResourceUpdateException):
        iot.register_thing(templateBody=body, parameters=parameters)
    with pytest.raises(ClientError, match="Place has no value"):
        iot.register_thing(templateBody=body, parameters={"Name": name})
    _forget(stack, name)


def _forget(stack: Stack, thing: str) -> None:
    """Take away what was provisioned: the policy is the other tests' as well."""
    iot = stack.emulator.client("iot")
    for principal in iot.list_thing_principals(thingName=thing)["principals"]:
        iot.detach_policy(policyName="bridge-test", target=principal)
        iot.detach_thing_principal(thingName=thing, principal=principal)
    iot.delete_thing(thingName=thing)
