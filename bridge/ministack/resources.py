"""Role aliases and custom authorizers, which ministack 1.5.33 has not: the operations of ``iot`` on them.

Beside the rest of the registry, as Terraform makes them before anything of the data plane runs. Who uses them is the
data plane (the credentials provider, ``TestInvokeAuthorizer``) and the broker.
"""

import copy
import json
import re
import time
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from ministack.core.responses import (
    AccountRegionScopedDict,
    error_response_json,
    get_account_id,
    get_region,
    json_response,
)
from ministack.services import iot

Answer = tuple[int, dict[str, str], bytes]

_NAME = re.compile(r"[\w=,@-]{1,128}")
_PATH = re.compile(r"/(role-aliases|authorizer|authorizers|default-authorizer)(?:/([^/]*))?")
_PAGE = 250
_SECONDS, _FEWEST_SECONDS, _MOST_SECONDS = 3600, 900, 43_200
_FEWEST_KEY_BITS = 2048
_CHANGED = (
    "authorizerFunctionArn",
    "tokenKeyName",
    "tokenSigningPublicKeys",
    "status",
    "enableCachingForHttp",
)
# The one entry of the defaults.
_DEFAULT = "default"

_aliases, _authorizers, _defaults = (AccountRegionScopedDict() for _ in range(3))
_STORES = {"role_aliases": _aliases, "authorizers": _authorizers, "default_authorizers": _defaults}


class _RefusalError(Exception):
    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.answer = error_response_json(code, message, status)


