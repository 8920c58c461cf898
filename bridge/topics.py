"""MQTT topics and topic filters, with AWS IoT's reserved topics."""

BASIC_INGEST_PREFIX = "$aws/rules/"


def matches(topic_filter: str, topic: str) -> bool:
    """Whether ``topic`` matches ``topic_filter`` (MQTT 3.1.1, 4.7).

    ``#`` also matches the level above it; a wildcard in front never matches a topic that starts with ``$``.
    """
    if topic.startswith("$") and topic_filter.startswith(("+", "#")):
        return False
    wanted, given = topic_filter.split("/"), topic.split("/")
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(given) or level not in ("+", given[index]):
            return False
    return len(wanted) == len(given)


def valid_filter(topic_filter: str) -> bool:
    """Whether wildcards stand only where they may (4.7.1)."""
    levels = topic_filter.split("/")
    return bool(topic_filter) and all(
        (level in ("+", "#") or not set(level) & {"+", "#"}) and (level != "#" or index == len(levels) - 1)
        for index, level in enumerate(levels)
    )


def basic_ingest(topic: str) -> tuple[str, str] | None:
    """The rule and the rest of a Basic Ingest topic ``$aws/rules/<rule>/<rest>``, or None."""
    if not topic.startswith(BASIC_INGEST_PREFIX):
        return None
    rule, _, rest = topic.removeprefix(BASIC_INGEST_PREFIX).partition("/")
    return rule, rest
