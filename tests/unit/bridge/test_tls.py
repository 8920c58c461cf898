"""What we do on a Python whose ssl module cannot be told to take any issuer."""

import logging
import ssl
from pathlib import Path

import pytest

from bridge import tls
from bridge.authority import Authority


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """Make an authority and a server's certificate, on a Python whose contexts are laid out in an unknown way."""

    def unknown(_context: ssl.SSLContext) -> None:
        raise tls.UnknownOpensslError("its contexts do not begin with OpenSSL's")

    monkeypatch.setattr(tls, "_take_any_issuer", unknown)
    made = Authority.load_or_create(tmp_path / "authority", name="test CA")
    made.server("localhost").write(tmp_path / "server.crt", tmp_path / "server.key")
    return made


def test_certificates_of_the_authority_are_taken_all_the_same(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        context = tls.server_context(tmp_path / "server.crt", tmp_path / "server.key", authority.path)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert [each["subject"] for each in context.get_ca_certs()] == [((("commonName", "test CA"),),)]
    assert "certificates of ca.crt alone" in caplog.text


@pytest.mark.usefixtures("authority")
def test_without_an_authority_the_broker_does_not_start(tmp_path: Path) -> None:
    """Open to nobody would look like working, and open to all is worse."""
    with pytest.raises(tls.UnknownOpensslError):
        tls.server_context(tmp_path / "server.crt", tmp_path / "server.key")
