"""A certificate authority of one's own: signs device certificates and, locally, the broker's.

On AWS the same device certificates are registered with ``RegisterCertificateWithoutCA``, so a station's
private key never leaves this machine and its certificate carries its name on every target.
"""

import datetime
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_VALID = datetime.timedelta(days=825)

# P-256: AWS IoT takes it, and a key takes microseconds where RSA takes a second.
_CURVE = ec.SECP256R1()


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its key, PEM."""

    certificate: bytes
    key: bytes

    def write(self, certificate: Path, key: Path) -> None:
        """Write both; the key for nobody else to read."""
        try:
            write(certificate, self.certificate)
        except FileNotFoundError:
            certificate.parent.mkdir(parents=True, exist_ok=True)
            write(certificate, self.certificate)
        write(key, self.key, mode=0o600)


def write(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Write a file of a few bytes in the fewest system calls: a fleet has tens of thousands of them."""
    _put(path, data, os.O_TRUNC, mode)


def append(path: Path, line: bytes) -> None:
    """Add a line to a file that several processes write."""
    _put(path, line, os.O_APPEND, 0o666)


def _put(path: Path, data: bytes, how: int, mode: int) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | how, mode)
    try:
        os.write(file, data)
    finally:
        os.close(file)


class Authority:
    """A certificate authority kept in a folder."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, path: Path) -> None:
        """Use `load_or_create`."""
        self._certificate = certificate
        self._key = key
        self.path = path

    @classmethod
    def load_or_create(cls, folder: Path, *, name: str) -> Self:
        """Return the authority in ``folder`` (``ca.crt`` and ``ca.key``), made if there is none."""
        certificate_path, key_path = folder / "ca.crt", folder / "ca.key"
        if not (certificate_path.is_file() and key_path.is_file()):
            key = ec.generate_private_key(_CURVE)
            subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
            certificate = (
                _builder(subject, subject, key.public_key())
                .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
                .add_extension(_usage(authority=True), critical=True)
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
                .sign(key, hashes.SHA256())
            )
            _pair(certificate, key).write(certificate_path, key_path)
        certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
        loaded = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)  # noqa: S101  # we wrote it
        return cls(certificate, loaded, certificate_path)

    def client(self, common_name: str) -> KeyPair:
        """Return a device certificate whose common name is the station's."""
        return self._issue(common_name, ExtendedKeyUsageOID.CLIENT_AUTH, [])

    def server(self, *hosts: str) -> KeyPair:
        """Return a server certificate for loopback names and addresses."""
        names: list[x509.GeneralName] = []
        for host in hosts:
            try:
                names.append(x509.IPAddress(ipaddress.ip_address(host)))
            except ValueError:
                names.append(x509.DNSName(host))
        # A common name holds 64 characters; the whole of it is among the alternative names.
        return self._issue(hosts[0][-64:], ExtendedKeyUsageOID.SERVER_AUTH, names)

    def _issue(
        self, common_name: str, usage: x509.ObjectIdentifier, names: list[x509.GeneralName]
    ) -> KeyPair:
        key = ec.generate_private_key(_CURVE)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        builder = (
            _builder(subject, self._certificate.subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return _pair(builder.sign(self._key, hashes.SHA256()), key)


def certificate_id(certificate: bytes) -> str:
    """AWS IoT's id of a certificate: the SHA-256 of its DER form, in hexadecimal."""
    return x509.load_pem_x509_certificate(certificate).fingerprint(hashes.SHA256()).hex()


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # clocks differ
        .not_valid_after(now + _VALID)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> KeyPair:
    return KeyPair(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )
