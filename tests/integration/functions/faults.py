"""Failures of AWS calls, injected through botocore's event hooks."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ConnectionClosedError, EndpointConnectionError


@contextlib.contextmanager
def hooked(client: Any, event: str, hook: Callable[..., Any]) -> Iterator[None]:
    """Have ``hook`` called on an event of ``client``, as ``before-call.s3.PutObject``."""
    client.meta.events.register(event, hook, unique_id=id(hook))
    try:
        yield
    finally:
        client.meta.events.unregister(event, hook, unique_id=id(hook))


def unreachable(about: str = "") -> Callable[..., None]:
    """Make a hook for before-call: the request never arrives, when its body holds ``about``."""

    def hook(params: dict[str, Any], **_: Any) -> None:
        if about in _text(params["body"]):
            raise EndpointConnectionError(endpoint_url="http://injected")

    return hook


def answer_lost(about: str = "") -> tuple[Callable[..., None], Callable[..., None]]:
    """Make hooks for before-call and after-call: the request is carried out, but its caller does not get to know."""

    def before(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["answer is lost"] = about in _text(params["body"])

    def after(context: dict[str, Any], **_: Any) -> None:
        if context.get("answer is lost"):
            raise ConnectionClosedError(endpoint_url="http://injected")

    return before, after


def entry_refused(about: str) -> Callable[..., None]:
    """Make a hook for SendMessageBatch: the queue refuses the entries that hold ``about``."""

    def hook(params: dict[str, Any], **_: Any) -> None:
        for entry in params["Entries"]:
            if about in entry["MessageBody"]:
                entry["MessageBody"] = "\x00"  # no character of XML's: the queue refuses this entry alone

    return hook


def _text(body: Any) -> str:
    return body.decode(errors="replace") if isinstance(body, bytes) else str(body)
