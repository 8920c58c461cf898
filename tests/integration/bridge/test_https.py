"""HTTPS with a device's certificate, by `requests` as AWS's documents have it, and by `aiohttp`.

"HTTPS message code examples", http.html; "Protocols, port mappings, and authentication", protocols.html; "Device
Shadow REST API"; "Jobs device HTTP API" of the AWS IoT Core developer guide.
"""

import asyncio
import json
import ssl
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

import aiohttp
import pytest
import requests

from testbed.identity.enrolment import Enrolment
from tests.integration.bridge.conftest import Rules, Stack, drain, sqs, wait_for

Ask = Callable[..., requests.Response]

POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "iot:Publish",
            "Resource": ["arn:aws:iot:*:*:topic/https/${iot:Certificate.Subject.CommonName}/*"],
        },
        {
            "Effect": "Allow",
            "Action": ["iot:GetThingShadow", "iot:UpdateThingShadow", "iotjobsdata:GetPendingJobExecutions"],
            "Resource": "arn:aws:iot:*:*:thing/${iot:Certificate.Subject.CommonName}",
        },
        # Of HTTPS there is no client id: this opens nothing.
        {"Effect": "Allow", "Action": "iot:Publish", "Resource": "arn:aws:iot:*:*:topic/by/${iot:ClientId}"},
    ],
}


@pytest.fixture
def ask(stack: Stack, enrolment: Enrolment, name: str) -> Iterator[Ask]:
    """``ask(method, path, body)``, with the certificate of the device of this test."""
    iot = stack.emulator.client("iot")
    enrolment.enrol([name])
    iot.create_policy(policyName=name, policyDocument=json.dumps(POLICY))
    [principal] = iot.list_thing_principals(thingName=name)["principals"]
    iot.attach_policy(policyName=name, target=principal)
    folder = stack.place.certificates / "devices"
    with requests.Session() as session:
        # A bundle that the environment names would come before ours.
        session.trust_env = False
        session.verify = str(stack.authority.path)
        session.cert = (str(folder / f"{name}.crt"), str(folder / f"{name}.key"))
        url = f"https://localhost:{stack.place.ports.https}"

        def make(method: str, path: str, body: bytes | str = b"") -> requests.Response:
            return session.request(method, url + path, data=body, timeout=60)

        yield make
    iot.detach_policy(policyName=name, target=principal)
    enrolment.remove([name])
    iot.delete_policy(policyName=name)


def test_a_publish_reaches_rules_and_its_policy_is_asked(
    stack: Stack, ask: Ask, rules: Rules, queue: str, name: str
) -> None:
    rules.add(name.replace("-", "_"), f"SELECT *, clientid() AS c FROM 'https/{name}/#'", sqs(queue))
    done = ask("POST", f"/topics/https/{name}/a?qos=1", json.dumps({"n": 1}))
    assert done.status_code == HTTPStatus.OK, done.text
    assert done.json()["message"] == "OK"
    encoded = ask("POST", f"/topics/https%2F{name}%2Fb?qos=0", json.dumps({"n": 2}))
    assert encoded.status_code == HTTPStatus.OK
    for path in (
        "/topics/https/another/a?qos=1",
        f"/topics/by/{name}?qos=1",
        f"/topics/https/{name}/a?qos=1&retain=true",
    ):
        assert ask("POST", path, "{}").status_code == HTTPStatus.FORBIDDEN, path
    found: list[Any] = []
    assert wait_for(lambda: found.extend(drain(stack, queue)) or len(found) >= 2)
    assert sorted(one["n"] for one in found) == [1, 2]
    # Beside Mosquitto it is inferred from topic and policies.
    assert stack.is_mosquitto or {one["c"] for one in found} == {"n/a"}


def test_shadow_and_jobs_of_its_own_thing_and_no_other(ask: Ask, name: str) -> None:
    updated = ask("POST", f"/things/{name}/shadow", json.dumps({"state": {"reported": {"on": True}}}))
    assert updated.status_code == HTTPStatus.OK, updated.text
    assert ask("GET", f"/things/{name}/shadow").json()["state"] == {"reported": {"on": True}}
    assert ask("GET", f"/things/{name}/jobs").json() == {"inProgressJobs": [], "queuedJobs": []}
    for method, path in (
        ("GET", "/things/another/shadow"),
        ("GET", f"/things/{name}/shadow?name=config"),
        ("DELETE", f"/things/{name}/shadow"),
        ("GET", "/things/another/jobs"),
        ("PUT", f"/things/{name}/jobs/$next"),
        ("GET", "/retainedMessage"),
    ):
        assert ask(method, path).status_code == HTTPStatus.FORBIDDEN, path


def test_a_certificate_that_is_deactivated_is_refused_at_once(stack: Stack, ask: Ask, name: str) -> None:
    iot = stack.emulator.client("iot")
    assert ask("GET", f"/things/{name}/jobs").status_code == HTTPStatus.OK
    [principal] = iot.list_thing_principals(thingName=name)["principals"]
    iot.update_certificate(certificateId=principal.rpartition("/")[2], newStatus="INACTIVE")
    assert ask("GET", f"/things/{name}/jobs").status_code == HTTPStatus.FORBIDDEN


async def _publish(url: str, context: ssl.SSLContext) -> int:
    async with aiohttp.ClientSession() as session, session.post(url, data=b"{}", ssl=context) as answer:
        return answer.status


def test_a_certificate_of_aws_own_issuer_is_taken_and_none_is_not(
    stack: Stack, tmp_path: Any, name: str
) -> None:
    """What `CreateKeysAndCertificate` made connects on both brokers' data plane; who shows nothing does not."""
    iot = stack.emulator.client("iot")
    made = iot.create_keys_and_certificate(setAsActive=True)
    statement = {"Effect": "Allow", "Action": "iot:Publish", "Resource": f"arn:aws:iot:*:*:topic/{name}"}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    iot.create_policy(policyName=name, policyDocument=json.dumps(document))
    iot.attach_policy(policyName=name, target=made["certificateArn"])
    (tmp_path / "c.pem").write_text(made["certificatePem"])
    (tmp_path / "k.pem").write_text(made["keyPair"]["PrivateKey"])
    url = f"https://localhost:{stack.place.ports.https}/topics/{name}?qos=1"
    context = ssl.create_default_context(cafile=str(stack.authority.path))
    with pytest.raises(aiohttp.ClientError):
        asyncio.run(_publish(url, context))
    context.load_cert_chain(tmp_path / "c.pem", tmp_path / "k.pem")
    # As the document's example for port 443 has it.
    context.set_alpn_protocols(["x-amzn-http-ca"])
    assert asyncio.run(_publish(url, context)) == HTTPStatus.OK
