"""The certificates that a local AWS IoT Core has itself: an authority, the broker's, and those of its own clients."""

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_VALID = datetime.timedelta(days=3650)


class Certificates:
    """A folder with ``ca.pem``, and ``NAME.pem`` with ``NAME.key`` for each name; made once."""

    def __init__(self, folder: Path) -> None:
        """Make the authority if it is not there."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        if not self.authority.is_file():
            key = ec.generate_private_key(ec.SECP256R1())
            name = _name("Local IoT authority")
            constraint = x509.BasicConstraints(ca=True, path_length=0)
            builder = _builder(name, name, key.public_key()).add_extension(constraint, critical=True)
            self._write("ca", builder.sign(key, hashes.SHA256()), key)

    @property
    def authority(self) -> Path:
        """What clients are given to know the broker by."""
        return self._folder / "ca.pem"

    def named(self, name: str, *hosts: str) -> tuple[Path, Path]:
        """Return the files of a certificate and its key; of a server, if there are hosts."""
        certificate, key_file = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        if not certificate.is_file():
            authority = x509.load_pem_x509_certificate(self.authority.read_bytes())
            authority_key = serialization.load_pem_private_key((self._folder / "ca.key").read_bytes(), None)
            assert isinstance(authority_key, ec.EllipticCurvePrivateKey)  # noqa: S101  # as it was written
            key = ec.generate_private_key(ec.SECP256R1())
            builder = _builder(_name(name), authority.subject, key.public_key())
            if hosts:
                builder = builder.add_extension(
                    x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False
                )
            self._write(name, builder.sign(authority_key, hashes.SHA256()), key)
        return certificate, key_file

    def _write(self, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        key_file = self._folder / f"{name}.key"
        key_file.touch(mode=0o600)
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        # Last: where it is there, so is the key.
        (self._folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


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
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + _VALID)
    )
