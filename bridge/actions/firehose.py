"""The ``firehose`` action: up to 500 records a request."""

from collections.abc import Sequence
from typing import Any

from bridge.actions.base import Services, UnsupportedActionError, batch_results, failure
from bridge.messages import Failure, Outgoing
from bridge.sql import CompiledRule

_SEPARATORS = {"", "\n", "\t", "\r\n", ","}


class FirehoseAction:
    """Puts records into one delivery stream."""

    name = "firehose"
    max_batch = 500

    def __init__(self, parameters: dict[str, Any], services: Services, _rule: CompiledRule) -> None:
        """``parameters``: deliveryStreamName, separator."""
        self._stream: str = parameters["deliveryStreamName"]
        separator = parameters.get("separator") or ""
        if separator not in _SEPARATORS:
            raise UnsupportedActionError(f"a firehose action cannot separate records by {separator!r}")
        self._separator = separator.encode()
        self._firehose = services.client("firehose")

    def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """See `bridge.actions.base.Action`."""
        records = [{"Data": outgoing.payload + self._separator} for outgoing in batch]
        try:
            answer = self._firehose.put_record_batch(DeliveryStreamName=self._stream, Records=records)
        except Exception as error:  # every failure of the call is sorted by `failure`
            return [failure(self._stream, error)] * len(batch)
        return batch_results(batch, self._stream, answer["RequestResponses"], "ErrorCode", "ErrorMessage")
