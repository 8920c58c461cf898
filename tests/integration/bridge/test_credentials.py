"""AWS credentials for a device by its certificate, by the Device SDK's own provider and by `requests`.

"Authorizing direct calls to AWS services using AWS IoT Core credential provider" (authorizing-direct-aws.html); the
answers of the service where it refuses are those that docs/dev_notes.md of
awslabs/aws-iot-core-credential-provider-session-helper lists.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import boto3
import pytest
import requests
from awscrt import auth, http, io
from botocore.exceptions import ClientError

from testbed.identity.enrolment import Enrolment
from tests.integration.bridge.conftest import PATIENCE_SECONDS, Stack
from tests.integration.bridge.tunnel import tunnel
from tests.integration.conftest import REGION


@dataclass(frozen=True)
class Device:
    """A registered device: its name, its certificate's id, files, and the alias that its policy names."""

    name: str
    certificate_id: str
    certificate: Path
    key: Path


@pytest.fixture
def device(stack: Stack, enrolment: Enrolment, name: str) -> Iterator[Device]:
    """Enrol a device that may ask for the role alias of its name."""
    iot = stack.emulator.client("iot")
    enrolment.enrol([name])
    statement = {
        "Effect": "Allow",
        "Action": "iot:AssumeRoleWithCertificate",
        "Resource": "arn:aws:iot:*:*:rolealias/${iot:Connection.Thing.ThingName}",
    }
    document = {"Version": "2012-10-17", "Statement": [statement]}
    iot.create_policy(policyName=name, policyDocument=json.dumps(document))
    [principal] = iot.list_thing_principals(thingName=name)["principals"]
    iot.attach_policy(policyName=name, target=principal)
    certificate = stack.place.certificates / "devices" / f"{name}.crt"
    yield Device(name, principal.rpartition("/")[2], certificate, certificate.with_suffix(".key"))
    iot.detach_policy(policyName=name, target=principal)
    enrolment.remove([name])
    iot.delete_policy(policyName=name)


@pytest.fixture
def role(stack: Stack, name: str) -> Iterator[str]:
    """Make a role that trusts the credentials provider, and may name its own identity."""
    iam = stack.emulator.client("iam")
    principal = {"Service": "credentials.iot.amazonaws.com"}
    trust = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": trust})
    yield iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    iam.delete_role(RoleName=name)


@pytest.fixture
def alias(stack: Stack, name: str, role: str) -> Iterator[str]:
    """Make a role alias of this test's name."""
    iot = stack.emulator.client("iot")
    made = iot.create_role_alias(roleAlias=name, roleArn=role, credentialDurationSeconds=900)
    yield made["roleAliasArn"]
    iot.delete_role_alias(roleAlias=name)


def ask(stack: Stack, device: Device, alias: str, thing: str | None = None) -> requests.Response:
    """Ask as the document's curl does."""
    return requests.get(
        f"https://localhost:{stack.place.ports.https}/role-aliases/{alias}/credentials",
        headers={"x-amzn-iot-thingname": thing} if thing else {},
        cert=(str(device.certificate), str(device.key)),
        verify=str(stack.authority.path),
        timeout=PATIENCE_SECONDS,
    )


@pytest.mark.usefixtures("alias")
def test_the_device_sdk_gets_keys_that_aws_takes(stack: Stack, device: Device) -> None:
    options = io.TlsContextOptions.create_client_with_mtls_from_path(str(device.certificate), str(device.key))
    options.override_default_trust_store_from_path(None, str(stack.authority.path))
    with tunnel(stack.place.ports.https) as port:
        provider = auth.AwsCredentialsProvider.new_x509(
            endpoint="localhost",
            thing_name=device.name,
            role_alias=device.name,
            tls_ctx=io.ClientTlsContext(options),
            http_proxy_options=http.HttpProxyOptions("127.0.0.1", port),
        )
        given = provider.get_credentials().result(PATIENCE_SECONDS)
    session = boto3.Session(
        given.access_key_id, given.secret_access_key, given.session_token, region_name=REGION
    )
    who = session.client("sts", endpoint_url=stack.emulator.url).get_caller_identity()
    assert who["Arn"].endswith(f":assumed-role/{device.name}/{device.certificate_id}")


@pytest.mark.usefixtures("alias")
def test_curl_gets_what_the_document_shows(stack: Stack, device: Device) -> None:
    iot = stack.emulator.client("iot")
    assert iot.describe_endpoint(endpointType="iot:CredentialProvider")["endpointAddress"] == "localhost"
    answer = ask(stack, device, device.name, device.name)
    assert answer.status_code == HTTPStatus.OK, answer.text
    given = answer.json()["credentials"]
    assert set(given) == {"accessKeyId", "secretAccessKey", "sessionToken", "expiration"}
    assert given["expiration"].endswith("Z")


def test_what_is_refused_is_refused_in_the_words_of_aws(
    stack: Stack, device: Device, name: str, role: str
) -> None:
    iot, iam = stack.emulator.client("iot"), stack.emulator.client("iam")

    def said(alias: str, thing: str | None) -> tuple[int, str]:
        answer = ask(stack, device, alias, thing)
        return answer.status_code, answer.json()["message"]

    assert said(name, "another") == (403, "Invalid thing name passed")
    assert said("another", name) == (403, "Access Denied")
    # Its policy's variable has no value without the thing's name.
    assert said(name, None) == (403, "Access Denied")
    assert said(name, name) == (404, "Role alias does not exist")
    iot.create_role_alias(roleAlias=name, roleArn=f"{role}-not-there")
    unable = (400, "Unable to assume the role, or the role to assume does not exist")
    assert said(name, name) == unable
    iot.update_role_alias(roleAlias=name, roleArn=role, credentialDurationSeconds=43_200)
    exceeds = "The requested CredentialDurationSeconds exceeds the MaxSessionDuration set for the role"
    assert said(name, name) == (400, exceeds)
    iot.update_role_alias(roleAlias=name, credentialDurationSeconds=3600)
    assert ask(stack, device, name, name).status_code == HTTPStatus.OK
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam.update_assume_role_policy(
        RoleName=name, PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )
    assert said(name, name) == unable
    iot.delete_role_alias(roleAlias=name)


def test_role_aliases_have_the_api_that_terraform_uses(stack: Stack, alias: str, name: str) -> None:
    iot = stack.emulator.client("iot")
    found = iot.describe_role_alias(roleAlias=name)["roleAliasDescription"]
    assert (found["roleAliasArn"], found["credentialDurationSeconds"]) == (alias, 900)
    with pytest.raises(ClientError, match="ResourceAlreadyExistsException"):
        iot.create_role_alias(roleAlias=name, roleArn=found["roleArn"])
    assert name in iot.list_role_aliases(pageSize=250)["roleAliases"]
    iot.tag_resource(resourceArn=alias, tags=[{"Key": "a", "Value": "b"}, {"Key": "c", "Value": "d"}])
    iot.untag_resource(resourceArn=alias, tagKeys=["a"])
    assert iot.list_tags_for_resource(resourceArn=alias)["tags"] == [{"Key": "c", "Value": "d"}]
    with pytest.raises(ClientError, match="credentialDurationSeconds"):
        iot.update_role_alias(roleAlias=name, credentialDurationSeconds=43_201)
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.describe_role_alias(roleAlias=f"{name}-not-there")
