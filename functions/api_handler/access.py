"""A second look at what API Gateway let through."""

import os
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from api_handler.problems import Problem


def require_authorizer(event: Any) -> None:
    """Refuse a request through a gateway that did not run the authorizer, where there is one to run.

    LocalStack 4.14.0 takes an API with an authorizer and never calls it: without this, switching OIDC on there
    would look like a lock and be none. Direct invocations come with IAM's permission and no request context.

    Raises:
        Problem: 401.
    """
    context = event.get("requestContext") if isinstance(event, dict) else None
    if os.environ.get("AUTHORIZER_REQUIRED") and context and not context.get("authorizer"):
        problem = Problem(HTTPStatus.UNAUTHORIZED, "The request was not authorized by a token.")
        problem.headers["WWW-Authenticate"] = "Bearer"
        raise problem


def require_operate(event: Any) -> None:
    """Refuse a change by who may read alone.

    The authorizer's policy has refused readers before; so this is a second lock. Without an authorizer there is the
    API's key, which tells callers apart and proves nobody: it is enough where Terraform's operate_with_key says so.

    Raises:
        Problem: 403.
    """
    context: Mapping[str, Any] = (event.get("requestContext") if isinstance(event, dict) else None) or {}
    if authorizer := context.get("authorizer"):
        if "operate" not in str(authorizer.get("scopes", "")).split():
            raise Problem(HTTPStatus.FORBIDDEN, "This needs a token with the scope operate.")
    elif context and not os.environ.get("OPERATE_WITH_KEY"):
        raise Problem(
            HTTPStatus.FORBIDDEN,
            "This needs a token with the scope operate: a key alone may read here (oidc_issuer, operate_with_key).",
        )
