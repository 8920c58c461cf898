"""Topic filters of the FROM clause, and Basic Ingest topics."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import zip_longest

BASIC_INGEST = "$aws/rules/"
SHARED_PREFIX = "$share/"

# Said again and again over a connection that has its subscriptions: whoever keeps devices out until then may let
# them in. It comes back behind everything that the broker had for us before. The one at the begin of a connection is
# retained: a second bridge, which has the same session, learns by it of the first.
READY_TOPIC = "$bridge/ready"
# Beside a retained message that a trusted client gets: when it came, in epoch milliseconds (a user property).
STORED_AT_PROPERTY = "$bridge-stored-at"
# The data plane's word of the same, again and again beside Mosquitto; our own broker sees its subscriptions itself.
DATA_PLANE_READY_TOPIC = "$bridge/ready/data-plane"


# A trusted client closes another's connection: "$bridge/disconnect/<client id>", the client id quoted as in a URL,
# with {"cleanSession": bool, "preventWillMessage": bool}, as the API's DeleteConnection has them.
DISCONNECT_PREFIX = "$bridge/disconnect/"
# It asks of a client what GetConnection and ListSubscriptions tell; the answer is JSON, in this user property of the
# PUBACK.
CONNECTION_PREFIX = "$bridge/connection/"
SUBSCRIPTIONS_PREFIX = "$bridge/subscriptions/"
ANSWER_PROPERTY = "$bridge-answer"

# The broker tells the data plane of a client whose certificate is not registered and ACTIVE, and was refused:
# {"certificate": base64 of DER, "address": str, "serverName": str}.
UNKNOWN_CERTIFICATE_TOPIC = "$bridge/unknown-certificate"

# A trusted client lifts the limit of publishes for connections from now on, or sets it: {"publishesPerSecond": 100},
# 0 for none. Benches do, whose clients stand for many devices each.
LIMITS_TOPIC = "$bridge/limits"


def filter_fault(topic_filter: str) -> str | None:
    """Return why a topic filter is not one, or None."""
    if not topic_filter:
        return "the topic filter is empty"
    if "\0" in topic_filter:
        return "a topic filter cannot hold a NUL character"
    levels = topic_filter.split("/")
    for place, level in enumerate(levels):
        if "#" in level and (level != "#" or place != len(levels) - 1):
            return f"in topic filter '{topic_filter}' the wildcard # must be the whole last level"
        if "+" in level and level != "+":
            return f"in topic filter '{topic_filter}' the wildcard + must be a whole level"
    return None


def matcher(topic_filter: str) -> Callable[[str], bool]:
    """Return a function that says whether a topic matches the filter.

    `a/#` does not match its parent `a`, other than in MQTT: "the parent topic is not matched" ("AWS IoT
    differences from MQTT specifications" of the developer guide). A wildcard in the first level does not match
    topics that begin with `$`.
    """
    levels = topic_filter.split("/")
    if "#" not in levels and "+" not in levels:
        return topic_filter.__eq__
    pattern = "(?!\\$)" if levels[0] in {"#", "+"} else ""
    for place, level in enumerate(levels):
        if level == "#":
            pattern += "/.*" if place else ".*"
            break
        pattern += ("/" if place else "") + ("[^/]*" if level == "+" else re.escape(level))
    fullmatch = re.compile(pattern, re.DOTALL).fullmatch
    return lambda topic: fullmatch(topic) is not None


def basic_ingest(topic: str) -> tuple[str, str] | None:
    """Return the rule name and the rest of a topic `$aws/rules/<rule>/<rest>`; None for any other topic."""
    if not topic.startswith(BASIC_INGEST):
        return None
    name, _, rest = topic[len(BASIC_INGEST) :].partition("/")
    return name, rest


def split_shared(topic_filter: str) -> tuple[str, str] | None:
    """Return the name and the filter of `$share/<name>/<filter>`; None if it is not of this form."""
    name, slash, shared = topic_filter.removeprefix(SHARED_PREFIX).partition("/")
    if not (name and slash and shared) or "+" in name or "#" in name:
        return None
    return name, shared


# MQTT does not tell a subscriber who published. The rules engine must know (``clientid()``), so a trusted
# client may subscribe to "$from/+/<filter>" and gets the topic as "$from/<client id>/<topic>", the client id quoted
# as in a URL. A trusted client that publishes for somebody else publishes to "$from/<client id>/<topic>" itself, or
# to "$from//<topic>" for a publisher without a client id (HTTPS): the broker routes it as <topic> from that client.
FROM_PREFIX = "$from/"

# A trusted client gives one client alone a message: "$to/<client id>/<topic>", the client id quoted as in a URL.
TO_PREFIX = "$to/"

# "Reserved topics" of the AWS IoT Core developer guide: those whose "Client operations allowed" say Publish, of the
# services that exist here. A policy decides about them as about any topic; all others that begin with $ are AWS's.
_PUBLISHABLE = re.compile(
    r"\$aws/(?:"
    r"rules/.+"
    r"|things/[^/]+/shadow(?:/name/[^/]+)?/(?:get|update|delete)"
    r"|things/[^/]+/jobs/(?:get|start-next|[^/]+/(?:get|update))"
    r"|certificates/create(?:-from-csr)?/(?:json|cbor)"
    r"|provisioning-templates/[^/]+/provision/(?:json|cbor)"
    r")"
)


def open_to_clients(topic: str) -> bool:
    """Return whether clients may publish to the topic at all, if their policies allow it."""
    return not topic.startswith("$") or _PUBLISHABLE.fullmatch(topic) is not None


def intersection(one: str, other: str) -> str | None:
    """Return the topic filter of all topics that both filters match; None if there are none."""
    levels: list[str] = []
    left, right = one.split("/"), other.split("/")
    if (one[0] in "+#") != (other[0] in "+#") and "$" in (one[0], other[0]):
        return None  # wildcards at the start do not match "$..."
    for position in range(max(len(left), len(right))):
        a = left[position] if position < len(left) else None
        b = right[position] if position < len(right) else None
        if a == "#":
            return "/".join([*levels, *right[position:]]) or None
        if b == "#":
            return "/".join([*levels, *left[position:]]) or None
        if a is None or b is None:
            return None
        if a == "+" or b in ("+", a):
            levels.append(b if a == "+" else a)
        else:
            return None
    return "/".join(levels)


def without_overlaps(topic_filters: Iterable[str]) -> set[str]:
    """Return filters that match all that the given ones match, of which no two match the same topic.

    Mosquitto gives a client one copy of a message for each of its subscriptions that match. Where two filters overlap,
    one takes their place that may match more than both.
    """
    apart: list[str] = []
    for wanted in topic_filters:
        merged = wanted
        while overlapping := [one for one in apart if intersection(one, merged) is not None]:
            for one in overlapping:
                apart.remove(one)
                merged = _wider(one, merged)
        apart.append(merged)
    return set(apart)


def _wider(one: str, other: str) -> str:
    """Return the narrowest filter that matches all that either matches; they have a topic in common."""
    left, right = one.split("/"), other.split("/")
    levels: list[str] = []
    for a, b in zip_longest(left, right):
        if a is None or b is None or "#" in (a, b):
            return "/".join([*levels, "#"])
        levels.append(a if a == b else "+")
    return "/".join(levels)
