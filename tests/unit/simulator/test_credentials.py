"""A station shows its own certificate, whichever way it is loaded."""

import _ssl
import contextlib
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bridge.authority import Authority, KeyPair
from simulator.credentials import Credentials

_TURNS = 10


class Ends:
    """A station's context, and a server that takes certificates of the stations' authority."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority.load_or_create(folder / "authority", name="test CA")
        self.authority.server("localhost").write(folder / "server.crt", folder / "server.key")
        self.server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.authority.path))
        self.server.load_cert_chain(folder / "server.crt", folder / "server.key")
        self.server.verify_mode = ssl.CERT_REQUIRED
        self.client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.client.load_verify_locations(self.authority.path)
        self.credentials = Credentials(self.client)

    def write(self, name: str, pair: KeyPair) -> None:
        """Write a station's two files."""
        pair.write(self.folder / f"{name}.crt", self.folder / f"{name}.key")

    def load(self, name: str, key: str = "") -> None:
        """Load a station's certificate, with the key of another if one is named."""
        self.credentials.load(self.folder / f"{name}.crt", self.folder / f"{key or name}.key")

    def shown(self) -> list[str]:
        """Shake hands; return the common names of all certificates that the server was sent."""
        bios = [ssl.MemoryBIO() for _ in range(4)]
        client = self.client.wrap_bio(bios[0], bios[1], server_hostname="localhost")
        server = self.server.wrap_bio(bios[2], bios[3], server_side=True)
        for _ in range(_TURNS):
            for end in (client, server):
                with contextlib.suppress(ssl.SSLWantReadError):
                    end.do_handshake()
                bios[2].write(bios[1].read())
                bios[0].write(bios[3].read())
        sent = server._sslobj.get_unverified_chain()  # type: ignore[attr-defined]  # public in Python 3.13
        return [_name(each.public_bytes(_ssl.ENCODING_DER)) for each in sent]


def _name(der: bytes) -> str:
    return x509.load_der_x509_certificate(der).subject.rfc4514_string()


@pytest.fixture
def ends(tmp_path: Path) -> Ends:
    """Make two ends that know each other's authority."""
    return Ends(tmp_path)


def test_one_context_shows_station_after_station_and_never_the_issuer(ends: Ends) -> None:
    for name in ("station-1", "station-2"):
        ends.write(name, ends.authority.client(name))
    for name in ("station-1", "station-2", "station-1"):
        ends.load(name)
        assert ends.shown() == [f"CN={name}"]
    assert ends.credentials.direct  # the machines that this is tested on have an OpenSSL that can be called


def test_another_stations_key_is_refused_in_words(ends: Ends) -> None:
    for name in ("station-1", "station-2"):
        ends.write(name, ends.authority.client(name))
    with pytest.raises(ssl.SSLError, match="KEY_VALUES_MISMATCH"):
        ends.load("station-1", key="station-2")
    ends.load("station-2")
    assert ends.shown() == ["CN=station-2"]


def test_a_file_that_is_no_certificate_is_refused_and_one_that_is_missing_named(ends: Ends) -> None:
    ends.write("station-1", ends.authority.client("station-1"))
    (ends.folder / "broken.crt").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    with pytest.raises(ssl.SSLError):
        ends.load("broken", key="station-1")
    with pytest.raises(FileNotFoundError):
        ends.load("missing", key="station-1")


def test_a_chain_goes_out_whole_and_not_with_the_next_station(ends: Ends) -> None:
    first, second = ends.authority.client("station-1"), ends.authority.client("station-2")
    ends.write("station-1", KeyPair(first.certificate + ends.authority.path.read_bytes(), first.key))
    ends.write("station-2", second)
    ends.load("station-1")
    assert ends.shown() == ["CN=station-1", "CN=test CA"]
    ends.load("station-2")
    assert ends.shown() == ["CN=station-2"]


def test_an_rsa_key_as_aws_makes_them_is_loaded_too(ends: Ends) -> None:
    key = rsa.generate_private_key(65_537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "station-1")])
    own = ends.authority.client("station-1")
    pattern = x509.load_pem_x509_certificate(own.certificate)
    authority_key = serialization.load_pem_private_key(
        (ends.folder / "authority" / "ca.key").read_bytes(), None
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(pattern.issuer)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(pattern.not_valid_before_utc)
        .not_valid_after(pattern.not_valid_after_utc)
        .sign(authority_key, pattern.signature_hash_algorithm)  # type: ignore[arg-type]  # an EC key, and SHA-256
    )
    traditional = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    ends.write("station-1", KeyPair(certificate.public_bytes(serialization.Encoding.PEM), traditional))
    ends.load("station-1")
    assert ends.shown() == ["CN=station-1"]
