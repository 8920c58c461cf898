"""An HTTP request as API Gateway's proxy integration hands it over."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import msgspec

from api_handler.problems import Problem, bad_parameter

# More digits than any parameter needs, and fewer than what makes int() slow.
_MOST_DIGITS = 9


class Request(msgspec.Struct, frozen=True):
    """A request; ``path`` starts with a slash and is decoded, ``query`` has each parameter's values."""

    method: str
    path: str
    query: dict[str, list[str]]
    request_id: str

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
        named: str | None = (asked.get("requestContext") or {}).get("requestId")
        request_id = named if named else str(getattr(context, "aws_request_id", "unknown"))
        return cls(method.upper(), "/" + unquote(path).strip("/"), query, request_id)

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
