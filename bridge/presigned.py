"""WebSocket URLs signed in their query (Signature Version 4), as AWS IoT Core takes them; no sockets here.

AWS IoT's own way: service ``iotdevicegateway``, only ``host`` signed, an empty payload, and a session token
that is appended after signing ("MQTT over WebSocket" in the AWS IoT Core developer guide).
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote, urlsplit

SERVICE = "iotdevicegateway"
PATH = "/mqtt"

_ALGORITHM = "AWS4-HMAC-SHA256"
_TIME = "%Y%m%dT%H%M%SZ"
_UNSIGNED = ("X-Amz-Signature", "X-Amz-Security-Token")
_MOST_SECONDS = 86_400
# Clocks differ.
_AHEAD = timedelta(seconds=60)


class RefusedUrlError(Exception):
    """The URL opens nothing; the message says why, without the signature that would have."""


@dataclass(frozen=True)
class Credentials:
    """Who signs."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


def sign(
    endpoint: str, credentials: Credentials, region: str, *, now: datetime, seconds: int, scheme: str = "wss"
) -> str:
    """A URL of ``endpoint`` (host, or host:port) that may be connected to within ``seconds`` of ``now`` (UTC)."""
    scope = f"{now:%Y%m%d}/{region}/{SERVICE}/aws4_request"
    query = {
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{credentials.access_key_id}/{scope}",
        "X-Amz-Date": now.strftime(_TIME),
        "X-Amz-Expires": str(seconds),
        "X-Amz-SignedHeaders": "host",
    }
    signature = _signature(query, endpoint, scope, credentials.secret_access_key)
    token = credentials.session_token
    appended = f"&X-Amz-Security-Token={quote(token, safe='')}" if token else ""
    return f"{scheme}://{endpoint}{PATH}?{_canonical(query)}&X-Amz-Signature={signature}{appended}"


def verify(target: str, host: str, credentials: Credentials, region: str, *, now: datetime) -> None:
    """Check a request's target (path and query) and ``Host`` header.

    Raises:
        RefusedUrlError: it is not signed by these credentials for this host and region, or its time is over.
    """
    parts = urlsplit(target)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    query = dict(pairs)
    if parts.path != PATH or len(query) != len(pairs):
        raise RefusedUrlError("it is not a presigned URL of /mqtt")
    try:
        begins = datetime.strptime(query["X-Amz-Date"], _TIME).replace(tzinfo=UTC)
        seconds = int(query["X-Amz-Expires"])
        given = query["X-Amz-Signature"].encode()
        identity, signed = query["X-Amz-Credential"], query["X-Amz-SignedHeaders"]
    except (KeyError, ValueError) as error:
        raise RefusedUrlError("a parameter of the signature is missing or unreadable") from error
    scope = f"{begins:%Y%m%d}/{region}/{SERVICE}/aws4_request"
    if identity != f"{credentials.access_key_id}/{scope}" or signed != "host":
        raise RefusedUrlError("it is signed by, or for, somebody else")
    kept = {name: value for name, value in query.items() if name not in _UNSIGNED}
    expected = _signature(kept, host, scope, credentials.secret_access_key)
    if not hmac.compare_digest(expected.encode(), given):
        raise RefusedUrlError("the signature is wrong")
    if not 0 < seconds <= _MOST_SECONDS or not begins - _AHEAD <= now <= begins + timedelta(seconds=seconds):
        raise RefusedUrlError("it has expired, or is not valid yet")


def _canonical(query: dict[str, str]) -> str:
    return "&".join(f"{quote(name, safe='')}={quote(query[name], safe='')}" for name in sorted(query))


def _signature(query: dict[str, str], host: str, scope: str, secret: str) -> str:
    empty = hashlib.sha256().hexdigest()
    request = f"GET\n{PATH}\n{_canonical(query)}\nhost:{host}\n\nhost\n{empty}"
    text = f"{_ALGORITHM}\n{query['X-Amz-Date']}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, text.encode(), "sha256").hexdigest()
