"""The ``republish`` action: back to the broker, on another topic."""

from collections.abc import Sequence
from typing import Any

from bridge.actions.base import Services, one_by_one
from bridge.messages import Failure, Outgoing
from bridge.sql import CompiledRule


class RepublishAction:
    """Publishes to a topic that is a substitution template."""

    name = "republish"
    max_batch = 1

    def __init__(self, parameters: dict[str, Any], services: Services, rule: CompiledRule) -> None:
        """``parameters``: topic, qos."""
        # "$$aws/..." is how a rule writes a reserved topic: a single $ would start a template.
        self._topic = rule.compile_template(parameters["topic"])
        self._qos = int(parameters.get("qos") or 0)
        self._services = services

    def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """See `bridge.actions.base.Action`."""
        return one_by_one(batch, self._topic.template, self._publish)

    def _publish(self, outgoing: Outgoing) -> None:
        topic = self._topic.render(outgoing.message)
        topic = f"${topic.removeprefix('$$')}" if topic.startswith("$$") else topic
        self._services.publish(topic, outgoing.payload, self._qos)
