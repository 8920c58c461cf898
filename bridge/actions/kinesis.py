"""The ``kinesis`` action: up to 500 records a request."""

from collections.abc import Sequence

from bridge.actions.base import Services, batch_results, by_target, failure
from bridge.actions.parameters import Parameters
from bridge.messages import Failure, Outgoing
from bridge.sql import RuleSqlError


class KinesisAction:
    """Puts records into one stream."""

    name = "kinesis"
    max_batch = 500

    def __init__(self, parameters: Parameters, services: Services) -> None:
        """Read streamName and partitionKey, both templates (a new UUID for each message unless given)."""
        self._stream = parameters.template("streamName")
        self._key = parameters.template("partitionKey", "${newuuid()}")
        parameters.role()
        self._kinesis = services.client("kinesis")

    def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """See `bridge.actions.base.Action`."""
        return by_target(batch, self._stream, self._put)

    def _put(self, stream: str, batch: Sequence[Outgoing]) -> list[Failure | None]:
        try:
            records = [
                {"Data": outgoing.payload, "PartitionKey": self._key.render(outgoing.message) or "-"}
                for outgoing in batch
            ]
            answer = self._kinesis.put_records(StreamName=stream, Records=records)
        except RuleSqlError as error:
            if len(batch) > 1:  # one message's key must not take its neighbours along
                return [result for outgoing in batch for result in self._put(stream, [outgoing])]
            return [Failure(stream, str(error), lasting=True)]
        except Exception as error:  # every failure of the call is sorted by `failure`
            return [failure(stream, error)] * len(batch)
        return batch_results(batch, stream, answer["Records"], "ErrorCode", "ErrorMessage")
