"""The ``firehose`` action: up to 500 records a request.

With ``batchMode`` each element of a message's array is a record (developer guide, kinesis-firehose-rule-action.md).
"""

from collections.abc import Sequence

from bridge.actions.base import Services, batch_results, by_target, failure
from bridge.actions.parameters import Parameters
from bridge.messages import Failure, Outgoing
from bridge.sql import to_bytes

_SEPARATORS = ("", "\n", "\t", "\r\n", ",")
_MOST_RECORDS = 500


class FirehoseAction:
    """Puts records into one delivery stream."""

    name = "firehose"
    max_batch = _MOST_RECORDS

    def __init__(self, parameters: Parameters, services: Services) -> None:
        """Read deliveryStreamName (a template), separator, batchMode."""
        self._stream = parameters.template("deliveryStreamName")
        self._separator = parameters.choice("separator", _SEPARATORS, "").encode()
        self._batch_mode = parameters.flag("batchMode")
        parameters.role()
        self._firehose = services.client("firehose")

    def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """See `bridge.actions.base.Action`."""
        return by_target(batch, self._stream, self._put_each if self._batch_mode else self._put_all)

    def _put_all(self, stream: str, batch: Sequence[Outgoing]) -> list[Failure | None]:
        records = [{"Data": outgoing.payload + self._separator} for outgoing in batch]
        try:
            answer = self._firehose.put_record_batch(DeliveryStreamName=stream, Records=records)
        except Exception as error:  # every failure of the call is sorted by `failure`
            return [failure(stream, error)] * len(batch)
        return batch_results(batch, stream, answer["RequestResponses"], "ErrorCode", "ErrorMessage")

    def _put_each(self, stream: str, batch: Sequence[Outgoing]) -> list[Failure | None]:
        return [self._put_elements(stream, outgoing) for outgoing in batch]

    def _put_elements(self, stream: str, outgoing: Outgoing) -> Failure | None:
        """Put the elements of one message; a record that the stream did not take fails the message."""
        elements = outgoing.document
        if not isinstance(elements, list):
            return self._put_all(stream, [outgoing])[0]
        if len(elements) > _MOST_RECORDS:
            return Failure(stream, f"an array of {len(elements)}: batchMode takes at most 500", lasting=True)
        if not elements:
            return None
        parts = [Outgoing(outgoing.message, to_bytes(element), element) for element in elements]
        return next((why for why in self._put_all(stream, parts) if why), None)
