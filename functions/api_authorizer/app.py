"""Lambda's entry: api_authorizer.app.handler."""

import json
import os
from typing import Any

from api_authorizer.policies import policy
from api_authorizer.tokens import Refused, Tokens

_tokens = Tokens(
    os.environ["OIDC_ISSUER"], os.environ["OIDC_AUDIENCE"], os.environ.get("OIDC_SCOPE_PREFIX", "")
)


def handler(event: Any, _context: Any) -> dict[str, Any]:
    """Judge one token.

    Raises:
        Exception: ``Unauthorized``, the word for which API Gateway answers 401; for any other it answers 500.
    """
    try:
        bearer = _tokens.bearer(event["authorizationToken"])
    except Refused as refused:
        _log(decision="refused", reason=str(refused))
        raise Exception("Unauthorized") from None  # noqa: TRY002  # API Gateway knows this very word
    _log(decision="known", subject=bearer.subject, scopes=sorted(bearer.scopes))
    return policy(bearer, event["methodArn"])


def _log(**fields: Any) -> None:
    # Never the token itself: who reads the log could use it.
    print(json.dumps({"message": "token", **fields}))
