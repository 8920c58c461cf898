"""Say all that a broker must know of many certificates in one answer.

AWS asks its own registry at a CONNECT; from outside it takes three calls, and one or two more for a thing's groups,
type and attributes. ministack 1.5.33 takes about a millisecond of CPU for such a call, nine tenths of it for HTTP. So
``POST /_testbed/principals`` with ``{"certificateIds": [...]}`` answers for all that connect at once:
``{"principals": {id: {"certificateArn", "status", "policies": [name], "things": [{"thingName", "thingTypeName",
"attributes", "groups": [name]}]}}}``; one that is not registered is not among them. `bridge.registry` asks in AWS's
way where nobody answers to this path.
"""

import json
from typing import Any

from ministack.services import iot

_PATH = "/_testbed/principals"


def patch() -> None:
    """Answer to this path before the control plane sees it."""
    theirs = iot.handle_request

    async def handle(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Any:
        if (method, path) != ("POST", _PATH):
            return await theirs(method, path, headers, body, query)
        wanted = {one: iot._certificates.get(one) for one in json.loads(body)["certificateIds"]}
        found = {one: _principal(record) for one, record in wanted.items() if record is not None}
        return 200, {"content-type": "application/json"}, json.dumps({"principals": found}).encode()

    iot.handle_request = handle


def _principal(record: dict[str, Any]) -> dict[str, Any]:
    names = [iot._thing_name_from_arn(arn) for arn in record.get("attachedThings", [])]
    return {
        "certificateArn": record["certificateArn"],
        "status": record["status"],
        "policies": [name for name in record.get("attachedPolicies", []) if name in iot._policies],
        "things": [_thing(thing) for thing in map(iot._things.get, names) if thing is not None],
    }


def _thing(record: dict[str, Any]) -> dict[str, Any]:
    return {
        "thingName": record["thingName"],
        "thingTypeName": record.get("thingTypeName"),
        "attributes": record.get("attributes", {}),
        "groups": [name for name in record.get("thingGroupNames", []) if name in iot._thing_groups],
    }