def patch() -> None:
    """Answer these calls among those of IoT's control plane, and keep the resources as ministack keeps the others."""
    others, state, load = iot.handle_request, iot.get_state, iot.load_persisted_state
    iot._TAGGABLE_RESOURCES["rolealias"] = (_aliases, "Role alias {name} does not exist")
    iot._TAGGABLE_RESOURCES["authorizer"] = (_authorizers, "Authorizer {name} does not exist")

    def get_state() -> dict[str, Any]:
        return {**state(), **{name: copy.deepcopy(store) for name, store in _STORES.items()}}

    def load_persisted_state(data: dict[str, Any] | None) -> None:
        load(data)
        for name, store in _STORES.items():
            store.update((data or {}).get(name, {}))

    async def handle(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Answer:
        found = _PATH.fullmatch(path)
        operation = _OPERATIONS.get((method, found[1], bool(found[2]))) if found else None
        if found is None or operation is None:
            answer: Answer = await others(method, path, headers, body, query)
            return answer
        try:
            given = json.loads(body or b"{}")
            flat = {key: value[0] if isinstance(value, list) else value for key, value in query.items()}
            answer = json_response(operation(found[2] or "", given | flat))
        except ValueError as error:
            answer = error_response_json("InvalidRequestException", f"the body is not JSON: {error}", 400)
        except _RefusalError as error:
            answer = error.answer
        return answer

    iot.get_state, iot.load_persisted_state, iot.handle_request = get_state, load_persisted_state, handle


def _arn(kind: str, name: str) -> str:
    return f"arn:aws:iot:{get_region()}:{get_account_id()}:{kind}/{name}"


def _add(store: Any, arn: str, name: str, document: dict[str, Any], tags: Any) -> None:
    if not _NAME.fullmatch(name):
        raise _RefusalError("InvalidRequestException", f"a name must be like {_NAME.pattern}")
    if store.get(name) is not None:
        extra = {"resourceId": name, "resourceArn": arn}
        refusal = _RefusalError("ResourceAlreadyExistsException", f"{arn} already exists", 409)
        refusal.answer = error_response_json(
            "ResourceAlreadyExistsException", f"{arn} already exists", 409, extra=extra
        )
        raise refusal
    now = time.time()
    store[name] = {**document, "creationDate": now, "lastModifiedDate": now}
    iot._set_created_tags(arn, tags)


def _get(store: Any, arn: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] | None = store.get(name)
    if found is None:
        raise _RefusalError("ResourceNotFoundException", f"{arn} does not exist", 404)
    return found


def _page(names: list[str], given: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
    if str(given.get("isAscendingOrder", "")).lower() != "true":
        names = names[::-1]
    if (marker := given.get("marker")) in names:
        names = names[names.index(marker) + 1 :]
    size = int(given.get("pageSize", _PAGE))
    return names[:size], {"nextMarker": names[size - 1]} if len(names) > size else {}


# --- role aliases --------------------------------------------------------------


def _named_alias(name: str) -> dict[str, str]:
    return {"roleAlias": name, "roleAliasArn": _arn("rolealias", name)}


def _check_alias(document: dict[str, Any]) -> None:
    seconds = document["credentialDurationSeconds"]
    if not str(document.get("roleArn", "")).startswith("arn:"):
        raise _RefusalError("InvalidRequestException", "roleArn must be a role's ARN")
    if not _FEWEST_SECONDS <= seconds <= _MOST_SECONDS:
        fault = f"credentialDurationSeconds must be from {_FEWEST_SECONDS} to {_MOST_SECONDS}"
        raise _RefusalError("InvalidRequestException", fault)


def _create_alias(name: str, given: dict[str, Any]) -> dict[str, Any]:
    seconds = given.get("credentialDurationSeconds", _SECONDS)
    document = {"roleArn": given.get("roleArn"), "credentialDurationSeconds": seconds}
    _check_alias(document)
    _add(_aliases, _arn("rolealias", name), name, document, given.get("tags"))
    return _named_alias(name)


def _describe_alias(name: str, _given: dict[str, Any]) -> dict[str, Any]:
    found = _get(_aliases, _arn("rolealias", name), name)
    return {"roleAliasDescription": {**found, **_named_alias(name), "owner": get_account_id()}}


def _list_aliases(_name: str, given: dict[str, Any]) -> dict[str, Any]:
    names, more = _page(list(_aliases.keys()), given)
    return {"roleAliases": names, **more}


def _update_alias(name: str, given: dict[str, Any]) -> dict[str, Any]:
    changed = {key: given[key] for key in ("roleArn", "credentialDurationSeconds") if key in given}
    document = _get(_aliases, _arn("rolealias", name), name) | changed
    _check_alias(document)
    _aliases[name] = document | {"lastModifiedDate": time.time()}
    return _named_alias(name)


def _delete_alias(name: str, _given: dict[str, Any]) -> dict[str, Any]:
    _get(_aliases, _arn("rolealias", name), name)
    del _aliases[name]
    return {}


# --- authorizers ---------------------------------------------------------------


def _named(name: str) -> dict[str, str]:
    return {"authorizerName": name, "authorizerArn": _arn("authorizer", name)}


def _described(name: str) -> dict[str, Any]:
    found = _get(_authorizers, _arn("authorizer", name), name)
    return {"authorizerDescription": {**found, **_named(name)}}


def _create(name: str, given: dict[str, Any]) -> dict[str, Any]:
    # What it is without a status AWS does not document: nobody gets in by it here.
    document = {
        "signingDisabled": given.get("signingDisabled", False),
        "status": "INACTIVE",
        "enableCachingForHttp": False,
        **{member: given[member] for member in _CHANGED if member in given},
    }
    _check(document)
    _add(_authorizers, _arn("authorizer", name), name, document, given.get("tags"))
    return _named(name)


def _describe(name: str, _given: dict[str, Any]) -> dict[str, Any]:
    return _described(name)


def _list(_name: str, given: dict[str, Any]) -> dict[str, Any]:
    wanted = given.get("status")
    matching = [name for name, found in _authorizers.items() if wanted in (None, found["status"])]
    names, more = _page(matching, given)
    return {"authorizers": [_named(name) for name in names], **more}


def _update(name: str, given: dict[str, Any]) -> dict[str, Any]:
    changed = {member: given[member] for member in _CHANGED if member in given}
    document = _get(_authorizers, _arn("authorizer", name), name) | changed
    _check(document)
    _authorizers[name] = document | {"lastModifiedDate": time.time()}
    return _named(name)


def _delete(name: str, _given: dict[str, Any]) -> dict[str, Any]:
    found = _get(_authorizers, _arn("authorizer", name), name)
    if found["status"] == "ACTIVE" or _defaults.get(_DEFAULT) == name:
        fault = f"{name} is ACTIVE, or the default: set it INACTIVE, and clear the default, first"
        raise _RefusalError("DeleteConflictException", fault, 409)
    del _authorizers[name]
    return {}


def _set_default(_name: str, given: dict[str, Any]) -> dict[str, Any]:
    name = str(given.get("authorizerName"))
    _described(name)
    _defaults[_DEFAULT] = name
    return _named(name)


def _default() -> str:
    found = _defaults.get(_DEFAULT)
    if found is None:
        raise _RefusalError("ResourceNotFoundException", "There is no default authorizer", 404)
    return str(found)


def _describe_default(_name: str, _given: dict[str, Any]) -> dict[str, Any]:
    return _described(_default())


def _clear_default(_name: str, _given: dict[str, Any]) -> dict[str, Any]:
    _default()
    del _defaults[_DEFAULT]
    return {}


def _check(authorizer: dict[str, Any]) -> None:
    keys = authorizer.get("tokenSigningPublicKeys") or {}
    fault = None
    if not str(authorizer.get("authorizerFunctionArn", "")).startswith("arn:"):
        fault = "authorizerFunctionArn must be a function's ARN"
    elif authorizer["status"] not in ("ACTIVE", "INACTIVE"):
        fault = "status is ACTIVE or INACTIVE"
    elif not authorizer["signingDisabled"] and not (authorizer.get("tokenKeyName") and keys):
        fault = "tokenKeyName and tokenSigningPublicKeys are needed, unless signingDisabled is true"
    else:
        for name, pem in keys.items():
            fault = fault or _key_fault(name, pem)
    if fault:
        raise _RefusalError("InvalidRequestException", fault)


def _key_fault(name: str, pem: str) -> str | None:
    try:
        key = load_pem_public_key(pem.encode())
    except ValueError as error:
        return f"the key {name} cannot be read: {error}"
    if not isinstance(key, RSAPublicKey) or key.key_size < _FEWEST_KEY_BITS:
        return f"the key {name} is no RSA key of at least {_FEWEST_KEY_BITS} bits"
    return None


# By method, first part of the path, and whether a name follows.
_OPERATIONS: dict[tuple[str, str, bool], Callable[[str, dict[str, Any]], dict[str, Any]]] = {
    ("POST", "role-aliases", True): _create_alias,
    ("GET", "role-aliases", True): _describe_alias,
    ("GET", "role-aliases", False): _list_aliases,
    ("PUT", "role-aliases", True): _update_alias,
    ("DELETE", "role-aliases", True): _delete_alias,
    ("POST", "authorizer", True): _create,
    ("GET", "authorizer", True): _describe,
    ("GET", "authorizers", False): _list,
    ("PUT", "authorizer", True): _update,
    ("DELETE", "authorizer", True): _delete,
    ("POST", "default-authorizer", False): _set_default,
    ("GET", "default-authorizer", False): _describe_default,
    ("DELETE", "default-authorizer", False): _clear_default,
}
