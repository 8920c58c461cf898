"""Whatever certificate is registered and ACTIVE connects, whoever issued it.

"X.509 client certificates" of the AWS IoT Core developer guide (x509-client-certs.html).
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.integration.bridge.conftest import PATIENCE_SECONDS, Device, Stack, wait_for

Made = tuple[bytes, bytes]


pytestmark = pytest.mark.own_broker("Mosquitto knows the certificates of one authority")


def self_signed(name: str, *, begins: timedelta = timedelta(-1), ends: timedelta = timedelta(1)) -> Made:
    """Return a certificate and its key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class Registered:
    """A certificate of the registry, with a thing and a policy that allows it all under its own name."""

    def __init__(self, stack: Stack, name: str) -> None:
        self._stack, self._name = stack, name
        self._iot = stack.emulator.client("iot")
        self.arn = ""

    def created(self) -> Made:
        """CreateKeysAndCertificate."""
        made = self._iot.create_keys_and_certificate(setAsActive=True)
        self._attach(made["certificateArn"])
        return made["certificatePem"].encode(), made["keyPair"]["PrivateKey"].encode()

    def registered(self, made: Made, status: str = "ACTIVE") -> Made:
        """RegisterCertificateWithoutCA."""
        answer = self._iot.register_certificate_without_ca(certificatePem=made[0].decode(), status=status)
        self._attach(answer["certificateArn"])
        return made

    def _attach(self, arn: str) -> None:
        self.arn = arn
        self._iot.create_thing(thingName=self._name)
        self._iot.attach_thing_principal(thingName=self._name, principal=arn)
        self._iot.attach_policy(policyName="bridge-test", target=arn)

    def remove(self) -> None:
        """Take it all away."""
        if not self.arn:
            return
        self._iot.detach_policy(policyName="bridge-test", target=self.arn)
        self._iot.detach_thing_principal(thingName=self._name, principal=self.arn)
        identity = self.arn.rsplit("/", 1)[-1]
        self._iot.update_certificate(certificateId=identity, newStatus="INACTIVE")
        self._iot.delete_certificate(certificateId=identity, forceDelete=True)
        self._iot.delete_thing(thingName=self._name)


@pytest.fixture
def registered(stack: Stack, name: str) -> Any:
    one = Registered(stack, name)
    yield one
    one.remove()


@pytest.fixture
def connect(stack: Stack, name: str, tmp_path: Path) -> Any:
    """``connect(made)``: a client with this certificate."""
    clients: list[Device] = []

    def make(made: Made) -> Device:
        (tmp_path / f"{name}.crt").write_bytes(made[0])
        (tmp_path / f"{name}.key").write_bytes(made[1])
        clients.append(Device(stack, name, tmp_path))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


Connect = Callable[[Made], Device]


def test_a_certificate_that_aws_made_connects_at_once(registered: Registered, connect: Connect) -> None:
    assert connect(registered.created()).connected.wait(PATIENCE_SECONDS)


def test_a_self_signed_certificate_connects_once_it_is_registered(
    registered: Registered, connect: Connect, name: str
) -> None:
    made = self_signed(name)
    stranger = connect(made)
    assert stranger.refused.wait(PATIENCE_SECONDS)
    stranger.client.disconnect()
    assert connect(registered.registered(made)).connected.wait(PATIENCE_SECONDS)


@pytest.mark.parametrize("when", ["expired", "not yet valid", "inactive"])
def test_a_registered_certificate_that_is_not_valid_stays_outside(
    registered: Registered, connect: Connect, stack: Stack, name: str, when: str
) -> None:
    made = {
        "expired": lambda: self_signed(name, begins=timedelta(-2), ends=timedelta(-1)),
        "not yet valid": lambda: self_signed(name, begins=timedelta(1), ends=timedelta(2)),
        "inactive": lambda: self_signed(name),
    }[when]()
    client = connect(registered.registered(made, "INACTIVE" if when == "inactive" else "ACTIVE"))
    assert wait_for(lambda: client.refused.is_set() or client.client._sock is None)
    assert not client.connected.is_set()
    hint = "not registered and ACTIVE" if when == "inactive" else "has expired, or is not valid yet"
    assert hint in stack.place.log("broker").read_text()
