"""URLs signed as AWS IoT takes them: only the very one that was signed opens, and only in its time."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.credentials import Credentials

from bridge.front_door.presigned import RefusedUrlError, sign, verify

KEY = Credentials("AKIDEXAMPLE", "a secret")
HOST = "door.example:8443"
REGION = "eu-central-1"


def _signed(credentials: Credentials = KEY, region: str = REGION) -> str:
    return sign(HOST, credentials, region, seconds=60).removeprefix(f"ws://{HOST}")


def _signed_at(target: str) -> datetime:
    text = parse_qs(urlsplit(target).query)["X-Amz-Date"][0]
    return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


@pytest.mark.parametrize("later", [-59, 0, 59])
def test_opens_in_its_time(later: int) -> None:
    target = _signed()
    verify(target, HOST, KEY, REGION, now=_signed_at(target) + timedelta(seconds=later))


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
        (("Headers=host", "Headers=host%3Bother"), HOST, 0),
        (("X-Amz-Signature=", "Signature="), HOST, 0),
        (("", ""), "elsewhere.example", 0),
        (("", ""), "", 0),
        (("", ""), ":8443", 0),
        (("", ""), "[", 0),
    ],
)
def test_refused(change: tuple[str, str], host: str, later: int) -> None:
    whole = _signed()
    target = whole.replace(*change) if change[0] else whole
    with pytest.raises(RefusedUrlError):
        verify(target, host, KEY, REGION, now=_signed_at(whole) + timedelta(seconds=later))


@pytest.mark.parametrize(
    ("credentials", "region"), [(Credentials("AKIDEXAMPLE", "another"), REGION), (KEY, "us-east-1")]
)
def test_refused_of_another(credentials: Credentials, region: str) -> None:
    target = _signed(credentials, region)
    with pytest.raises(RefusedUrlError):
        verify(target, HOST, KEY, REGION, now=_signed_at(target))


def test_refused_without_its_time() -> None:
    with pytest.raises(RefusedUrlError):
        verify(_signed().replace("X-Amz-Date=", "Date="), HOST, KEY, REGION, now=datetime.now(UTC))
