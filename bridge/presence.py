"""AWS IoT's lifecycle events: what `$aws/events/presence/...` says of a client that comes or goes.

Fields and reasons as in "Lifecycle events" of the AWS IoT Core developer guide.
"""

import json
import time
import uuid
from dataclasses import dataclass, field

TOPIC = "$aws/events/presence/{event}/{client}"


@dataclass(frozen=True)
class Connected:
    """A client that is connected, as its two events need it.

    ``version`` grows with every connection of a client; it comes from the clock, so that it outlives a restart
    of the broker (AWS counts from 0).
    """

    client_id: str
    certificate_id: str
    address: str
    version: int
    session: str = field(default_factory=lambda: str(uuid.uuid4()))

    def connected(self) -> tuple[str, bytes]:
        """Topic and payload that announce it."""
        return self._event("connected", {"ipAddress": self.address})

    def disconnected(self, reason: str, *, by_client: bool = False) -> tuple[str, bytes]:
        """Topic and payload that announce its end; ``by_client`` if it said goodbye."""
        return self._event(
            "disconnected", {"clientInitiatedDisconnect": by_client, "disconnectReason": reason}
        )

    def _event(self, event: str, more: dict[str, object]) -> tuple[str, bytes]:
        document = {
            "clientId": self.client_id,
            "timestamp": int(time.time() * 1000),
            "eventType": event,
            "sessionIdentifier": self.session,
            "principalIdentifier": self.certificate_id,
            "versionNumber": self.version,
        } | more
        return TOPIC.format(event=event, client=self.client_id), json.dumps(document).encode()


def next_version(last: int) -> int:
    """Return the version of a client's next connection."""
    return max(last + 1, int(time.time() * 1000))
