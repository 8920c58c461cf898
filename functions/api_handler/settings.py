"""A station's settings: desired and reported, in its classic device shadow."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
from botocore.config import Config
from botocore.exceptions import ClientError

from api_handler.operations import Operations
from api_handler.problems import Problem, not_found
from api_handler.requests import Request

# The stations' own table: what is taken here no station refuses.
TABLE: dict[str, dict[str, Any]] = msgspec.json.decode(Path(__file__).with_name("settings.json").read_bytes())
_TYPES: dict[str, tuple[type, ...]] = {"number": (int, float), "boolean": (bool,), "string": (str,)}
# Changes that an answer shows.
_MOST_CHANGES = 20
# Of a change without a version, where the station reports at the same time.
_ATTEMPTS = 3
# One attempt: a second one would meet the version that the first one made, and call that a conflict.
_CONFIG = Config(
    connect_timeout=1,
    read_timeout=3,
    retries={"mode": "standard", "total_max_attempts": 1},
    tcp_keepalive=True,
)


class Change(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a PATCH: settings to change, and the version that the operator saw, if it matters to him."""

    settings: dict[str, Any]
    version: int | None = None


class Settings:
    """Reads and changes settings. ``client`` makes botocore's iot-data: not before the first question."""

    def __init__(
        self,
        client: Callable[[], Any],
        operations: Operations,
        prefix: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Keep what is needed; ``prefix`` is how the names of stations begin that the role may set."""
        self._make, self._made = client, None
        self._operations, self._prefix, self._now = operations, prefix, now

    @classmethod
    def of(cls, session: Any, operations: Operations, prefix: str) -> "Settings":
        """Use AWS IoT's data plane; ``session`` is botocore's."""
        return cls(lambda: session.create_client("iot-data", config=_CONFIG), operations, prefix)

    def get(self, station_id: str) -> dict[str, Any]:
        """Return what is desired and reported, and the last changes.

        Raises:
            Problem: 404, the station never reported any.
        """
        shadow = self._shadow(station_id)
        changes = self._operations.newest(station_id, "settings", _MOST_CHANGES)
        return _shown(station_id, shadow) | {"changes": [_change(item) for item in changes]}

    def change(self, station_id: str, request: Request) -> dict[str, Any]:
        """Accept a change: the station has it at once, or when it comes back.

        Raises:
            Problem: 400 or 422, the body is not a change; 404, as `get`; 409, the shadow has another version.
        """
        change = _read(request)
        for attempt in range(_ATTEMPTS):
            shadow = self._shadow(station_id)
            if change.version not in (None, shadow["version"]):
                raise _conflict(shadow["version"])
            desired = _part(shadow, "desired") | change.settings
            _check_reason(change.settings, desired)
            if version := self._update(station_id, request, change.settings, shadow["version"]):
                state = shadow["state"] | {"desired": {"settings": desired}}
                return _shown(station_id, shadow | {"state": state, "version": version})
            if change.version is not None or attempt == _ATTEMPTS - 1:
                break
        raise _conflict(self._shadow(station_id)["version"])

    def _update(
        self, station_id: str, request: Request, settings: Mapping[str, Any], version: int
    ) -> int | None:
        """Change the shadow if it has still this version; return the new one, None if it has not.

        What is asked for is written down before, and what became of it after: a function that ends in between leaves
        "unknown", and no change is there that nobody made.
        """
        at = self._now().isoformat(timespec="microseconds").replace("+00:00", "Z")
        key = f"settings#{at}#{request.request_id}"
        said: dict[str, str | int] = {
            "at": at,
            "by": request.caller,
            "settings": msgspec.json.encode(settings).decode(),
        }
        # Only where nothing is: a first attempt that was given up may come after what the second one led to.
        self._operations.add(station_id, key, **said, outcome="unknown")
        patch = {"state": {"desired": {"settings": settings}}, "version": version}
        try:
            answer = self._client.update_thing_shadow(
                thingName=station_id, payload=msgspec.json.encode(patch)
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConflictException":
                raise
            self._operations.put(station_id, key, **said, outcome="conflict")
            return None
        accepted: int = msgspec.json.decode(answer["payload"].read())["version"]
        self._operations.put(station_id, key, **said, outcome="accepted", version=accepted)
        return accepted

    def _shadow(self, station_id: str) -> dict[str, Any]:
        unknown = not_found("No station of this name has reported settings.")
        if not station_id.startswith(self._prefix):
            raise unknown
        try:
            answer = self._client.get_thing_shadow(thingName=station_id)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                raise unknown from error
            raise
        shadow: dict[str, Any] = msgspec.json.decode(answer["payload"].read())
        return shadow

    @property
    def _client(self) -> Any:
        if self._made is None:
            self._made = self._make()
        return self._made


def fault(name: str, value: Any) -> str | None:
    """Say what is wrong with a setting's value, or None."""
    allowed = TABLE.get(name)
    if allowed is None:
        return f"there is no such setting; there are {', '.join(TABLE)}"
    kind: str = allowed["type"]
    if type(value) not in _TYPES[kind]:
        return f"must be a {kind}"
    if kind == "number" and not allowed["minimum"] <= value <= allowed["maximum"]:
        return f"must be from {allowed['minimum']} to {allowed['maximum']}"
    if kind == "string" and not allowed["minLength"] <= len(value) <= allowed["maxLength"]:
        return f"must have {allowed['minLength']} to {allowed['maxLength']} characters"
    return None


def _read(request: Request) -> Change:
    change = request.document(Change, "change of settings")
    errors = {name: why for name, value in change.settings.items() if (why := fault(name, value))}
    if errors or not change.settings:
        detail = "; ".join(f"{name}: {why}" for name, why in errors.items()) or "settings: none is named"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=errors)
    return change


def _check_reason(changed: Mapping[str, Any], desired: Mapping[str, Any]) -> None:
    if changed.get("maintenance_mode") and not desired.get("maintenance_reason"):
        why = "is wanted with maintenance_mode"
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, f"maintenance_reason: {why}", errors={"maintenance_reason": why}
        )


def _conflict(version: int) -> Problem:
    return Problem(
        HTTPStatus.CONFLICT,
        f"The settings have changed meanwhile: they have version {version}. Read them again.",
        version=version,
    )


def _part(shadow: Mapping[str, Any], section: str, part: str = "settings") -> dict[str, Any]:
    found = shadow["state"].get(section, {}).get(part)
    return found if isinstance(found, dict) else {}


def _shown(station_id: str, shadow: Mapping[str, Any]) -> dict[str, Any]:
    desired, reported = _part(shadow, "desired"), _part(shadow, "reported")
    refused = _part(shadow, "reported", "refused")
    differing = [name for name, value in desired.items() if reported.get(name) != value]
    return {
        "station_id": station_id,
        "version": shadow["version"],
        "desired": desired,
        "reported": reported,
        "pending": sorted(name for name in differing if name not in refused),
        "refused": {name: refused[name] for name in differing if name in refused},
    }


def _change(item: Mapping[str, Any]) -> dict[str, Any]:
    version = {"version": item["version"]} if "version" in item else {}
    return {
        "at": item["at"],
        "by": item["by"],
        "settings": msgspec.json.decode(item["settings"]),
        "outcome": item["outcome"],
        **version,
    }
