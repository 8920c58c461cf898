"""An HTTP request as API Gateway's proxy integration hands it over."""

import base64
import binascii
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import unquote

import msgspec

from api_handler.problems import Problem, bad_parameter

# More digits than any parameter needs, and fewer than what makes int() slow.
_MOST_DIGITS = 9

_Document = TypeVar("_Document")


class Request(msgspec.Struct, frozen=True):
    """A request; ``path`` starts with a slash and is decoded, ``query`` has each parameter's values.

    ``caller`` is who asks, as API Gateway knows him: a token's subject, or else ``key:`` and the id of his API key.
    """

    method: str
    path: str
    query: dict[str, list[str]]
    request_id: str
    body: bytes = b""
    caller: str = "unknown"

    @classmethod
    def of(cls, event: Any, context: Any) -> "Request":
        """Read ``event``. A method and a path are enough, so that `aws lambda invoke` may call it.

        Raises:
            Problem: there are none, so it is no request.
        """
        asked = event if isinstance(event, dict) else {}
        method, path = asked.get("httpMethod"), asked.get("path")
        if not isinstance(method, str) or not isinstance(path, str):
            raise Problem(
                HTTPStatus.BAD_REQUEST, "The event has no httpMethod and path, as a REST API's would."
            )
        query: dict[str, list[str]] = asked.get("multiValueQueryStringParameters") or {
            name: [value] for name, value in (asked.get("queryStringParameters") or {}).items()
        }
        context_of_gateway = asked.get("requestContext") or {}
        named: str | None = context_of_gateway.get("requestId")
        request_id = named if named else str(getattr(context, "aws_request_id", "unknown"))
        decoded = "/" + unquote(path).strip("/")
        return cls(method.upper(), decoded, query, request_id, _body(asked), _caller(context_of_gateway))

    def allow_only(self, *names: str) -> None:
        """Refuse other query parameters: one that is ignored looks like one that worked.

        Raises:
            Problem: there is another.
        """
        for name in self.query:
            if name not in names:
                raise bad_parameter(name, f"unknown; there are {', '.join(names) or 'none'}")

    def text(self, name: str) -> str | None:
        """Read a query parameter.

        Raises:
            Problem: it was given more than once.
        """
        values = self.query.get(name)
        if not values:
            return None
        if len(values) > 1:
            raise bad_parameter(name, "given more than once")
        return values[0]

    def document(self, kind: type[_Document], called: str) -> _Document:
        """Read the body, JSON of this kind; ``called`` is the kind's name in an answer.

        Raises:
            Problem: 400, it is no JSON; 422, it is another document.
        """
        try:
            return msgspec.convert(msgspec.json.decode(self.body), kind)
        except msgspec.ValidationError as error:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"The body is no {called}: {error}") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Problem(HTTPStatus.BAD_REQUEST, "The body is no JSON.") from error

    def moment(self, name: str) -> datetime | None:
        """Read a query parameter that is a time.

        Raises:
            Problem: it is not, or has no time zone.
        """
        text = self.text(name)
        if text is None:
            return None
        try:
            moment = msgspec.convert(text, datetime)
            if moment.tzinfo is not None:
                return moment.astimezone(UTC)
        except (msgspec.ValidationError, OverflowError):
            pass
        raise bad_parameter(name, "must be ISO 8601 with a time zone, as 2024-01-15T14:00:00Z")

    def integer(self, name: str, default: int, least: int, greatest: int) -> int:
        """Read a query parameter that is an integer from ``least`` to ``greatest``.

        Raises:
            Problem: it is not.
        """
        text = self.text(name)
        if text is None:
            return default
        if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS and least <= int(text) <= greatest:
            return int(text)
        raise bad_parameter(name, f"must be an integer from {least} to {greatest}")


def _body(asked: Any) -> bytes:
    text = asked.get("body") or ""
    try:
        return base64.b64decode(text, validate=True) if asked.get("isBase64Encoded") else text.encode()
    except binascii.Error as error:
        raise Problem(HTTPStatus.BAD_REQUEST, "The body is no base64, as the event says it is.") from error


def _caller(context: Any) -> str:
    identity = context.get("identity") or {}
    if subject := (context.get("authorizer") or {}).get("principalId"):
        return str(subject)
    if key := identity.get("apiKeyId"):
        return f"key:{key}"
    # `aws lambda invoke` needs IAM's permission; CloudTrail has who used it.
    return str(identity.get("userArn") or ("key:unknown" if context else "lambda:InvokeFunction"))
