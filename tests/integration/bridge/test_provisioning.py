"""Fleet provisioning by claim with the Device SDK's identity client ("Provisioning by claim", developer guide)."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from awsiot import V2ServiceException, iotidentity
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from testbed.identity.enrolment import Enrolment
from tests.integration.bridge import device_sdk
from tests.integration.bridge.conftest import PATIENCE_SECONDS, Device, Stack, wait_for

pytestmark = pytest.mark.own_broker(
    "Mosquitto cannot answer one client alone, and an answer has a private key in it"
)

CLAIM = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"},
        {
            "Effect": "Allow",
            "Action": ["iot:Publish", "iot:Receive"],
            "Resource": [
                "arn:aws:iot:*:*:topic/$aws/certificates/*",
                "arn:aws:iot:*:*:topic/$aws/provisioning-templates/*",
            ],
        },
        {
            "Effect": "Allow",
            "Action": "iot:Subscribe",
            "Resource": [
                "arn:aws:iot:*:*:topicfilter/$aws/certificates/*",
                "arn:aws:iot:*:*:topicfilter/$aws/provisioning-templates/*",
            ],
        },
    ],
}
TEMPLATE = {
    "Parameters": {
        "SerialNumber": {"Type": "String"},
        "Place": {"Type": "String", "Default": "nowhere"},
        "AWS::IoT::Certificate::Id": {"Type": "String"},
    },
    "Mappings": {"Urls": {"nowhere": {"Url": "https://example.com/nowhere"}}},
    "Resources": {
        "thing": {
            "Type": "AWS::IoT::Thing",
            "Properties": {
                "ThingName": {"Fn::Join": ["", ["device-", {"Ref": "SerialNumber"}]]},
                "AttributePayload": {"place": {"Ref": "Place"}},
            },
        },
        "certificate": {
            "Type": "AWS::IoT::Certificate",
            "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "Active"},
        },
        "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "bridge-test"}},
    },
    "DeviceConfiguration": {"Url": {"Fn::FindInMap": ["Urls", {"Ref": "Place"}, "Url"]}},
}


@pytest.fixture
def template(stack: Stack, name: str) -> Iterator[str]:
    """Make an enabled template."""
    iot = stack.emulator.client("iot")
    iot.create_provisioning_template(
        templateName=name[-30:],
        templateBody=json.dumps(TEMPLATE),
        enabled=True,
        provisioningRoleArn="arn:aws:iam::000000000000:role/provisioning",
    )
    yield name[-30:]
    iot.delete_provisioning_template(templateName=name[-30:])


@pytest.fixture
def sdk(stack: Stack, enrolment: Enrolment, template: str) -> Iterator[iotidentity.IotIdentityClientV2]:
    """Make the identity client of `awsiotsdk`, as its sample "fleet provisioning" makes it, with a claim."""
    iot = stack.emulator.client("iot")
    claim = f"claim-{template}"
    enrolment.enrol([claim])
    iot.create_policy(policyName=claim, policyDocument=json.dumps(CLAIM))
    [principal] = iot.list_thing_principals(thingName=claim)["principals"]
    iot.attach_policy(policyName=claim, target=principal)
    with device_sdk.connected(stack, claim) as connection:
        yield iotidentity.IotIdentityClientV2(connection, device_sdk.OPTIONS)
    iot.detach_policy(policyName=claim, target=principal)
    enrolment.remove([claim])
    iot.delete_policy(policyName=claim)


def register(sdk: iotidentity.IotIdentityClientV2, template: str, token: str, **parameters: str) -> Any:
    """Have the device provisioned."""
    request = iotidentity.RegisterThingRequest(
        template_name=template, certificate_ownership_token=token, parameters=parameters
    )
    return sdk.register_thing(request).result(PATIENCE_SECONDS)


def remove(stack: Stack, thing: str) -> None:
    """Take away what was provisioned: the policy is the other tests' as well."""
    iot = stack.emulator.client("iot")
    for principal in iot.list_thing_principals(thingName=thing)["principals"]:
        iot.detach_policy(policyName="bridge-test", target=principal)
        iot.detach_thing_principal(thingName=thing, principal=principal)
    iot.delete_thing(thingName=thing)


def test_a_device_gets_keys_by_its_claim_and_connects_with_them(
    stack: Stack, sdk: iotidentity.IotIdentityClientV2, template: str, name: str
) -> None:
    made = sdk.create_keys_and_certificate(iotidentity.CreateKeysAndCertificateRequest()).result(
        PATIENCE_SECONDS
    )
    thing = f"device-{name}"
    folder = stack.place.certificates / "devices"
    (folder / f"{thing}.crt").write_text(made.certificate_pem)
    (folder / f"{thing}.key").write_text(made.private_key)
    early = Device(stack, thing, folder)
    try:
        assert early.refused.wait(PATIENCE_SECONDS), "its certificate is not active before it is provisioned"
    finally:
        early.close()
    answer = register(sdk, template, made.certificate_ownership_token, SerialNumber=name)
    assert (answer.thing_name, answer.device_configuration) == (thing, {"Url": "https://example.com/nowhere"})
    found = stack.emulator.client("iot").describe_thing(thingName=thing)
    assert found["attributes"] == {"place": "nowhere"}
    station = Device(stack, thing, folder)
    try:
        assert station.connected.wait(PATIENCE_SECONDS)
        station.publish(f"t/{thing}/a", {})
        assert wait_for(lambda: station.acknowledged)
    finally:
        station.close()
    with pytest.raises(V2ServiceException) as again:
        register(sdk, template, made.certificate_ownership_token, SerialNumber=name)
    assert again.value.modeled_error.error_code == "InvalidCertificateOwnershipToken"
    remove(stack, thing)


def test_a_device_with_a_key_of_its_own_sends_a_request_for_its_certificate(
    sdk: iotidentity.IotIdentityClientV2, template: str
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "device")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    made = sdk.create_certificate_from_csr(
        iotidentity.CreateCertificateFromCsrRequest(
            certificate_signing_request=request.public_bytes(serialization.Encoding.PEM).decode()
        )
    ).result(PATIENCE_SECONDS)
    certificate = x509.load_pem_x509_certificate(made.certificate_pem.encode())
    assert certificate.public_key() == key.public_key()
    with pytest.raises(V2ServiceException) as missing:
        register(sdk, template, made.certificate_ownership_token)
    assert missing.value.modeled_error.error_code == "InvalidParameters"
    assert "SerialNumber" in missing.value.modeled_error.error_message
