"""Turns AWS IoT policies into Mosquitto's access list, a section for every certificate's common name.

Mosquitto's lists know the topic filters of MQTT and nothing finer. What a policy says beyond them is left out,
so that nobody gets more than the policy gives, and is reported:

- ``*`` at the end of a pattern, after a slash, becomes ``#`` (and the level above is denied);
- ``*`` as a whole level inside becomes ``+``, which is less than AWS's any number of levels;
- any other ``*`` or ``?`` cannot be expressed;
- what is known at a CONNECT alone (the address, a last will, a persistent session) cannot be asked for: an Allow with
  such a condition does not apply, a Deny does.

A client receives what both ``iot:Receive`` and ``iot:Subscribe`` allow. Mosquitto grants every SUBSCRIBE, and then
delivers nothing that the list does not allow.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from bridge.policies import Connection, InexpressibleError, Policies
from bridge.policies.patterns import plain
from bridge.topics import BASIC_INGEST, intersection

# "Reserved topics" of the developer guide, as far as their services are here. Fleet provisioning is not: Mosquitto
# would give the keys that AWS sends to who asked to everybody who listens.
REQUESTS = (
    f"{BASIC_INGEST}#",
    *(
        f"$aws/things/+/shadow/{name}{verb}"
        for name in ("", "name/+/")
        for verb in ("get", "update", "delete")
    ),
    *(f"$aws/things/+/jobs/{rest}" for rest in ("get", "start-next", "+/get", "+/update")),
)
_ANSWERS = ("$aws/things/#", "$aws/events/#")

_RESERVED = re.compile(r"[\x00-\x1f\x7f]")


@dataclass
class Access:
    """What one client may do, as topic filters; ``left_out`` says what of its policies could not be kept."""

    publish: set[str] = field(default_factory=set)
    receive: set[str] = field(default_factory=set)
    denied: set[str] = field(default_factory=set)
    left_out: set[str] = field(default_factory=set)

    def section(self, name: str) -> Iterator[str]:
        """Return the lines of the list for the client of this common name."""
        yield f"user {name}"
        # Mosquitto looks at what is denied first, wherever it stands.
        for kind, topics in (("deny", self.denied), ("write", self.publish), ("read", self.receive)):
            for topic in sorted(topics):
                yield f"topic {kind} {topic}"


def access(policies: Policies, connection: Connection) -> Access | None:
    """Return what the policies let this client do; None if it may not even connect."""
    if _RESERVED.search(connection.client_id) or connection.client_id != connection.client_id.strip():
        return None
    if not policies.allow("iot:Connect", f"client/{connection.client_id}", connection):
        return None
    found = Access()
    found.left_out |= {f"conditions on {key}" for key in policies.unknowable(connection)}
    publish = _filters(policies, "iot:Publish", "topic", connection, found)
    receive = _filters(policies, "iot:Receive", "topic", connection, found)
    subscribe = _filters(policies, "iot:Subscribe", "topicfilter", connection, found)
    # "$..." is the broker's own but for what devices ask of AWS's services: presence events must not be forged, nor
    # $SYS be read. In AWS's policies "*" is those, too; in Mosquitto's lists "#" is not.
    found.publish = {topic for topic in publish if not topic.startswith("$")} | {
        both
        for one in _with_reserved(publish, REQUESTS)
        for other in REQUESTS
        if (both := intersection(one, other))
    }
    found.receive = {
        both
        for one in _with_reserved(receive, _ANSWERS)
        for other in _with_reserved(subscribe, _ANSWERS)
        if (both := intersection(one, other)) and (both[0] != "$" or _within(both, _ANSWERS))
    }
    return found


def access_list(sections: Iterable[tuple[str, Access]], trusted: Iterable[str]) -> str:
    """Return the whole file. ``trusted`` names may do everything, and so may clients of the internal listener."""
    everything = ["topic readwrite #", "topic readwrite $aws/#", "topic readwrite $bridge/#"]
    lines = list(everything)
    for name in trusted:
        lines += [f"user {name}", *everything]
    for name, allowed in sections:
        lines += allowed.section(name)
    return "\n".join(lines) + "\n"


def _with_reserved(filters: set[str], reserved: tuple[str, ...]) -> set[str]:
    return filters | set(reserved) if "#" in filters else filters


def _within(topic_filter: str, wider: tuple[str, ...]) -> bool:
    return any(topic_filter.startswith(one.removesuffix("#")) for one in wider)


def _filters(policies: Policies, action: str, kind: str, connection: Connection, found: Access) -> set[str]:
    """Return the filters that ``action`` is allowed on; what is denied and what cannot be said go to ``found``."""
    allowed: set[str] = set()
    try:
        grants = list(policies.grants(action, connection))
    except InexpressibleError as error:
        found.left_out.add(f"{action}: {error}")
        return allowed
    for grant in grants:
        pattern = "*" if grant.resource == "*" else grant.resource.removeprefix(f"{kind}/")
        if grant.resource not in ("*", f"{kind}/{pattern}"):
            continue  # of another kind of resource
        if not grant.allow:
            found.denied.add(_wider(pattern))
            continue
        topic_filter, exact = _filter(pattern, may_have_wildcards=kind == "topicfilter")
        if not exact:
            found.left_out.add(f"{action} on {pattern}")
        if topic_filter is None:
            continue
        allowed.add(topic_filter)
        parent = topic_filter.removesuffix("/#")
        if (
            pattern.endswith("/*")
            and "+" not in parent
            and not policies.allow(action, f"{kind}/{parent}", connection)
        ):
            # "a/#" matches "a", too, which "a/*" does not.
            found.denied.add(parent)
    return allowed


def _filter(pattern: str, *, may_have_wildcards: bool) -> tuple[str | None, bool]:
    """Return a topic filter within the pattern (None: there is no such), and whether it is all of it."""
    if pattern == "*":
        return "#", True
    levels = pattern.split("/")
    exact = True
    for position, level in enumerate(levels):
        last = position == len(levels) - 1
        if level == "*":
            levels[position] = "#" if last else "+"
            exact = exact and last
        elif "*" in level or "?" in level:
            return None, False
        elif any(sign in level for sign in "+#") and not may_have_wildcards:
            return None, True  # a topic with such a sign does not exist
    text = plain("/".join(levels))
    return (None, False) if _RESERVED.search(text) else (text, exact)


def _wider(pattern: str) -> str:
    """Return a topic filter that has the whole pattern in it: a denial may be wider, never narrower."""
    levels: list[str] = []
    for level in pattern.split("/"):
        if "*" in level:
            return "/".join([*levels, "#"])  # it spans levels
        levels.append("+" if "?" in level else level)
    return plain("/".join(levels))
