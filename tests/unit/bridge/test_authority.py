"""Certificates carry the station's name and come from this fleet's authority."""

import ssl
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from bridge.authority import Authority, certificate_id


def test_a_station_is_its_common_name(tmp_path: Path) -> None:
    pair = Authority.load_or_create(tmp_path, name="fleet").client("station-01")
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    [name] = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert name.value == "station-01"


def test_the_authority_stays_the_same(tmp_path: Path) -> None:
    first = Authority.load_or_create(tmp_path, name="fleet").client("a")
    Authority.load_or_create(tmp_path, name="fleet")
    authority = x509.load_pem_x509_certificate((tmp_path / "ca.crt").read_bytes())
    x509.load_pem_x509_certificate(first.certificate).verify_directly_issued_by(authority)


def test_keys_are_for_nobody_else(tmp_path: Path) -> None:
    authority = Authority.load_or_create(tmp_path / "ca", name="fleet")
    authority.client("a").write(tmp_path / "a.crt", tmp_path / "a.key")
    for key in (tmp_path / "a.key", tmp_path / "ca" / "ca.key"):
        assert key.stat().st_mode & 0o077 == 0
    ssl.create_default_context().load_cert_chain(tmp_path / "a.crt", tmp_path / "a.key")


def test_a_certificates_id_is_that_of_aws_iot(tmp_path: Path) -> None:
    """The SHA-256 of the DER form."""
    import hashlib

    pair = Authority.load_or_create(tmp_path, name="fleet").client("a")
    der = ssl.PEM_cert_to_DER_cert(pair.certificate.decode())
    assert certificate_id(pair.certificate) == hashlib.sha256(der).hexdigest()
