"""What an API answers when it cannot answer: RFC 9457 problem documents."""

from http import HTTPStatus
from typing import Any


class Problem(Exception):  # noqa: N818 - the name that RFC 9457 gives it
    """An answer other than success. ``detail`` is for the caller: it holds nothing of our inside."""

    def __init__(self, status: HTTPStatus, detail: str, **members: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.members = members
        self.headers: dict[str, str] = {}

    def as_dict(self, instance: str, request_id: str) -> dict[str, Any]:
        """Build the document; ``type`` is about:blank, since the status says what kind of problem it is."""
        return {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
            "instance": instance,
            "request_id": request_id,
            **self.members,
        }


def bad_parameter(name: str, detail: str) -> Problem:
    """Make a 400: the query parameter ``name`` is not what it should be."""
    return Problem(HTTPStatus.BAD_REQUEST, f"{name}: {detail}", parameter=name)


def not_found(detail: str) -> Problem:
    """Make a 404."""
    return Problem(HTTPStatus.NOT_FOUND, detail)


def method_not_allowed(method: str, allow: str) -> Problem:
    """Make a 405 that names the methods that are allowed."""
    problem = Problem(HTTPStatus.METHOD_NOT_ALLOWED, f"{method} is not one of {allow}")
    problem.headers["Allow"] = allow
    return problem


def internal_error() -> Problem:
    """Make a 500: what went wrong is in the log, under the request id."""
    return Problem(
        HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong here; the request id finds it in the log."
    )
