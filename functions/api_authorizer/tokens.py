"""Access tokens of one OpenID Connect issuer (Cognito, Entra ID, Keycloak, ...)."""

import functools
import json
import urllib.request
from dataclasses import dataclass
from typing import Any

import jwt

# Signatures by a key pair alone: with HS256 the issuer's public key would be a password that everybody knows.
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"]
_TIMEOUT_SECONDS = 5
_CLOCK_SKEW_SECONDS = 30

SCOPES = ("read", "operate")


class Refused(Exception):  # noqa: N818 - an answer, as much as a fault
    """The token is not good; the message is for the log, not for the caller."""


@dataclass(frozen=True)
class Bearer:
    """Who shows a token, and which of `SCOPES` it has."""

    subject: str
    scopes: frozenset[str]


class Tokens:
    """Verifies tokens of ``issuer`` for ``audience``; scopes count if they begin with ``scope_prefix``.

    A token that names an unknown key makes it ask the issuer again, ``refetch_seconds`` after the last time at the
    earliest: otherwise whoever sends rubbish would have us call the issuer as often as he likes.
    """

    def __init__(
        self, issuer: str, audience: str, scope_prefix: str = "", *, refetch_seconds: float = 30
    ) -> None:
        self._refetch_seconds = refetch_seconds
        self._issuer = issuer
        self._audience = audience
        self._scope_prefix = scope_prefix

    def bearer(self, authorization: str) -> Bearer:
        """Read the header ``Authorization``.

        Raises:
            Refused: it holds no token, or one that is forged, expired, or for somebody else.
            OSError, jwt.PyJWKClientConnectionError: the issuer does not answer.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Refused("not a bearer token")
        try:
            claims = self._claims(token.strip())
        except jwt.PyJWKClientConnectionError:
            raise
        except jwt.PyJWTError as error:
            raise Refused(str(error)) from error
        # Cognito's access tokens name the client in `client_id` and have no `aud`.
        audience = claims.get("aud", claims.get("client_id"))
        if self._audience not in (audience if isinstance(audience, list) else [audience]):
            raise Refused("for another audience")
        if claims.get("token_use", "access") != "access":
            raise Refused("an id token of Cognito's, which says who somebody is and not what he may do")
        return Bearer(str(claims["sub"]), self._scopes(claims))

    def _claims(self, token: str) -> dict[str, Any]:
        key = self._keys.get_signing_key_from_jwt(token)
        return jwt.decode(
            token,
            key,
            algorithms=_ALGORITHMS,
            issuer=self._issuer,
            leeway=_CLOCK_SKEW_SECONDS,
            options={"require": ["exp", "iss", "sub"], "verify_aud": False},
        )

    def _scopes(self, claims: dict[str, Any]) -> frozenset[str]:
        # `scope` is the standard's (RFC 9068), `scp` Entra ID's.
        said = claims.get("scope", claims.get("scp", ""))
        names = said if isinstance(said, list) else str(said).split()
        return frozenset(scope for scope in SCOPES if f"{self._scope_prefix}{scope}" in names)

    @functools.cached_property
    def _keys(self) -> jwt.PyJWKClient:
        url = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310  # Terraform's variable
            discovered = json.load(answer)
        return jwt.PyJWKClient(
            discovered["jwks_uri"], timeout=_TIMEOUT_SECONDS, cooldown_duration=self._refetch_seconds
        )
