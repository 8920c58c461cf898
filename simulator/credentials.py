"""Gives a TLS context station after station's certificate and key, at what OpenSSL itself needs for it.

Python's ``SSLContext.load_cert_chain`` reads PEM files by OpenSSL, which in its version 3.0 tries one decoder after the
other: 0.75 ms of CPU for a P-256 key and its certificate. With the key's type said and the PEM decoded here it is 0.35
(``SSL_CTX_use_PrivateKey_ASN1``), in a handshake that costs both ends together 2.4.

Nor does a context send what it was not given, as a device sends its own certificate: OpenSSL would look for the
issuer among the authorities of servers, verify our own certificate by it, and send the issuer's, too, which the broker
then reads and verifies (``SSL_MODE_NO_AUTO_CHAIN``): 0.4 ms of both ends.
"""

import _ssl
import binascii
import ctypes
import functools
import re
import ssl
from pathlib import Path

# From OpenSSL's ssl.h and evp.h.
_VERIFY_PEER, _FAIL_IF_NO_PEER_CERT = 0x01, 0x02
_CTRL_MODE, _NO_AUTO_CHAIN = 33, 0x08
_TYPE_EC = 408
# The object identifier id-ecPublicKey (RFC 5480) in DER, near the begin of a PKCS #8 key.
_EC_KEY, _HEAD = bytes.fromhex("06072a8648ce3d0201"), 40
# One PEM block and nothing else.
_PEM = re.compile(rb"-----BEGIN (CERTIFICATE|PRIVATE KEY)-----\s+([\w+/=\s]+)-----END \1-----\s*")


class Credentials:
    """Loads certificates and keys into one client context."""

    def __init__(self, context: ssl.SSLContext) -> None:
        """Find OpenSSL's own context in Python's; where it is not to be found, `load` is ``load_cert_chain``."""
        self._context = context
        self._pointer = _pointer(context)
        if self._pointer:
            _openssl().SSL_CTX_ctrl(self._pointer, _CTRL_MODE, _NO_AUTO_CHAIN, None)

    @property
    def direct(self) -> bool:
        """Whether OpenSSL is asked itself."""
        return self._pointer is not None

    def load(self, certificate: Path, key: Path) -> None:
        """Have the context's next connections show this certificate.

        Raises:
            OSError: a file cannot be read, or the two do not fit each other (`ssl.SSLError`).
        """
        if self._pointer and self._load(certificate.read_bytes(), key.read_bytes()):
            return
        # Chains, other kinds of keys, and faults, which Python has words for. From now on always: a chain that was
        # loaded once would go out with the next station's certificate, too.
        self._pointer = None
        self._context.load_cert_chain(certificate, key)

    def _load(self, certificate: bytes, key: bytes) -> bool:
        """Load a lone certificate and its P-256 key in PKCS #8; return False for all else."""
        certificate_der, key_der = _der(certificate, b"CERTIFICATE"), _der(key, b"PRIVATE KEY")
        if not certificate_der or not key_der or _EC_KEY not in key_der[:_HEAD]:
            return False
        library = _openssl()
        taken = library.SSL_CTX_use_certificate_ASN1(
            self._pointer, len(certificate_der), certificate_der
        ) and library.SSL_CTX_use_PrivateKey_ASN1(_TYPE_EC, self._pointer, key_der, len(key_der))
        if not taken:
            # Or the next call of `ssl` would tell of it.
            library.ERR_clear_error()
        return bool(taken)


def _der(pem: bytes, label: bytes) -> bytes:
    """Return what the one block of a PEM file holds, or nothing where it is not one of this label."""
    block = _PEM.fullmatch(pem)
    if block is None or block[1] != label:
        return b""
    try:
        return binascii.a2b_base64(block[2])
    except binascii.Error:
        return b""


@functools.cache
def _openssl() -> ctypes.CDLL:
    """Return the OpenSSL that Python's `ssl` uses.

    Raises:
        AttributeError: it is built into the interpreter, and cannot be called.
    """
    library = ctypes.CDLL(getattr(_ssl, "__file__", None))
    pointer, number, size, data = ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_char_p
    library.SSL_CTX_get_verify_mode.argtypes = [pointer]
    library.SSL_CTX_ctrl.argtypes = [pointer, number, size, pointer]
    library.SSL_CTX_use_certificate_ASN1.argtypes = [pointer, number, data]
    library.SSL_CTX_use_PrivateKey_ASN1.argtypes = [number, pointer, data, size]
    library.ERR_clear_error.argtypes = []
    return library


def _pointer(context: ssl.SSLContext) -> int | None:
    """Return where OpenSSL's context of a client is, or None where it is not where it is known to be."""
    try:
        library = _openssl()
    except (AttributeError, OSError):
        return None
    # Behind the head that every Python object has, in Python 3.6 to 3.14 (see bridge/tls.py, which does the same).
    pointer = ctypes.c_void_p.from_address(id(context) + object.__basicsize__).value
    if pointer is None or library.SSL_CTX_get_verify_mode(pointer) != _VERIFY_PEER | _FAIL_IF_NO_PEER_CERT:
        return None
    return pointer
