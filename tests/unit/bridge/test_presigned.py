"""URLs signed as AWS IoT takes them: only the very one that was signed opens, and only in its time."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials

from bridge.presigned import Credentials, RefusedUrlError, sign, verify

KEY = Credentials("AKIDEXAMPLE", "a secret")
NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
HOST = "door.example:8443"


def _target(url: str) -> str:
    return url.removeprefix(f"wss://{HOST}")


def _signed() -> str:
    return _target(sign(HOST, KEY, "eu-central-1", now=NOW, seconds=60))


def test_opens_in_its_time() -> None:
    verify(_signed(), HOST, KEY, "eu-central-1", now=NOW + timedelta(seconds=59))


def test_a_session_token_is_not_signed() -> None:
    url = sign(
        HOST,
        Credentials(KEY.access_key_id, KEY.secret_access_key, "t/k+"),
        "eu-central-1",
        now=NOW,
        seconds=60,
    )
    assert url.endswith("&X-Amz-Security-Token=t%2Fk%2B")
    verify(_target(url), HOST, KEY, "eu-central-1", now=NOW)


@pytest.mark.parametrize(
    ("change", "host", "later"),
    [
        (("", ""), HOST, 61),
        (("", ""), HOST, -61),
        (("Expires=60", "Expires=6000"), HOST, 0),
        (("Signature=", "Signature=0"), HOST, 0),
        (("AKIDEXAMPLE", "AKIDOTHER"), HOST, 0),
        (("/mqtt?", "/other?"), HOST, 0),
        (("/mqtt?", "/mqtt?X-Amz-Expires=60&"), HOST, 0),
        (("X-Amz-Date=", "Date="), HOST, 0),
        (("", ""), "elsewhere.example", 0),
    ],
)
def test_refused(change: tuple[str, str], host: str, later: int) -> None:
    target = _signed().replace(*change) if change[0] else _signed()
    with pytest.raises(RefusedUrlError):
        verify(target, host, KEY, "eu-central-1", now=NOW + timedelta(seconds=later))


def test_signs_as_botocore_does() -> None:
    """botocore signs the very same request; only its clock has to be given to ours."""
    request = AWSRequest("GET", f"https://{HOST}/mqtt")
    SigV4QueryAuth(
        BotoCredentials(KEY.access_key_id, KEY.secret_access_key),
        "iotdevicegateway",
        "eu-central-1",
        expires=60,
    ).add_auth(request)
    theirs = parse_qs(urlsplit(request.url).query)
    now = datetime.strptime(theirs["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    ours = parse_qs(urlsplit(sign(HOST, KEY, "eu-central-1", now=now, seconds=60)).query)
    assert ours == theirs
