"""The Device Shadow service: classic and named shadows, asked for by MQTT and by HTTP."""

import json
import re
import time
from collections.abc import Mapping
from typing import Any

from bridge.data_plane import shadow_documents as documents
from bridge.data_plane.errors import ServiceError
from bridge.data_plane.shadow_documents import Section
from bridge.data_plane.store import Store

_TABLE = """
CREATE TABLE IF NOT EXISTS shadows (
    thing TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, document TEXT,
    PRIMARY KEY (thing, name)
)
"""

# "UpdateThingShadow", API reference.
_THING = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
_NAME = re.compile(r"[$a-zA-Z0-9:_-]{1,64}")
_PAGE, _MOST_PAGE = 25, 100

_TOPIC_FILTERS = tuple(
    f"$aws/things/+/shadow/{name}{verb}" for name in ("", "name/+/") for verb in ("get", "update", "delete")
)
_TOPIC = re.compile(r"\$aws/things/([^/]+)/shadow/(?:name/([^/]+)/)?(get|update|delete)")


class Shadows:
    """Keeps shadows in the store, and puts the answers there, to be published when its transaction is committed."""

    topic_filters = _TOPIC_FILTERS

    def __init__(self, store: Store) -> None:
        """Use a store, which may have shadows already."""
        self._store = store
        store.db.execute(_TABLE)

    # --- by MQTT: "Device Shadow MQTT topics" ------------------------------------

    def handle(self, topic: str, payload: bytes, _client: str | None = None) -> bool:
        """Carry out a request that was published; its answers go to "accepted" and "rejected".

        Returns:
            Whether the topic is one of ours.
        """
        found = _TOPIC.fullmatch(topic)
        if found is None:
            return False
        thing, name, verb = found[1], found[2] or "", found[3]
        token: str | None = None
        try:
            document = (
                documents.parse(payload) if payload.strip() and verb != "delete" else _token_of(payload)
            )
            token = documents.client_token(document)
            with self._store.transaction():
                match verb:
                    case "update":
                        self._update(thing, name, document, token)
                    case "get":
                        self._answer(thing, name, "get/accepted", self.get(thing, name), token)
                    case _:
                        self._delete(thing, name, token)
        except ServiceError as error:
            refusal = {"code": error.status, "message": error.message, "timestamp": _now()}
            self._answer(thing, name, f"{verb}/rejected", refusal, token)
        return True

    # --- by HTTP: "Device Shadow REST API" ---------------------------------------

    async def get_thing_shadow(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``GetThingShadow``."""
        found = self.get(parameters["thingName"], parameters.get("shadowName", ""))
        return {"payload": json.dumps(found).encode()}

    async def update_thing_shadow(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``UpdateThingShadow``; subscribers hear of it as if it had come by MQTT."""
        document = documents.parse(parameters["payload"])
        token = documents.client_token(document)
        with self._store.transaction():
            accepted = self._update(
                parameters["thingName"], parameters.get("shadowName", ""), document, token
            )
        return {"payload": json.dumps(accepted).encode()}

    async def delete_thing_shadow(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``DeleteThingShadow``."""
        with self._store.transaction():
            accepted = self._delete(parameters["thingName"], parameters.get("shadowName", ""), None)
        return {"payload": json.dumps(accepted).encode()}

    async def list_named_shadows(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``ListNamedShadowsForThing``; the token is the last name of the page before."""
        size = parameters.get("pageSize", _PAGE)
        if not 1 <= size <= _MOST_PAGE:
            raise ServiceError("InvalidRequestException", f"pageSize must be from 1 to {_MOST_PAGE}")
        rows = self._store.db.execute(
            "SELECT name FROM shadows WHERE thing = ? AND name > ? AND document IS NOT NULL ORDER BY name LIMIT ?",
            (parameters["thingName"], parameters.get("nextToken", ""), size + 1),
        )
        names = [row[0] for row in rows]
        more = {"nextToken": names[size - 1]} if len(names) > size else {}
        return {"results": names[:size], "timestamp": _now(), **more}

    # --- what both do ------------------------------------------------------------

    def get(self, thing: str, name: str) -> Section:
        """Return a shadow's document with its delta.

        Raises:
            ServiceError: there is no such shadow, or a name is none.
        """
        version, document = self._load(thing, name)
        if document is None:
            raise _missing(thing, name)
        state = dict(document["state"])
        difference = documents.delta(state.get("desired", {}), state.get("reported", {}))
        if difference:
            state["delta"] = difference
        return {"state": state, "metadata": document["metadata"], "version": version, "timestamp": _now()}

    def _update(self, thing: str, name: str, request: Section, token: str | None) -> Section:
        documents.check_update(request)
        version, document = self._load(thing, name)
        if request.get("version") not in (None, version):
            raise ServiceError("ConflictException", "Version conflict")
        now = _now()
        before: Section = document or {"state": {}, "metadata": {}}
        # What a client repeats of a delta is nothing that it can set.
        patch = {key: value for key, value in (request["state"] or {}).items() if key != "delta"}
        if request["state"] is None:
            patch = dict.fromkeys(documents.SECTIONS)
        state, metadata = _patched(before, patch, now)
        documents.check_size(state)
        after = {"state": state, "metadata": metadata}
        self._save(thing, name, version + 1, after)

        stamped = documents.stamp(patch, now)
        accepted = {"state": patch, "metadata": stamped, "version": version + 1, "timestamp": now}
        self._answer(thing, name, "update/accepted", accepted, token)
        difference = documents.delta(state.get("desired", {}), state.get("reported", {}))
        if difference:
            of_delta = documents.pick(metadata.get("desired", {}), difference)
            said = {"version": version + 1, "timestamp": now, "state": difference, "metadata": of_delta}
            self._answer(thing, name, "update/delta", said, token)
        previous = {**before, "version": version} if document is not None else None
        both = {"previous": previous, "current": {**after, "version": version + 1}, "timestamp": now}
        self._answer(thing, name, "update/documents", both, token)
        return accepted if token is None else {**accepted, "clientToken": token}

    def _delete(self, thing: str, name: str, token: str | None) -> Section:
        version, document = self._load(thing, name)
        if document is None:
            raise _missing(thing, name)
        # The version goes on where it was when the shadow comes back.
        self._save(thing, name, version, None)
        accepted = {"version": version, "timestamp": _now()}
        self._answer(thing, name, "delete/accepted", accepted, token)
        return accepted

    def _load(self, thing: str, name: str) -> tuple[int, Section | None]:
        if not _THING.fullmatch(thing):
            raise ServiceError("InvalidRequestException", f"Invalid thing name '{thing}'")
        if name and not _NAME.fullmatch(name):
            raise ServiceError("InvalidRequestException", f"Invalid shadow name '{name}'")
        row = self._store.db.execute(
            "SELECT version, document FROM shadows WHERE thing = ? AND name = ?", (thing, name)
        ).fetchone()
        if row is None:
            return 0, None
        return row[0], json.loads(row[1]) if row[1] is not None else None

    def _save(self, thing: str, name: str, version: int, document: Section | None) -> None:
        self._store.db.execute(
            "INSERT OR REPLACE INTO shadows VALUES (?, ?, ?, ?)",
            (thing, name, version, json.dumps(document) if document is not None else None),
        )

    def _answer(self, thing: str, name: str, stub: str, document: Section, token: str | None) -> None:
        prefix = f"$aws/things/{thing}/shadow/" + (f"name/{name}/" if name else "")
        said = document if token is None else {**document, "clientToken": token}
        self._store.answer(prefix + stub, json.dumps(said).encode())


def _patched(before: Section, patch: Section, now: int) -> tuple[Section, Section]:
    """Return state and metadata after a patch; a section that is empty is gone."""
    state, metadata = dict(before["state"]), dict(before["metadata"])
    for section, change in patch.items():
        merged = {} if change is None else documents.merge(state.get(section, {}), change)
        if merged:
            state[section] = merged
            metadata[section] = documents.merge_metadata(merged, metadata.get(section, {}), change, now)
        else:
            state.pop(section, None)
            metadata.pop(section, None)
    return state, metadata


def _token_of(payload: bytes) -> Section:
    """Return the document of a request whose content is ignored but for its token."""
    try:
        return documents.parse(payload)
    except ServiceError:
        return {}


def _missing(thing: str, name: str) -> ServiceError:
    known = f"{thing}~{name}" if name else thing
    return ServiceError("ResourceNotFoundException", f"No shadow exists with name: '{known}'")


def _now() -> int:
    return int(time.time())
