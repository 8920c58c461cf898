"""Whatever certificate is registered and ACTIVE connects, whoever issued it.

"X.509 client certificates" of the AWS IoT Core developer guide (x509-client-certs.html).
"""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from paho.mqtt.enums import CallbackAPIVersion

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


def test_where_alpn_says_so_the_port_of_websockets_takes_certificates(
    stack: Stack, registered: Registered, tmp_path: Path, name: str
) -> None:
    """By paho, whose context asks for ``x-amzn-mqtt-ca``: "Protocols, port mappings, and authentication"."""
    certificate, key = registered.created()
    (tmp_path / "device.crt").write_bytes(certificate)
    (tmp_path / "device.key").write_bytes(key)
    context = ssl.create_default_context(cafile=str(stack.authority.path))
    context.set_alpn_protocols(["x-amzn-mqtt-ca"])
    port = stack.place.ports.websocket
    # Closed, or reset, without a certificate; for the client the handshake may be over before the server has looked.
    with (
        contextlib.suppress(OSError),
        socket.create_connection(("localhost", port), timeout=PATIENCE_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as without,
    ):
        without.sendall(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01a")
        assert without.recv(1) == b""
    context.load_cert_chain(tmp_path / "device.crt", tmp_path / "device.key")
    connected = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name)
    client.tls_set_context(context)
    client.on_connect = lambda _c, _d, _f, reason, _p: None if reason.is_failure else connected.set()
    client.connect("localhost", port)
    client.loop_start()
    try:
        assert connected.wait(PATIENCE_SECONDS)
    finally:
        client.disconnect()
        client.loop_stop()
        client._reset_sockets()
