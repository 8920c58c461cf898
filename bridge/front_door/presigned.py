"""WebSocket URLs signed in their query (Signature Version 4), as AWS IoT Core takes them; no sockets here.

AWS IoT's own way: service ``iotdevicegateway``, only ``host`` signed, an empty payload, a session token behind the
signature and not under it ("MQTT over WebSocket" in the AWS IoT Core developer guide). botocore signs; URLs of
temporary credentials are checked here and made elsewhere.
"""

import hmac
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

SERVICE = "iotdevicegateway"
PATH = "/mqtt"

_TIME = "%Y%m%dT%H%M%SZ"
_SIGNATURE = "X-Amz-Signature"
_TOKEN = "X-Amz-Security-Token"  # noqa: S105  # a parameter's name
_MOST_SECONDS = 86_400
# Clocks differ.
_AHEAD = timedelta(seconds=60)


class RefusedUrlError(Exception):
    """The URL opens nothing; the message says why, without the signature that would have."""


def sign(endpoint: str, credentials: Credentials, region: str, *, seconds: int) -> str:
    """A ``ws://`` URL of ``endpoint`` (host:port) that may be connected to within ``seconds`` from now."""
    request = AWSRequest("GET", f"ws://{endpoint}{PATH}")
    SigV4QueryAuth(credentials, SERVICE, region, expires=seconds).add_auth(request)
    return str(request.url)


def verify(target: str, host: str, credentials: Credentials, region: str, *, now: datetime) -> None:
    """Check a request's target (path and query) and ``Host`` header at the time ``now`` (UTC).

    Raises:
        RefusedUrlError: it is not signed by these credentials for this host and region, or its time is over.
    """
    parts = urlsplit(target)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    query = dict(pairs)
    if parts.path != PATH or len(query) != len(pairs):
        raise RefusedUrlError("it is not a presigned URL of /mqtt")
    try:
        if not urlsplit(f"//{host}").hostname:  # botocore takes for granted that there is one
            raise ValueError("no host")  # noqa: TRY301  # refused like the rest
        begins = datetime.strptime(query["X-Amz-Date"], _TIME).replace(tzinfo=UTC)
        seconds = int(query["X-Amz-Expires"])
        given = query[_SIGNATURE].encode()
        identity, signed = query["X-Amz-Credential"], query["X-Amz-SignedHeaders"]
        if query.get(_TOKEN) != credentials.token:
            raise ValueError("another session's token")  # noqa: TRY301  # refused like the rest
        unsigned = (f"{_SIGNATURE}=", f"{_TOKEN}=")
        kept = "&".join(part for part in parts.query.split("&") if not part.startswith(unsigned))
        request = AWSRequest("GET", f"ws://{host}{PATH}?{kept}")
        request.context["timestamp"] = query["X-Amz-Date"]
        bare = Credentials(credentials.access_key, credentials.secret_key)
        signer = SigV4QueryAuth(bare, SERVICE, region)
        expected = signer.signature(
            signer.string_to_sign(request, signer.canonical_request(request)), request
        )
    except (KeyError, ValueError) as error:
        raise RefusedUrlError("a parameter of the signature is missing or unreadable") from error
    if identity != signer.scope(request) or signed != "host":
        raise RefusedUrlError("it is signed by, or for, somebody else")
    if not hmac.compare_digest(expected.encode(), given):
        raise RefusedUrlError("the signature is wrong")
    if not 0 < seconds <= _MOST_SECONDS or not begins - _AHEAD <= now <= begins + timedelta(seconds=seconds):
        raise RefusedUrlError("it has expired, or is not valid yet")
