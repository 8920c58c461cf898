"""hashicorp/tls: keys, certificates that sign themselves, and certificate requests."""

import base64
import hashlib
import ipaddress
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from base import FLAG, NUMBER, TEXT, Made, Read, State, UnsupportedError, computed, given, needed, preset
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID
from tf.blocks import SetNestedBlock
from tf.schema import Attribute, Block
from tf.types import List

_CURVES = {"P224": ec.SECP224R1, "P256": ec.SECP256R1, "P384": ec.SECP384R1, "P521": ec.SECP521R1}
_NAMES = {
    "common_name": NameOID.COMMON_NAME,
    "country": NameOID.COUNTRY_NAME,
    "locality": NameOID.LOCALITY_NAME,
    "organization": NameOID.ORGANIZATION_NAME,
    "organizational_unit": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "postal_code": NameOID.POSTAL_CODE,
    "province": NameOID.STATE_OR_PROVINCE_NAME,
}
_SUBJECT = SetNestedBlock("subject", Block(attributes=[given(name) for name in _NAMES]))
_PUBLIC = (
    "public_key_pem",
    "public_key_openssh",
    "public_key_fingerprint_md5",
    "public_key_fingerprint_sha256",
)


def _public(key: Any) -> State:
    public = key.public_key()
    ssh = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    blob = base64.b64decode(ssh.split()[1])
    md5 = hashlib.md5(blob, usedforsecurity=False).digest()
    sha256 = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    found = dict(zip(_PUBLIC, (pem, f"{ssh}\n", md5.hex(":"), f"SHA256:{sha256}"), strict=True))
    return found | {"id": hashlib.sha1(pem.encode(), usedforsecurity=False).hexdigest()}


class PrivateKey(Made):
    """``tls_private_key``."""

    name = "private_key"
    attributes: ClassVar[list[Attribute]] = [
        needed("algorithm"),
        preset("rsa_bits", 2048, NUMBER),
        preset("ecdsa_curve", "P224"),
        *computed("id", *_PUBLIC),
        *computed("private_key_pem", "private_key_pem_pkcs8", "private_key_openssh", sensitive=True),
    ]

    def make(self, state: State) -> State:
        """Draw it."""
        key: Any
        if state["algorithm"] == "RSA":
            key = rsa.generate_private_key(65537, int(state["rsa_bits"]))
        elif state["algorithm"] == "ECDSA":
            key = ec.generate_private_key(_CURVES[state["ecdsa_curve"]]())
        elif state["algorithm"] == "ED25519":
            key = ed25519.Ed25519PrivateKey.generate()
        else:
            raise UnsupportedError(f"algorithm {state['algorithm']!r} is none of RSA, ECDSA and ED25519")

        def pem(form: PrivateFormat) -> str:
            return key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()

        usual = PrivateFormat.PKCS8 if state["algorithm"] == "ED25519" else PrivateFormat.TraditionalOpenSSL
        return _public(key) | {
            "private_key_pem": pem(usual),
            "private_key_pem_pkcs8": pem(PrivateFormat.PKCS8),
            "private_key_openssh": pem(PrivateFormat.OpenSSH),
        }


class PublicKey(Read):
    """``tls_public_key``."""

    name = "public_key"
    attributes: ClassVar[list[Attribute]] = [
        needed("private_key_pem", sensitive=True),
        *computed("id", *_PUBLIC),
    ]

    def make(self, state: State) -> State:
        """Work it out."""
        return _public(load_pem_private_key(state["private_key_pem"].encode(), None))


def _name(state: State) -> x509.Name:
    given_names = [
        x509.NameAttribute(oid, block[name])
        for block in state["subject"]
        for name, oid in _NAMES.items()
        if block.get(name)
    ]
    return x509.Name(given_names)


def _alternatives(state: State) -> x509.SubjectAlternativeName | None:
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in state["dns_names"] or []]
    names += [x509.IPAddress(ipaddress.ip_address(each)) for each in state["ip_addresses"] or []]
    return x509.SubjectAlternativeName(names) if names else None


def _digest(key: Any) -> hashes.HashAlgorithm | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


class Request(Made):
    """``tls_cert_request``."""

    name = "cert_request"
    attributes: ClassVar[list[Attribute]] = [
        needed("private_key_pem", sensitive=True),
        given("dns_names", List(TEXT)),
        given("ip_addresses", List(TEXT)),
        *computed("id", "cert_request_pem", "key_algorithm"),
    ]
    blocks: ClassVar[list[SetNestedBlock]] = [_SUBJECT]

    def make(self, state: State) -> State:
        """Sign it."""
        key: Any = load_pem_private_key(state["private_key_pem"].encode(), None)
        builder = x509.CertificateSigningRequestBuilder().subject_name(_name(state))
        if alternatives := _alternatives(state):
            builder = builder.add_extension(alternatives, critical=False)
        pem = builder.sign(key, _digest(key)).public_bytes(Encoding.PEM).decode()
        identity = hashlib.sha1(pem.encode(), usedforsecurity=False).hexdigest()
        return {"cert_request_pem": pem, "id": identity, "key_algorithm": _algorithm(key)}


class SelfSigned(Made):
    """``tls_self_signed_cert``."""

    name = "self_signed_cert"
    attributes: ClassVar[list[Attribute]] = [
        needed("private_key_pem", sensitive=True),
        needed("validity_period_hours", NUMBER),
        needed("allowed_uses", List(TEXT)),
        given("dns_names", List(TEXT)),
        given("ip_addresses", List(TEXT)),
        preset("is_ca_certificate", False, FLAG),
        *computed("id", "cert_pem", "key_algorithm", "validity_start_time", "validity_end_time"),
    ]
    blocks: ClassVar[list[SetNestedBlock]] = [_SUBJECT]

    def make(self, state: State) -> State:
        """Sign it."""
        key: Any = load_pem_private_key(state["private_key_pem"].encode(), None)
        name, begin = _name(state), datetime.now(UTC).replace(microsecond=0)
        end = begin + timedelta(hours=int(state["validity_period_hours"]))
        uses = set(state["allowed_uses"])
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(bool(state["is_ca_certificate"]), None), critical=True)
            .add_extension(
                x509.KeyUsage(
                    digital_signature="digital_signature" in uses,
                    content_commitment="content_commitment" in uses,
                    key_encipherment="key_encipherment" in uses,
                    data_encipherment="data_encipherment" in uses,
                    key_agreement="key_agreement" in uses,
                    key_cert_sign="cert_signing" in uses,
                    crl_sign="crl_signing" in uses,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
        )
        if alternatives := _alternatives(state):
            builder = builder.add_extension(alternatives, critical=False)
        certificate = builder.sign(key, _digest(key))
        return {
            "id": str(certificate.serial_number),
            "cert_pem": certificate.public_bytes(Encoding.PEM).decode(),
            "key_algorithm": _algorithm(key),
            "validity_start_time": begin.isoformat(),
            "validity_end_time": end.isoformat(),
        }


def _algorithm(key: Any) -> str:
    if isinstance(key, rsa.RSAPrivateKey):
        return "RSA"
    return "ECDSA" if isinstance(key, ec.EllipticCurvePrivateKey) else "ED25519"


# Resources and data sources by the provider's name.
PROVIDERS = {"tls": ([PrivateKey, SelfSigned, Request], [PublicKey])}
