"""HTTP requests of clients that neither sign nor show a certificate: a custom authorizer decides.

"HTTPS" of "Connecting to AWS IoT Core by using custom authentication" (custom-auth.html), developer guide.
"""

import structlog
from aiohttp import web

from bridge.authorizers import RefusedError, Shown
from bridge.data_plane import wire
from bridge.data_plane.authorizers import Authorizers
from bridge.data_plane.devices import Caller
from bridge.data_plane.errors import ServiceError
from bridge.policies import Connection, Policies
from bridge.registry import home

log = structlog.get_logger()


class Visitors:
    """Has authorizers decide about HTTP requests, each anew."""

    def __init__(self, authorizers: Authorizers) -> None:
        """Ask these authorizers."""
        self._authorizers = authorizers

    async def expects(self, request: web.Request) -> bool:
        """Return whether a request is for an authorizer: it names one, or has no signature and there is a default."""
        if _shown(request).authorizer is not None:
            return True
        return "Authorization" not in request.headers and await self._authorizers.has_default()

    async def admit(self, request: web.Request, body: bytes) -> wire.Call:
        """Read a call, if an authorizer's policies allow it; see `bridge.data_plane.http.Admit`."""
        try:
            decision = await self._authorizers.decide(_shown(request))
        except RefusedError as error:
            log.info("visitor_refused", address=request.remote, reason=str(error))
            raise ServiceError("UnauthorizedException", "Unauthorized") from error
        policies = Policies(decision.policies, home(decision.authorizer_arn))
        connection = Connection("", "", (), source_ip=request.remote, connect_attributes=(), domain_name="")
        call = Caller(decision.principal, policies, connection).call(request, body)
        if call.operation != "Publish":
            # "Publish only": "Protocols, authentication, and port mappings" (protocols.html).
            raise ServiceError("ForbiddenException", "Forbidden")
        return call


def _shown(request: web.Request) -> Shown:
    _, _, query = request.raw_path.partition("?")
    return Shown(headers=dict(request.headers), query=query, mqtt=False)
