"""What AWS IoT Core allows of a connection, and what it refuses.

The figures are those of "AWS IoT Core message broker and protocol limits and quotas" (AWS General Reference) and of
"MQTT" in the AWS IoT Core developer guide.
"""

from dataclasses import dataclass

from bridge.topics import BASIC_INGEST, SHARED_PREFIX, filter_fault, split_shared

MOST_PAYLOAD_BYTES = 128 * 1024
# What AWS IoT Core says in a CONNACK: room for header and properties on top of the payload.
MOST_PACKET_BYTES = 149_504

_KEEP_ALIVE_LEAST, _KEEP_ALIVE_MOST = 30, 1200
_TOPIC_BYTES, _TOPIC_SLASHES, _SHARE_NAME_CHARACTERS, _CLIENT_ID_BYTES = 256, 7, 128, 128
_EXPIRY_LEAST, _EXPIRY_MOST = 1, 604_800


@dataclass(frozen=True)
class Limits:
    """Limits of a connection; ``publishes`` is a second, 0 for as many as it likes; ``session`` in seconds.

    ``burst`` is how many publishes may come at once: AWS documents none, and lets 500 in one second pass and loses a
    fifth of 700 (measured on AWS in a public project, "Testing with AWS IoT limits and quotas").
    """

    subscriptions: int = 50
    filters: int = 8
    in_flight: int = 100
    topic_aliases: int = 8
    publishes: int = 100
    burst: int = 500
    session: int = 3600


# The testbed's own: the rules engine sends in batches of ten from several threads and wants hundreds in flight.
TRUSTED = Limits(
    subscriptions=10_000, filters=10_000, in_flight=1000, publishes=0, session=0xFFFFFFFF, topic_aliases=8
)


def keep_alive(asked: int) -> int:
    """Return the keep-alive that applies, in seconds: 30 to 1,200; 1,200 for 0."""
    return min(max(asked, _KEEP_ALIVE_LEAST), _KEEP_ALIVE_MOST) if asked else _KEEP_ALIVE_MOST


def message_expiry(asked: int) -> int:
    """Return the message expiry that applies, in seconds: 1 to 604,800 ("Message expiry" in mqtt.html)."""
    return min(max(asked, _EXPIRY_LEAST), _EXPIRY_MOST)


def client_id_fault(client_id: str) -> str | None:
    """Return why AWS IoT would not take the client id, or None."""
    if len(client_id.encode()) > _CLIENT_ID_BYTES:
        return f"its client id has more than {_CLIENT_ID_BYTES} bytes"
    if client_id.startswith("$"):
        return "its client id begins with $, which AWS IoT keeps for the ids that it makes up"
    return None


def topic_fault(topic: str) -> str | None:
    """Return why AWS IoT would not take the topic or topic filter, or None.

    ``$aws/rules/<rule>/`` is not counted.
    """
    counted = topic
    if topic.startswith(BASIC_INGEST):
        counted = topic.removeprefix(BASIC_INGEST).partition("/")[2]
    if len(counted.encode()) > _TOPIC_BYTES:
        return f"it has more than {_TOPIC_BYTES} bytes"
    if counted.count("/") > _TOPIC_SLASHES:
        return f"it has more than {_TOPIC_SLASHES} slashes"
    return None


def subscription_fault(topic_filter: str) -> str | None:
    """Return why AWS IoT would not take the topic filter of a subscription, shared or not, or None."""
    if topic_filter == "$share" or topic_filter.startswith(SHARED_PREFIX):
        shared = split_shared(topic_filter)
        if shared is None:
            return "a shared subscription is $share/<name>/<topic filter>, the name without +, # and /"
        if len(shared[0]) > _SHARE_NAME_CHARACTERS:
            return f"the name of its share has more than {_SHARE_NAME_CHARACTERS} characters"
        topic_filter = shared[1]
    return filter_fault(topic_filter) or topic_fault(topic_filter)
