"""The Kinesis stream before the handler, where there is one: what waits in it, and what of it was given up.

AWS tells nobody how far an event source mapping has read. The handler's log does: a batch's line has the shard, and the
sequence number through which all is safe (``functions/telemetry_handler/report.py``).
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from testbed.deploy.deployment import Deployment

# How far back in the log a shard's last batch is looked for: minutes at first, and then as long as a stream keeps.
_LOOK_BACK_SECONDS = (600, 86_400)
# What CloudWatch may know later than it is old.
_LATE_MILLISECONDS = 10_000
_PAGE = 1000
# Nobody waits for more to be counted.
_MOST = 100_000


@dataclass(frozen=True)
class Range:
    """Records of a shard, from the first sequence number to the last: ``KinesisBatchInfo`` of an on-failure record."""

    stream_arn: str
    shard: str
    first: str
    last: str
    records: int

    @classmethod
    def of(cls, info: dict[str, Any]) -> "Range":
        """Take it from AWS's document.

        Raises:
            KeyError: it is no such document.
        """
        return cls(
            str(info["streamArn"]),
            str(info["shardId"]),
            str(info["startSequenceNumber"]),
            str(info["endSequenceNumber"]),
            int(info["batchSize"]),
        )


class Backlog:
    """How many records of the stream the handler has not done yet."""

    def __init__(self, deployment: Deployment) -> None:
        """Look at nothing yet."""
        self._stream = deployment.outputs.telemetry_stream_name
        self._group = f"/aws/lambda/{deployment.outputs.telemetry_function_name}"
        self._kinesis = deployment.client("kinesis") if self._stream else None
        self._logs = deployment.client("logs")
        self._done: dict[str, str] = {}
        self._read_until = 0

    def depth(self) -> int:
        """Count them; 0 where there is no stream."""
        if self._kinesis is None:
            return 0
        shards = [each["ShardId"] for each in self._kinesis.list_shards(StreamName=self._stream)["Shards"]]
        self._read_log(shards)
        return sum(self._behind(shard) for shard in shards)

    def _read_log(self, shards: list[str]) -> None:
        now = int(time.time() * 1000)
        if self._read_until:
            self._read_since(self._read_until - _LATE_MILLISECONDS)
        for seconds in _LOOK_BACK_SECONDS:
            if not self._done.keys() >= set(shards) and self._read_until < now:
                self._read_since(now - 1000 * seconds)
        self._read_until = now

    def _read_since(self, milliseconds: int) -> None:
        pages = self._logs.get_paginator("filter_log_events").paginate(
            logGroupName=self._group, startTime=milliseconds, filterPattern="through"
        )
        for page in pages:
            for event in page["events"]:
                try:
                    line = json.loads(event["message"])
                    shard, through = str(line["shard"]), str(line["through"])
                except (ValueError, KeyError, TypeError):
                    continue
                self._done[shard] = max(self._done.get(shard, "0"), through, key=int)

    def _behind(self, shard: str) -> int:
        assert self._kinesis is not None  # noqa: S101  # there is a stream
        place: Any = (
            {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": self._done[shard]}
            if shard in self._done
            else {"ShardIteratorType": "TRIM_HORIZON"}
        )
        count = 0
        for record in _records(self._kinesis, shard, place, StreamName=self._stream):
            # Some emulators begin at the number itself.
            count += int(record["SequenceNumber"]) > int(self._done.get(shard, "0"))
            if count >= _MOST:
                break
        return count


def bodies(kinesis: Any, given_up: Range) -> list[bytes]:
    """Return what the records of the range hold; fewer than it has where the stream no longer keeps them."""
    place = {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": given_up.first}
    found = []
    for record in _records(kinesis, given_up.shard, place, StreamARN=given_up.stream_arn):
        if int(record["SequenceNumber"]) > int(given_up.last):
            break
        if int(record["SequenceNumber"]) >= int(given_up.first):
            found.append(bytes(record["Data"]))
    return found


def _records(kinesis: Any, shard: str, place: dict[str, Any], **stream: str) -> Iterator[dict[str, Any]]:
    """Yield the records of a shard from a place on, to its end as it is now."""
    iterator = kinesis.get_shard_iterator(ShardId=shard, **place, **stream)["ShardIterator"]
    while iterator:
        page = kinesis.get_records(ShardIterator=iterator, Limit=_PAGE)
        yield from page["Records"]
        # An empty page is no end: AWS tells how far behind it is.
        if not page.get("MillisBehindLatest"):
            return
        iterator = page.get("NextShardIterator")
