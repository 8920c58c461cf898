"""The ``sns`` action: ten messages a request."""

import json
from collections.abc import Sequence
from typing import Any

from bridge.actions.base import Services, failed_entries, failure, request_failed
from bridge.messages import Failure, Outgoing
from bridge.sql import CompiledRule


class SnsAction:
    """Publishes to one topic."""

    name = "sns"
    max_batch = 10

    def __init__(self, parameters: dict[str, Any], services: Services, _rule: CompiledRule) -> None:
        """``parameters``: targetArn, messageFormat (RAW or JSON; JSON unless given, as on AWS)."""
        self._topic: str = parameters["targetArn"]
        self._json = parameters.get("messageFormat", "JSON") == "JSON"
        self._sns = services.client("sns")

    def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """See `bridge.actions.base.Action`."""
        entries = [self._entry(index, outgoing) for index, outgoing in enumerate(batch)]
        try:
            answer = self._sns.publish_batch(TopicArn=self._topic, PublishBatchRequestEntries=entries)
        except Exception as error:  # every failure of the call is sorted by `failure`
            return request_failed(batch, failure(self._topic, error), self.send)
        return failed_entries(batch, self._topic, answer)

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
