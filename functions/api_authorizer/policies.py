"""What a scope allows, in the words that API Gateway takes from a Lambda authorizer."""

from typing import Any

from api_authorizer.tokens import Bearer

_READING = ("GET", "HEAD", "OPTIONS")


def policy(bearer: Bearer, method_arn: str) -> dict[str, Any]:
    """Build the authorizer's answer: ``read`` may GET, HEAD and OPTIONS, ``operate`` everything, others nothing.

    It covers all paths of the stage, as API Gateway keeps it for the token's next calls.

    Args:
        bearer: who asks.
        method_arn: ``arn:aws:execute-api:<region>:<account>:<api>/<stage>/<method>/<path>``.
    """
    api, stage, *_ = method_arn.split("/")
    methods = ("*",) if "operate" in bearer.scopes else _READING if "read" in bearer.scopes else ()
    statement = {
        "Action": "execute-api:Invoke",
        "Effect": "Allow" if methods else "Deny",
        "Resource": [f"{api}/{stage}/{method}/*" for method in methods or ("*",)],
    }
    return {
        "principalId": bearer.subject,
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "context": {"scopes": " ".join(sorted(bearer.scopes))},
    }
