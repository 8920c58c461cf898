"""Policy variables of a real certificate (developerguide/cert-policy-variables.md)."""

import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bridge.policies.certificates import certificate_variables, indexed


def _certificate() -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    values = [
        (NameOID.COUNTRY_NAME, "DE"),
        (NameOID.COMMON_NAME, "station-01"),
        (NameOID.COMMON_NAME, "second"),
        (NameOID.ORGANIZATION_NAME, "Amazon.com Inc. L=Seattle"),
        (NameOID.SURNAME, "Ohm"),
        *((NameOID.ORGANIZATIONAL_UNIT_NAME, f"unit {number}") for number in range(7)),
    ]
    name = x509.Name([x509.NameAttribute(oid, value) for oid, value in values])
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "An authority")])
    now = datetime.datetime.now(datetime.UTC)
    alternative = x509.SubjectAlternativeName(
        [
            x509.DNSName("station.example"),
            x509.IPAddress(ipaddress.ip_address("192.0.2.7")),
            x509.RFC822Name("a@example.org"),
            x509.UniformResourceIdentifier("urn:x"),
            x509.DirectoryName(issuer),
        ]
    )
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(4711)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(alternative, critical=False)
        .sign(key, hashes.SHA256())
    )


def test_a_certificates_variables() -> None:
    found = indexed(certificate_variables(_certificate()))
    assert found["iot:Certificate.Subject.CommonName"] == ("station-01",)
    assert found["iot:Certificate.Subject.CommonName.1"] == ("second",)
    assert "iot:Certificate.Subject.CommonName.2" not in found
    assert found["iot:Certificate.Subject.CommonName.List"] == ("station-01", "second")
    assert found["iot:Certificate.Subject.Organization"] == (r"Amazon.com Inc. L\=Seattle",)
    assert len(found["iot:Certificate.Subject.OrganizationalUnit.List"]) == 5
    assert found["iot:Certificate.Subject.Surname"] == ("Ohm",)
    assert found["iot:Certificate.Issuer.CommonName"] == ("An authority",)
    assert found["iot:Certificate.SerialNumber"] == ("4711",)
    alternative = {
        name: found[f"iot:Certificate.Subject.AlternativeName.{name}"][0]
        for name in ("DNSName", "IPAddress", "RFC822Name", "UniformResourceIdentifier", "DirectoryName")
    }
    assert alternative == {
        "DNSName": "station.example",
        "IPAddress": "192.0.2.7",
        "RFC822Name": "a@example.org",
        "UniformResourceIdentifier": "urn:x",
        "DirectoryName": r"CN\=An authority",
    }
    assert "iot:Certificate.Subject.Country" in found["iot:Certificate.AvailableKeys"]
    assert "iot:Certificate.Subject.Title" not in found["iot:Certificate.AvailableKeys"]
