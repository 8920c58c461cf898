"""Topic filters of the FROM clause, and Basic Ingest topics."""

from __future__ import annotations

import re
from collections.abc import Callable

BASIC_INGEST = "$aws/rules/"

# Said again and again over a connection that has its subscriptions: whoever keeps devices out until then may let
# them in. It comes back behind everything that the broker had for us before.
READY_TOPIC = "$bridge/ready"

# `a/#` covers `a` by MQTT 3.1.1 (4.7.1.2), and so it is in the brokers below the bridge. AWS's topics.md says that
# `sensor/#` does not receive what is published to `sensor`: set this to False for that.
HASH_COVERS_PARENT = True


def filter_fault(topic_filter: str) -> str | None:
    """Why a topic filter is not one, or None."""
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
    """A function that says whether a topic matches the filter.

    `a/#` also matches its parent `a`; a wildcard in the first level does not match topics that begin with
    `$`.
    """
    levels = topic_filter.split("/")
    if "#" not in levels and "+" not in levels:
        return topic_filter.__eq__
    pattern = "(?!\\$)" if levels[0] in {"#", "+"} else ""
    for place, level in enumerate(levels):
        if level == "#":
            below = "(?:/.*)?" if HASH_COVERS_PARENT else "/.*"
            pattern += below if place else ".*"
            break
        pattern += ("/" if place else "") + ("[^/]*" if level == "+" else re.escape(level))
    fullmatch = re.compile(pattern, re.DOTALL).fullmatch
    return lambda topic: fullmatch(topic) is not None


def basic_ingest(topic: str) -> tuple[str, str] | None:
    """The rule name and the rest of a topic `$aws/rules/<rule>/<rest>`; None for any other topic."""
    if not topic.startswith(BASIC_INGEST):
        return None
    name, _, rest = topic[len(BASIC_INGEST) :].partition("/")
    return name, rest


# MQTT does not tell a subscriber who published. The rules engine must know (``clientid()``), so a trusted
# client may subscribe to "$from/+/<filter>" and gets the topic as "$from/<client id>/<topic>", the client id quoted
# as in a URL. A trusted client that publishes for somebody else publishes to "$from/<client id>/<topic>" itself, or
# to "$from//<topic>" for a publisher without a client id (HTTPS): the broker routes it as <topic> from that client.
FROM_PREFIX = "$from/"

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
