"""TLS with clients whose certificates may be anybody's: what counts is that they are registered.

AWS IoT takes a client certificate that is registered and ACTIVE whoever issued it. OpenSSL would refuse one whose
issuer it does not know, and Python's `ssl` has no callback with which to say otherwise, so OpenSSL's own function is
called here (``SSL_CTX_set_verify``). TLS proves that the client has the certificate's key, and the certificate must be
valid today; whether it is registered is asked at the CONNECT.
"""

import _ssl
import asyncio
import ctypes
import functools
import logging
import ssl
from pathlib import Path

log = logging.getLogger(__name__)

# From OpenSSL's ssl.h and x509_vfy.h.
_VERIFY_PEER, _FAIL_IF_NO_PEER_CERT = 0x01, 0x02
_NOT_YET_VALID, _HAS_EXPIRED = 9, 10

# ALPN's names of MQTT with a custom authorizer and with a certificate ("Protocols, port mappings, and
# authentication").
CUSTOM_MQTT, CERTIFICATE_MQTT = "mqtt", "x-amzn-mqtt-ca"
_ASKED_FOR = "_asked_for"

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p)


class UnknownOpensslError(RuntimeError):
    """This Python's `ssl` is not laid out as all known ones are."""


def server_context(certificate: Path, key: Path, authority: Path | None = None) -> ssl.SSLContext:
    """Return a context that demands a client certificate, of whatever issuer, that is valid today.

    Args:
        certificate: the server's own, PEM.
        key: its key, PEM.
        authority: the one issuer, PEM, that is taken where this Python cannot be told to take any.

    Raises:
        UnknownOpensslError: this Python's `ssl` module cannot be told so, and no authority is named.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    context.sni_callback = _note_server_name
    # Tickets would let a deactivated certificate resume; and each costs a signature.
    context.num_tickets = 0
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        _take_any_issuer(context)
    except UnknownOpensslError as error:
        if authority is None:
            raise
        log.warning(
            "this Python takes certificates of %s alone (%s): those that AWS IoT's API makes are refused. "
            "Run the broker by a Python whose ssl module is a library of its own, such as Debian's",
            authority.name,
            error,
        )
        context.load_verify_locations(authority)
    return context


def websocket_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return a context for clients that sign, or go to a custom authorizer, instead of showing a certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    context.sni_callback = _note_server_name
    context.set_alpn_protocols([CUSTOM_MQTT, "http/1.1"])
    return context


def server_name(transport: asyncio.BaseTransport) -> str:
    """Return the name that the client asked for in TLS (SNI), or "" if it asked for none."""
    return getattr(transport.get_extra_info("ssl_object"), _ASKED_FOR, "")


def _note_server_name(connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
    # Python tells it here, and nowhere later.
    setattr(connection, _ASKED_FOR, name or "")


@functools.cache  # asked for in every handshake
def _openssl() -> ctypes.CDLL:
    """Return the module's own symbols, and those of the libraries that it was linked with."""
    # A module that is built into the interpreter has no file: its symbols are the program's.
    return ctypes.CDLL(getattr(_ssl, "__file__", None))


def _take_any_issuer(context: ssl.SSLContext) -> None:
    library = _openssl()
    try:
        get_mode, set_verify = library.SSL_CTX_get_verify_mode, library.SSL_CTX_set_verify
        library.X509_STORE_CTX_get_error.argtypes = [ctypes.c_void_p]
        library.X509_STORE_CTX_get_error_depth.argtypes = [ctypes.c_void_p]
    except AttributeError as error:
        raise UnknownOpensslError(f"its OpenSSL cannot be called: {error}") from error
    get_mode.argtypes = [ctypes.c_void_p]
    set_verify.argtypes = [ctypes.c_void_p, ctypes.c_int, _Callback]
    set_verify.restype = None
    # A context begins with OpenSSL's, behind the head that every Python object has: so it is in Python 3.6 to 3.14.
    pointer = ctypes.c_void_p.from_address(id(context) + object.__basicsize__).value
    if pointer is None or get_mode(pointer) != _VERIFY_PEER | _FAIL_IF_NO_PEER_CERT:
        raise UnknownOpensslError("its contexts do not begin with OpenSSL's")
    set_verify(pointer, _VERIFY_PEER | _FAIL_IF_NO_PEER_CERT, _VERIFY)


def _verdict(_known: int, store: int) -> int:
    """Return 1 for a certificate that may go on, 0 for one that ends the handshake."""
    library = _openssl()
    fault = library.X509_STORE_CTX_get_error(ctypes.c_void_p(store))
    depth = library.X509_STORE_CTX_get_error_depth(ctypes.c_void_p(store))
    # Of an issuer's certificate nothing is asked, since its issuing means nothing here.
    return 0 if depth == 0 and fault in (_NOT_YET_VALID, _HAS_EXPIRED) else 1


# Kept for as long as the program runs: OpenSSL holds its address.
_VERIFY = _Callback(_verdict)
