"""Where the next page starts, as an opaque token."""

import base64
import hashlib

_CHECK_BYTES = 6


def to_token(station_id: str) -> str:
    """A token for the page after ``station_id``."""
    raw = station_id.encode()
    return base64.urlsafe_b64encode(_check(raw) + raw).decode().rstrip("=")


def from_token(token: str) -> str:
    """The station id in a token of ours.

    The check is against typing errors and guesses, not against an enemy: a forged token would show nothing
    that a request without one does not.

    Raises:
        ValueError: it is not one of ours.
    """
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        station_id = raw[_CHECK_BYTES:].decode()
    except ValueError as error:  # not base64, or not UTF-8
        raise ValueError("not a token of this API") from error
    if not station_id or to_token(station_id) != token:
        raise ValueError("not a token of this API")
    return station_id


def _check(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_CHECK_BYTES, person=b"stations page").digest()
