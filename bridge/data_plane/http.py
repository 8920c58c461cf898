"""The HTTP service: reads a call, has its operation carried out, and answers as AWS does."""

import json
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from aiohttp import web

from bridge.data_plane import wire
from bridge.data_plane.errors import ServiceError
from bridge.data_plane.session import UnavailableError

log = structlog.get_logger()

# Carries out an operation with its parameters, and returns the answer's members.
Operation = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]

# Reads a request with its body; raises `ServiceError` for who may not make it.
Admit = Callable[[web.Request, bytes], Awaitable[wire.Call]]

MOST_BODY_BYTES = 1024 * 1024


class Operations:
    """Carries out calls, and answers as AWS does, whoever let them in."""

    def __init__(
        self, operations: Mapping[tuple[str, str], Operation], carried_out: Callable[[], None]
    ) -> None:
        """Use operations.

        Args:
            operations: by service and name, as ``("iot-data", "Publish")``.
            carried_out: called after each operation: it may have left messages to publish.
        """
        self._operations, self._carried_out = operations, carried_out

    async def answer(self, request: web.Request, admit: Admit) -> web.Response:
        """Carry out the call of a request; ``admit`` reads it, and refuses who may not make it."""

        async def carry_out(request: web.Request, body: bytes) -> bytes:
            call = await admit(request, body)
            operation = self._operations.get((call.service, call.operation))
            if operation is None:
                said = f"{call.service} {call.operation} is not supported here"
                raise ServiceError("NotImplementedException", said)
            members = await operation(call.parameters)
            self._carried_out()
            return wire.write(call, members)

        return await answered(request, carry_out)


async def answered(
    request: web.Request, answer: Callable[[web.Request, bytes], Awaitable[bytes]]
) -> web.Response:
    """Answer a request with the JSON that ``answer`` makes of it and of its body, or with its error."""
    try:
        return _response(200, await answer(request, await request.read()))
    except ServiceError as error:
        return _refusal(error)
    except UnavailableError as error:
        return _refusal(ServiceError("ServiceUnavailableException", str(error)))
    except web.HTTPRequestEntityTooLarge:
        return _refusal(ServiceError("RequestEntityTooLargeException", "The request is too large"))
    except Exception:
        log.exception("request_failed", method=request.method, path=request.raw_path)
        return _refusal(ServiceError("InternalFailureException", "An unexpected error has occurred."))


async def _read_signed(request: web.Request, body: bytes) -> wire.Call:
    service = wire.service_of(request.headers)
    return wire.read(service, request.method, request.raw_path, request.headers, body)


def application(
    operations: Operations,
    admit_visitor: Callable[[web.Request], Awaitable[Admit | None]],
    tell: Callable[[str, bytes], Awaitable[None]],
    healthy: Callable[[], bool],
) -> web.Application:
    """Make the service for callers who sign, or whom a custom authorizer lets in.

    Args:
        operations: what they may ask for.
        admit_visitor: returns what decides about a request for an authorizer; None for one that must be signed.
        tell: publishes an event of the control plane, with its topic and payload.
        healthy: whether ``/health`` answers 200.
    """

    async def answer(request: web.Request) -> web.Response:
        return await operations.answer(request, await admit_visitor(request) or _read_signed)

    async def event(request: web.Request) -> web.Response:
        await tell(request.match_info["topic"], await request.read())
        return _response(200, b"{}")

    async def health(_request: web.Request) -> web.Response:
        return _response(200 if healthy() else 503, json.dumps({"connected": healthy()}).encode())

    service = web.Application(client_max_size=MOST_BODY_BYTES)
    service.router.add_get("/health", health)
    # Of the emulator that has the registry; it listens on this machine, or on Compose's own network.
    service.router.add_post("/_testbed/events/{topic:.+}", event)
    service.router.add_route("*", "/{path:.*}", answer)
    return service


def _response(status: int, body: bytes, **headers: str) -> web.Response:
    return web.Response(
        status=status,
        body=body,
        content_type="application/json",
        headers={"x-amzn-RequestId": str(uuid.uuid4()), **headers},
    )


def _refusal(error: ServiceError) -> web.Response:
    document = {"message": error.message, **error.members}
    body = json.dumps(document).encode()
    return _response(error.status, body, **{"x-amzn-ErrorType": error.code})
