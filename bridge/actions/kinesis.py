"""The ``kinesis`` action: up to 500 records a request."""

from collections.abc import Sequence
from typing import Any

from bridge.actions.base import Services, batch_results, failure
from bridge.messages import Failure, Outgoing
from bridge.sql import CompiledRule


class KinesisAction:
    """Puts records into one stream."""

    name = "kinesis"
    max_batch = 500

    def __init__(self, parameters: dict[str, Any], services: Services, rule: CompiledRule) -> None:
        """``parameters``: streamName, partitionKey (a template; a new UUID for each message unless given)."""
        self._stream: str = parameters["streamName"]
        self._key = rule.compile_template(parameters.get("partitionKey") or "${newuuid()}")
        self._kinesis = services.client("kinesis")

    def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """See `bridge.actions.base.Action`."""
        try:
            records = [
                {"Data": outgoing.payload, "PartitionKey": self._key.render(outgoing.message) or "-"}
                for outgoing in batch
            ]
            answer = self._kinesis.put_records(StreamName=self._stream, Records=records)
        except Exception as error:  # every failure of the call is sorted by `failure`
            return [failure(self._stream, error)] * len(batch)
        return batch_results(batch, self._stream, answer["Records"], "ErrorCode", "ErrorMessage")
