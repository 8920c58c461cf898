"""Tell the broker the secret of credentials that ministack has issued, so that it can check what they sign.

AWS IoT Core checks the signatures of MQTT over WebSocket itself, and ministack 1.5.33 has no call that does it for
somebody else. So ``GET /_testbed/credentials/<access key id>``, signed for ``iot`` by the account's root, gives the
secret with what the principal's policies say. Nobody else is answered.
"""

import json
from typing import Any

from ministack.core import iam_evaluator
from ministack.services import iam, iot, sts

_PATH = "/_testbed/credentials/"


def patch() -> None:
    """Answer it among the calls of IoT's control plane."""
    others = iot.handle_request

    async def handle(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Any:
        if not path.startswith(_PATH):
            return await others(method, path, headers, body, query)
        status, document = _describe(path.removeprefix(_PATH), headers)
        return status, {"content-type": "application/json"}, json.dumps(document).encode()

    iot.handle_request = handle


def _describe(access_key: str, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
    signature = next((value for name, value in headers.items() if name.lower() == "authorization"), "")
    caller = signature.partition("Credential=")[2].partition("/")[0]
    if not caller or not iam_evaluator.is_root_access_key(caller):
        return 403, {"message": "the account's root alone is told"}
    found = iam_evaluator.resolve_credential(access_key)
    if isinstance(found, iam_evaluator.CredentialResolutionError):
        return 404, {"message": found.message}
    root = found.principal_type == "Root"
    return 200, {
        "secretAccessKey": found.secret_access_key,
        "sessionToken": found.session_token,
        "principal": f"{found.account_id}/{found.principal_id}",
        "name": found.principal_arn,
        "root": root,
        "policies": [] if root else _policies(found),
        "limited": _limited(found, access_key),
    }


def _policies(found: Any) -> list[Any]:
    account = found.account_id
    if found.principal_type == "User":
        name = found.principal_name
        holders = [
            (iam._users.get_scoped(account, None, name) or {}, iam._user_inline_policies.get(name) or {})
        ]
        holders += [
            (group, iam._group_inline_policies.get(group_name) or {})
            for group_name, group in iam._groups.items()
            if name in group.get("Users", [])
        ]
    else:
        role = _role(found)
        holders = [(role, role.get("InlinePolicies") or {})]
    documents = [document for _, inline in holders for document in inline.values()]
    for holder, _ in holders:
        documents += [
            iam_evaluator._resolve_managed_policy_document(arn, account)
            for arn in holder.get("AttachedPolicies", [])
        ]
    return [json.loads(one) if isinstance(one, str) else one for one in documents if one]


def _limited(found: Any, access_key: str) -> bool:
    """Return whether a session policy or a permissions boundary takes away from what the policies allow."""
    session = sts._sessions.get(access_key) or {}
    if found.principal_type == "User":
        holder = iam._users.get_scoped(found.account_id, None, found.principal_name) or {}
    else:
        holder = {} if found.principal_type == "Root" else _role(found)
    return session.get("SessionPolicies") is not None or bool(holder.get("PermissionsBoundary"))


def _role(found: Any) -> dict[str, Any]:
    name = iam_evaluator._role_name_from_assumed_arn(found.principal_arn)
    role: dict[str, Any] = iam._roles.get_scoped(found.account_id, None, name) or {}
    return role
