"""Say all that a broker or a bridge must know of the registry in one answer.

AWS asks its own registry at a CONNECT; from outside it takes three calls, and one or two more for a thing's groups,
type and attributes. The bridge reads all rules each second: a call for each and one for their names. ministack 1.5.33
takes about a millisecond of CPU for such a call, nine tenths of it for HTTP. So two paths that AWS does not have
answer for all at once:

* ``POST /_testbed/principals`` with ``{"certificateIds": [...]}``: ``{"principals": {id: {"certificateArn",
  "status", "policies": [name], "things": [{"thingName", "thingTypeName", "attributes", "groups": [name]}]}}}``; one
  that is not registered is not among them;
* ``POST /_testbed/rules`` with ``{}``: ``{"rules": [...]}``, each as GetTopicRule has it.

`bridge.registry` asks in AWS's way where nobody answers to these paths.
"""

import json
from collections.abc import Callable
from typing import Any

from ministack.services import iot


def patch() -> None:
    """Answer to these paths before the control plane sees them."""
    theirs = iot.handle_request

    async def handle(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Any:
        answer = _ANSWERS.get(path) if method == "POST" else None
        if answer is None:
            return await theirs(method, path, headers, body, query)
        return 200, {"content-type": "application/json"}, json.dumps(answer(json.loads(body))).encode()

    iot.handle_request = handle


def _principals(question: dict[str, Any]) -> dict[str, Any]:
    wanted = {one: iot._certificates.get(one) for one in question["certificateIds"]}
    return {"principals": {one: _principal(record) for one, record in wanted.items() if record is not None}}


def _rules(_question: dict[str, Any]) -> dict[str, Any]:
    return {"rules": list(iot._topic_rules.values())}


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


_ANSWERS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "/_testbed/principals": _principals,
    "/_testbed/rules": _rules,
}
