"""WebSocket URLs signed in their query (Signature Version 4), as AWS IoT Core takes them; no sockets here.

AWS IoT's own way: service ``iotdevicegateway``, only ``host`` signed, an empty payload, a session token behind the
signature and not under it ("MQTT over WebSocket" in the AWS IoT Core developer guide). botocore signs; URLs of
temporary credentials are checked here and made elsewhere.
"""

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

SERVICE = "iotdevicegateway"
PATH = "/mqtt"

_TIME = "%Y%m%dT%H%M%SZ"
_SIGNATURE = "X-Amz-Signature"
_TOKEN = "X-Amz-Security-Token"  # noqa: S105  # a parameter's name
_MOST_SECONDS = 86_400
_SECONDS_IF_NOT_SAID = 900
# Clocks differ.
_AHEAD = timedelta(seconds=60)
_CLOCKS = timedelta(minutes=5)


class RefusedUrlError(Exception):
    """The URL opens nothing; the message says why, without the signature that would have."""


def sign(endpoint: str, credentials: Credentials, region: str, *, seconds: int) -> str:
    """Return a ``ws://`` URL of ``endpoint`` (host:port) that may be connected to within ``seconds`` from now."""
    request = AWSRequest("GET", f"ws://{endpoint}{PATH}")
    SigV4QueryAuth(credentials, SERVICE, region, expires=seconds).add_auth(request)
    return str(request.url)


class _SignsWhatIsThere(SigV4Auth):
    """Signs every header of a request: botocore leaves out some, such as Connection, that the AWS CRT signs."""

    def headers_to_sign(self, request: AWSRequest) -> Any:
        """Return the headers that are signed."""
        found = super().headers_to_sign(request)
        for name, value in request.headers.items():
            if name.lower() not in found:
                found[name.lower()] = value
        return found


class _QueryVerifier(_SignsWhatIsThere, SigV4QueryAuth):
    """Works out what the signature in a query must be."""


class _HeaderVerifier(_SignsWhatIsThere):
    """Works out what the signature in a header must be."""


def signer_of(target: str, authorization: str | None) -> str:
    """Return the access key id that a request's query, or its ``Authorization`` header, says it is signed by.

    Raises:
        RefusedUrlError: it says nothing of the kind.
    """
    given = dict(parse_qsl(urlsplit(target).query)).get("X-Amz-Credential", "")
    if authorization:
        given = _authorization(authorization).get("Credential", "")
    if "/" not in given:
        raise RefusedUrlError("it is not signed: Signature Version 4 is needed, in the query or in headers")
    return given.partition("/")[0]


def verify_headers(
    target: str, headers: Mapping[str, str], credentials: Credentials, region: str, *, now: datetime
) -> None:
    """Check a request that is signed in its ``Authorization`` header, at the time ``now`` (UTC).

    Raises:
        RefusedUrlError: it is not signed by these credentials for this host and region, or its time is over.
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    given = _authorization(lowered.get("authorization", ""))
    try:
        signed = given["SignedHeaders"].split(";")
        begins = datetime.strptime(lowered["x-amz-date"], _TIME).replace(tzinfo=UTC)
        request = AWSRequest(
            "GET", f"http://{lowered['host']}{target}", headers={name: lowered[name] for name in signed}
        )
        identity, signature = given["Credential"], given["Signature"]
    except (KeyError, ValueError) as error:
        raise RefusedUrlError("a part of the signature is missing or unreadable") from error
    if "host" not in signed or lowered.get(_TOKEN.lower()) != credentials.token:
        raise RefusedUrlError("the host is not signed, or the session token is another's")
    request.context["timestamp"] = lowered["x-amz-date"]
    signer = _HeaderVerifier(Credentials(credentials.access_key, credentials.secret_key), SERVICE, region)
    expected = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    if identity != signer.scope(request):
        raise RefusedUrlError("it is signed by, or for, somebody else")
    if not hmac.compare_digest(expected.encode(), signature.encode()):
        raise RefusedUrlError("the signature is wrong")
    if not begins - _CLOCKS <= now <= begins + _CLOCKS:
        raise RefusedUrlError("it has expired, or is not valid yet")


def _authorization(header: str) -> dict[str, str]:
    kind, _, rest = header.partition(" ")
    if kind != "AWS4-HMAC-SHA256":
        return {}
    pairs = (part.strip().partition("=") for part in rest.split(","))
    return {name: value for name, _, value in pairs}


def verify(
    target: str,
    host: str,
    credentials: Credentials,
    region: str,
    *,
    now: datetime,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Check a request's target (path and query) and ``Host`` header at the time ``now`` (UTC).

    ``headers`` are the request's, of which more than ``Host`` may be signed.

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
        # The AWS Common Runtime, which connects at once, gives none.
        seconds = int(query.get("X-Amz-Expires", _SECONDS_IF_NOT_SAID))
        given = query[_SIGNATURE].encode()
        identity, signed = query["X-Amz-Credential"], query["X-Amz-SignedHeaders"]
        if query.get(_TOKEN) != credentials.token:
            raise ValueError("another session's token")  # noqa: TRY301  # refused like the rest
        unsigned = (f"{_SIGNATURE}=", f"{_TOKEN}=")
        kept = "&".join(part for part in parts.query.split("&") if not part.startswith(unsigned))
        lowered = {name.lower(): value for name, value in (headers or {}).items()}
        more = {name: lowered[name] for name in signed.split(";") if name != "host"}
        request = AWSRequest("GET", f"ws://{host}{PATH}?{kept}", headers=more)
        request.context["timestamp"] = query["X-Amz-Date"]
        bare = Credentials(credentials.access_key, credentials.secret_key)
        signer = _QueryVerifier(bare, SERVICE, region)
        expected = signer.signature(
            signer.string_to_sign(request, signer.canonical_request(request)), request
        )
    except (KeyError, ValueError) as error:
        raise RefusedUrlError("a parameter of the signature is missing or unreadable") from error
    if identity != signer.scope(request) or "host" not in signed.split(";"):
        raise RefusedUrlError("it is signed by, or for, somebody else")
    if not hmac.compare_digest(expected.encode(), given):
        raise RefusedUrlError("the signature is wrong")
    if not 0 < seconds <= _MOST_SECONDS or not begins - _AHEAD <= now <= begins + timedelta(seconds=seconds):
        raise RefusedUrlError("it has expired, or is not valid yet")
