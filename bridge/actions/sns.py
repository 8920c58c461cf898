"""The ``sns`` action: ten messages a request."""

import json
from collections.abc import Sequence
from typing import Any

from bridge.actions.base import Services, by_target, failed_entries, failure, request_failed
from bridge.actions.parameters import Parameters
from bridge.messages import Failure, Outgoing


class SnsAction:
    """Publishes to one topic."""

    name = "sns"
    max_batch = 10

    def __init__(self, parameters: Parameters, services: Services) -> None:
        """Read targetArn (a template) and messageFormat (RAW or JSON; RAW unless given: sns-rule-action.md)."""
        self._topic = parameters.template("targetArn")
        self._json = parameters.choice("messageFormat", ("RAW", "JSON"), "RAW") == "JSON"
        parameters.role()
        self._sns = services.client("sns")

    def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """See `bridge.actions.base.Action`."""
        return by_target(batch, self._topic, self._publish)

    def _publish(self, topic: str, batch: Sequence[Outgoing]) -> list[Failure | None]:
        entries = [self._entry(index, outgoing) for index, outgoing in enumerate(batch)]
        try:
            answer = self._sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)
        except Exception as error:  # every failure of the call is sorted by `failure`
            return request_failed(batch, failure(topic, error), lambda part: self._publish(topic, part))
        return failed_entries(batch, topic, answer)

    def _entry(self, index: int, outgoing: Outgoing) -> dict[str, Any]:
        text = outgoing.payload.decode("utf-8", "replace")
        entry = {"Id": str(index), "Message": text}
        # Format JSON means SNS's own "a message for each protocol"; a payload that is none goes as it is.
        if self._json and isinstance(outgoing.document, dict) and "default" in outgoing.document:
            protocols = {
                name: value if isinstance(value, str) else json.dumps(value)
                for name, value in outgoing.document.items()
            }
            entry |= {"Message": json.dumps(protocols), "MessageStructure": "json"}
        return entry
