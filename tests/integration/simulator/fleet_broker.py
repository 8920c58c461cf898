"""A broker for the fleet's tests: the testbed's own, with a guard that knows no registry.

``python fleet_broker.py PORT FOLDER STATE``: every certificate of the folder's authority is a station that may
publish under its own name only, as the thing policy says; "collector" may do everything, and nobody gets in
before it has subscribed.
"""

import asyncio
import ssl
import sys
from pathlib import Path

import uvloop

from bridge.broker.limits import Limits
from bridge.broker.listener import listen
from bridge.broker.server import Broker, Identity
from bridge.policies import Policies

COLLECTOR = "collector"
_NAME = "${iot:Connection.Thing.ThingName}"
_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"arn:aws:iot:r:1:client/{_NAME}"},
        {
            "Effect": "Allow",
            "Action": "iot:Publish",
            "Resource": f"arn:aws:iot:r:1:topic/ev-swap/stations/{_NAME}/telemetry",
        },
    ],
}


class NameGuard:
    """Takes the certificate's name for the thing's."""

    async def identify(self, certificate_id: str, common_name: str) -> Identity | None:
        """See `bridge.broker.server.Guard`."""
        trusted = common_name == COLLECTOR
        return Identity(certificate_id, common_name, (common_name,), Policies((_POLICY,)), trusted=trusted)


async def serve(port: int, folder: Path, state: Path) -> None:
    """Serve until killed."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / "ca.crt"))
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED
    broker = Broker(NameGuard(), state, required_clients=[COLLECTOR], limits=Limits(publishes=0))
    await listen(broker, "127.0.0.1", port, context)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])))
