"""What trusted clients ask of the broker itself, by publishing to its own topics.

The answer, JSON, is a user property of the PUBACK; None stands for a client that is not there.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from bridge.topics import CONNECTION_PREFIX, DISCONNECT_PREFIX, LIMITS_TOPIC, SUBSCRIPTIONS_PREFIX

if TYPE_CHECKING:
    from bridge.broker.server import Broker


def is_command(topic: str) -> bool:
    """Return whether a message to the topic is for the broker, and for nobody else."""
    return topic == LIMITS_TOPIC or topic.startswith(
        (DISCONNECT_PREFIX, CONNECTION_PREFIX, SUBSCRIPTIONS_PREFIX)
    )


def carry_out(broker: "Broker", topic: str, options: Mapping[str, Any]) -> Any:
    """Carry out a command.

    Args:
        broker: that is asked.
        topic: one that `is_command` knows.
        options: the payload.

    Returns:
        What the PUBACK answers, as JSON has it.
    """
    if topic == LIMITS_TOPIC:
        broker.limit_publishes(int(options["publishesPerSecond"]))
        return True
    client_id = unquote(topic.rpartition("/")[2])
    if topic.startswith(CONNECTION_PREFIX):
        return broker.describe(client_id, sockets=bool(options.get("includeSocketInformation")))
    if topic.startswith(SUBSCRIPTIONS_PREFIX):
        return broker.subscriptions(client_id)
    found = broker.disconnect(
        client_id,
        clean_session=bool(options.get("cleanSession")),
        prevent_will=bool(options.get("preventWillMessage")),
    )
    return found or None
