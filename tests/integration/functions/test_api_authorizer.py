"""The authorizer against a real issuer on loopback: who gets in, and to what."""

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from api_authorizer.policies import policy
from api_authorizer.tokens import Refused, Tokens
from tests.integration.functions.issuer import AUDIENCE, Issuer, running_issuer

METHOD_ARN = "arn:aws:execute-api:eu-central-1:000000000000:api1/dev/GET/stations"


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with running_issuer() as running:
        yield running


@pytest.fixture
def tokens(issuer: Issuer) -> Tokens:
    return Tokens(issuer.url, AUDIENCE)


def allowed(tokens: Tokens, token: str) -> set[str]:
    """Read the methods that the bearer may call, on every path of the stage."""
    [statement] = policy(tokens.bearer(f"Bearer {token}"), METHOD_ARN)["policyDocument"]["Statement"]
    if statement["Effect"] == "Deny":
        assert statement["Resource"] == [METHOD_ARN.replace("GET/stations", "*/*")]
        return set()
    return {resource.split("/")[2] for resource in statement["Resource"]}


@pytest.mark.parametrize(
    ("scope", "methods"),
    [
        ("read", {"GET", "HEAD", "OPTIONS"}),
        ("openid read", {"GET", "HEAD", "OPTIONS"}),
        ("operate", {"*"}),
        ("read operate", {"*"}),
        ("", set()),
        ("readonly openid", set()),
        ("ev-swap/read", set()),
    ],
)
def test_scopes_open_methods(issuer: Issuer, tokens: Tokens, scope: str, methods: set[str]) -> None:
    assert allowed(tokens, issuer.token(scope)) == methods


def test_the_words_of_cognito_and_entra_id(issuer: Issuer) -> None:
    """Cognito: `client_id` for `aud`, scopes behind their resource server; Entra ID: `scp`."""
    cognito = Tokens(issuer.url, "client-1", "ev-swap/")
    claims = {"aud": None, "client_id": "client-1", "token_use": "access"}
    assert allowed(cognito, issuer.token("ev-swap/read", **claims)) == {"GET", "HEAD", "OPTIONS"}
    assert allowed(cognito, issuer.token("read", **claims)) == set()
    with pytest.raises(Refused):
        cognito.bearer(f"Bearer {issuer.token('ev-swap/read', **claims | {'token_use': 'id'})}")
    entra = Tokens(issuer.url, AUDIENCE)
    assert allowed(entra, issuer.token(scope=None, scp=["operate"])) == {"*"}  # type: ignore[arg-type]


def unsigned(issuer: Issuer) -> str:
    """Make a token whose header says that there is no signature, and that has none."""
    _, payload, _ = issuer.token("operate").split(".")
    [kid] = issuer.keys
    head = base64.urlsafe_b64encode(json.dumps({"alg": "none", "kid": kid}).encode()).decode().rstrip("=")
    return f"{head}.{payload}."


def altered(issuer: Issuer) -> str:
    """Make a token whose bearer gave himself a scope."""
    head, payload, signature = issuer.token("read").split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    claims["scope"] = "operate"
    return f"{head}.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.{signature}"


REFUSED: dict[str, Any] = {
    "expired": lambda issuer: issuer.token(exp=int(time.time()) - 60),
    "without an end": lambda issuer: issuer.token(exp=None),
    "not yet good": lambda issuer: issuer.token(nbf=int(time.time()) + 600),
    "another issuer": lambda issuer: issuer.token(iss="https://elsewhere.example"),
    "another audience": lambda issuer: issuer.token(aud="another-api"),
    "no audience": lambda issuer: issuer.token(aud=None),
    "nobody": lambda issuer: issuer.token(sub=None),
    "another key under the same name": lambda issuer: issuer.token(
        key=rsa.generate_private_key(public_exponent=65537, key_size=2048)
    ),
    "a password": lambda issuer: issuer.token(key="k" * 32, algorithm="HS256"),
    "unsigned": unsigned,
    "altered": altered,
    "no token": lambda _: "hello",
    "nothing": lambda _: "",
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_bad_token_is_refused(issuer: Issuer, tokens: Tokens, what: str) -> None:
    with pytest.raises(Refused):
        tokens.bearer(f"Bearer {REFUSED[what](issuer)}")


def test_another_scheme_is_refused(issuer: Issuer, tokens: Tokens) -> None:
    with pytest.raises(Refused):
        tokens.bearer(f"Basic {issuer.token()}")


def test_keys_are_asked_for_once_and_again_when_they_were_changed(issuer: Issuer) -> None:
    """Not for each unknown name, though: the second set of tokens is still within its thirty seconds."""
    quick, slow = Tokens(issuer.url, AUDIENCE, refetch_seconds=0), Tokens(issuer.url, AUDIENCE)
    for tokens in (quick, slow):
        tokens.bearer(f"Bearer {issuer.token()}")
    asked = issuer.requests
    for tokens in (quick, slow):
        tokens.bearer(f"Bearer {issuer.token()}")
    assert issuer.requests == asked
    issuer.rotate()
    assert quick.bearer(f"Bearer {issuer.token()}").subject == "tester"
    asked = issuer.requests
    with pytest.raises(Refused):
        slow.bearer(f"Bearer {issuer.token()}")
    assert issuer.requests == asked


def test_an_issuer_that_does_not_answer_lets_nobody_in(issuer: Issuer) -> None:
    with pytest.raises(OSError, match="refused"):
        Tokens("http://127.0.0.1:1", AUDIENCE).bearer(f"Bearer {issuer.token()}")


def test_the_entry_answers_in_api_gateways_words_and_logs_no_token(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OIDC_ISSUER", issuer.url)
    monkeypatch.setenv("OIDC_AUDIENCE", AUDIENCE)
    from api_authorizer.app import handler

    good, bad = issuer.token("read"), issuer.token("read", aud="another-api")
    answer = handler({"type": "TOKEN", "authorizationToken": f"Bearer {good}", "methodArn": METHOD_ARN}, None)
    assert answer["principalId"] == "tester"
    assert answer["context"] == {"scopes": "read"}
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        handler({"authorizationToken": f"Bearer {bad}", "methodArn": METHOD_ARN}, None)
    said = capsys.readouterr().out
    assert "another audience" in said
    assert good not in said
    assert bad not in said
