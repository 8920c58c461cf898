"""A short-lived URL for telemetry by MQTT over WebSocket, presigned as AWS IoT Core takes it.

"MQTT over WebSocket" in the AWS IoT Core developer guide: Signature Version 4 in the query, service
``iotdevicegateway``, only ``host`` signed; a session token is put behind the signature, not under it. The URL is good
for what the signing role may do at AWS IoT, and for no other service.
"""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from urllib.parse import quote

import msgspec
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials, ReadOnlyCredentials

SERVICE = "iotdevicegateway"
# What AWS IoT Core gives a connection, in messages a second; a page that wants more opens several, which share a
# subscription ("AWS IoT Core message broker limits", AWS general reference).
MESSAGES_A_SECOND = 100
# The page connects at once; a URL from a log or a history opens nothing.
URL_SECONDS = 60


class Realtime(msgspec.Struct, frozen=True):
    """Where pages are sent: ``endpoint`` is ``wss://<host>/mqtt``; ``credentials`` gives those that sign."""

    endpoint: str
    region: str
    topic_filter: str
    credentials: Callable[[], ReadOnlyCredentials]

    @classmethod
    def from_environment(cls, session: Any) -> Self | None:
        """Read Terraform's variables; return None where they name no endpoint. ``session`` is botocore's."""
        endpoint = os.environ.get("REALTIME_ENDPOINT")
        if not endpoint:
            return None
        return cls(
            endpoint,
            session.get_config_variable("region"),
            os.environ["REALTIME_TOPIC_FILTER"],
            lambda: session.get_credentials().get_frozen_credentials(),
        )

    def offer(self) -> dict[str, Any]:
        """Return ``{"url", "topics", "messages_a_second", "expires_at"}``.

        Connect by then as ``dashboard-...`` and subscribe to these, shared (``$share/<name>/<topic>``) or not; a
        connection is given so many messages.
        """
        expires = datetime.now(UTC) + timedelta(seconds=URL_SECONDS)
        role = self.credentials()
        # Without the token: botocore would sign it, too, and AWS IoT refuses that.
        bare = Credentials(str(role.access_key), str(role.secret_key))
        request = AWSRequest("GET", self.endpoint)
        SigV4QueryAuth(bare, SERVICE, self.region, expires=URL_SECONDS).add_auth(request)
        behind = f"&X-Amz-Security-Token={quote(role.token, safe='')}" if role.token else ""
        return {
            "url": f"{request.url}{behind}",
            "topics": [self.topic_filter],
            "messages_a_second": MESSAGES_A_SECOND,
            "expires_at": expires.isoformat(timespec="seconds").replace("+00:00", "Z"),
        }
