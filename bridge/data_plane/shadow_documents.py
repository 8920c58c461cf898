"""The rules of a shadow's document: merging, deltas, metadata and limits. "Device Shadow service documents" has them.

What that page leaves open follows AWS's own Greengrass shadow manager: metadata of an array is an array; ``null`` has
a timestamp in the metadata of "accepted"; a section that becomes empty is gone; 1 and 1.0 are the same, 1 and true
are not.
"""

import json
from typing import Any

from bridge.data_plane.errors import ServiceError

Json = Any
Section = dict[str, Json]
SECTIONS = ("desired", "reported")

# "AWS IoT Device Shadow service quotas": size of a JSON state document, levels of a section, bytes of a token.
_MOST_BYTES = 8 * 1024
_MOST_LEVELS = 8
_MOST_TOKEN_BYTES = 64


def parse(payload: bytes) -> Section:
    """Read a request's document.

    Raises:
        ServiceError: it is not UTF-8, or not a JSON object.
    """
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        fault = "Unsupported documented encoding. Supported encoding is UTF-8"
        raise ServiceError("UnsupportedDocumentEncodingException", fault) from error
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ServiceError("InvalidRequestException", "Invalid JSON") from error
    if not isinstance(document, dict):
        raise ServiceError("InvalidRequestException", "Invalid JSON")
    return document


def client_token(document: Section) -> str | None:
    """Return a request's client token.

    Raises:
        ServiceError: it is not a string of at most 64 bytes.
    """
    token = document.get("clientToken")
    if token is None:
        return None
    if not isinstance(token, str) or len(token.encode()) > _MOST_TOKEN_BYTES:
        raise ServiceError("InvalidRequestException", "Invalid clientToken")
    return token


def check_update(document: Section) -> None:
    """Check an update's form.

    Raises:
        ServiceError: a node is missing, of the wrong type, too deep, or has null in an array.
    """
    if "state" not in document:
        raise ServiceError("InvalidRequestException", "Missing required node: state")
    state = document["state"]
    if state is not None and not isinstance(state, dict):
        raise ServiceError("InvalidRequestException", "State node must be an object")
    version = document.get("version")
    if version is not None and (not isinstance(version, int) or isinstance(version, bool) or version < 0):
        raise ServiceError("InvalidRequestException", "Invalid version")
    for name, section in (state or {}).items():
        if name not in (*SECTIONS, "delta"):
            raise ServiceError("InvalidRequestException", f"State contains an invalid node: '{name}'")
        if section is not None and not isinstance(section, dict):
            raise ServiceError("InvalidRequestException", f"{name.capitalize()} node must be an object")
        _check_node(section, 1)


def merge(section: Section, patch: Section) -> Section:
    """Return the section with the patch put in: null deletes, objects are merged, everything else replaces."""
    merged = dict(section)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            known = merged.get(name)
            put_in = merge(known if isinstance(known, dict) else {}, value)
            # A new object that holds nothing but null is not there at all; an empty one is.
            if put_in or known is not None or not value:
                merged[name] = put_in
        else:
            merged[name] = value
    return merged


def stamp(node: Json, timestamp: int) -> Json:
    """Return the metadata of a node that was set at a time: a timestamp for each value."""
    if isinstance(node, dict):
        return {name: stamp(value, timestamp) for name, value in node.items()}
    if isinstance(node, list):
        return [stamp(value, timestamp) for value in node]
    return {"timestamp": timestamp}


def merge_metadata(section: Section, metadata: Section, patch: Section, timestamp: int) -> Section:
    """Return the metadata of a section, as it is after the patch, from what it was before."""
    merged = dict(metadata)
    for name, value in patch.items():
        if name not in section:
            merged.pop(name, None)
        elif isinstance(value, dict) and isinstance(section[name], dict):
            known = merged.get(name)
            before = known if isinstance(known, dict) and not _is_stamp(known) else {}
            merged[name] = merge_metadata(section[name], before, value, timestamp)
        else:
            merged[name] = stamp(value, timestamp)
    return merged


def delta(desired: Section, reported: Section) -> Section:
    """Return what is desired and not, or otherwise, reported."""
    found: Section = {}
    for name, wanted in desired.items():
        if name not in reported:
            found[name] = wanted
        elif isinstance(wanted, dict) and isinstance(reported[name], dict):
            inner = delta(wanted, reported[name])
            if inner:
                found[name] = inner
        elif not _same(wanted, reported[name]):
            found[name] = wanted
    return found


def pick(metadata: Json, node: Json) -> Json:
    """Return the metadata of those parts that a node has."""
    if isinstance(node, dict) and isinstance(metadata, dict):
        return {name: pick(metadata[name], value) for name, value in node.items() if name in metadata}
    return metadata


def check_size(state: Section) -> None:
    """Check the size of both sections together; metadata do not count.

    Raises:
        ServiceError: they have more than 8 KB.
    """
    size = sum(
        len(json.dumps(section, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))
        for section in state.values()
    )
    if size > _MOST_BYTES:
        raise ServiceError("RequestEntityTooLargeException", "The payload exceeds the maximum size allowed")


def _check_node(node: Json, level: int) -> None:
    if isinstance(node, dict):
        if level > _MOST_LEVELS and node:
            fault = f"JSON contains too many levels of nesting; maximum is {_MOST_LEVELS}"
            raise ServiceError("InvalidRequestException", fault)
        for value in node.values():
            _check_node(value, level + 1)
    elif isinstance(node, list):
        for value in node:
            if value is None:
                raise ServiceError("InvalidRequestException", "Invalid JSON: an array cannot have null in it")
            _check_node(value, level + 1)


def _same(one: Json, other: Json) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _is_stamp(metadata: Section) -> bool:
    return metadata.keys() == {"timestamp"} and isinstance(metadata["timestamp"], int)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
