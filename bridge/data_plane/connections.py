"""`GetConnection`, `DeleteConnection` and `ListSubscriptions` of ``iot-data``, as our own broker knows its clients.

Source: these operations' pages in the AWS IoT API reference.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote

from bridge.data_plane.errors import ServiceError
from bridge.data_plane.session import DataPlaneSession
from bridge.topics import CONNECTION_PREFIX, DISCONNECT_PREFIX, SUBSCRIPTIONS_PREFIX

_PAGE, _MOST_CLIENT_ID = 20, 128


class Connections:
    """Asks the broker about clients by their client ids, and has it end their connections."""

    def __init__(self, session: DataPlaneSession) -> None:
        """Ask over a trusted client's session."""
        self._session = session

    def operations(self) -> dict[str, Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]]:
        """Return the operations by name."""
        return {
            "GetConnection": self.get_connection,
            "DeleteConnection": self.delete_connection,
            "ListSubscriptions": self.list_subscriptions,
        }

    async def get_connection(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``GetConnection``."""
        found: dict[str, Any] = await self._ask(CONNECTION_PREFIX, parameters)
        return found

    async def delete_connection(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``DeleteConnection``; when this returns the client is gone, and its will is published."""
        await self._ask(DISCONNECT_PREFIX, parameters)
        return {}

    async def list_subscriptions(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``ListSubscriptions``; a token is the place in the list."""
        found = await self._ask(SUBSCRIPTIONS_PREFIX, parameters)
        token, page = parameters.get("nextToken", "0"), parameters.get("maxResults", _PAGE)
        if not token.isdecimal() or page < 1:
            raise ServiceError("InvalidRequestException", "nextToken or maxResults is not valid")
        end = int(token) + page
        more = {"nextToken": str(end)} if end < len(found) else {}
        return {"subscriptions": found[int(token) : end], **more}

    async def _ask(self, prefix: str, parameters: Mapping[str, Any]) -> Any:
        client_id = parameters["clientId"]
        if client_id.startswith("$") or len(client_id) > _MOST_CLIENT_ID:
            raise ServiceError("InvalidRequestException", f"Invalid client id '{client_id}'")
        options = {name: value for name, value in parameters.items() if name != "clientId"}
        answer = await self._session.ask(prefix + quote(client_id, safe=""), options)
        if answer is None:
            raise ServiceError("ResourceNotFoundException", f"No connection of client id '{client_id}'")
        return answer
