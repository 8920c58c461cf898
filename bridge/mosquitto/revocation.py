"""The certificate revocation list: deactivated and deleted certificates cannot connect."""

import datetime
from collections.abc import Collection
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

_VALID = datetime.timedelta(days=825)


class Revocations:
    """Signs lists with the authority's key, and remembers what is revoked over restarts."""

    def __init__(self, authority: Path, key: Path, remembered: Path) -> None:
        """Load the authority (PEM) and what was revoked before."""
        self._authority = x509.load_pem_x509_certificate(authority.read_bytes())
        loaded = serialization.load_pem_private_key(key.read_bytes(), password=None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)  # noqa: S101  # of a CA
        self._key = loaded
        self._remembered = remembered
        self._serials: set[int] = set()
        if remembered.is_file():
            self._serials = {
                int(serial) for serial in msgspec.json.decode(remembered.read_bytes(), type=list[str])
            }
        # Clocks differ; and each list must be newer than the one before, which has seconds to tell by.
        self._issued = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)

    def change(self, *, revoke: set[int], restore: set[int]) -> bool:
        """Revoke and restore certificates by serial number; returns whether that changed anything."""
        serials = (self._serials | revoke) - restore
        changed = serials != self._serials
        self._serials = serials
        if changed:
            self._remembered.write_bytes(msgspec.json.encode([str(serial) for serial in sorted(serials)]))
        return changed

    def sign(self, more: Collection[int] = ()) -> bytes:
        """Return the list as of now, PEM; with ``more`` serials on it that are not remembered."""
        self._issued += datetime.timedelta(seconds=1)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._authority.subject)
            .last_update(self._issued)
            .next_update(self._issued + _VALID)
        )
        for serial in sorted(self._serials.union(more)):
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(self._issued).build()
            )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
