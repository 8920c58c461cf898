"""A second look at what API Gateway let through."""

import os
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
