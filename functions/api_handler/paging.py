"""Where the next page starts, as an opaque token."""

import base64
import hashlib

_CHECK_BYTES = 6


def to_token(place: str, listing: str = "stations") -> str:
    """Make a token for the page of ``listing`` after ``place``."""
    raw = place.encode()
    return base64.urlsafe_b64encode(_check(raw, listing) + raw).decode().rstrip("=")


def from_token(token: str, listing: str = "stations") -> str:
    """Read the place in a token of ours, for the same listing.

    The check is against typing errors and guesses, not against an enemy: a forged token would show nothing
    that a request without one does not.

    Raises:
        ValueError: it is not one of ours.
    """
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        place = raw[_CHECK_BYTES:].decode()
    except ValueError as error:  # not base64, or not UTF-8
        raise ValueError("not a token of this API") from error
    if not place or to_token(place, listing) != token:
        raise ValueError("not a token of this API")
    return place


def _check(content: bytes, listing: str) -> bytes:
    return hashlib.blake2b(content, digest_size=_CHECK_BYTES, person=f"{listing} page".encode()).digest()
