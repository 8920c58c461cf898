"""What is counted for the bill is what the deployed design's handler is given: a queue's batch, or a stream's."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from bench import calls
from telemetry_handler import envelope, invocation
from testbed.cost.bill import Workload
from testbed.cost.designs import DEFAULT, Design

WORKLOAD = Workload(1000, 5, 5)


@pytest.mark.parametrize("stream", ["", "telemetry"])
def test_the_handler_reads_each_record_of_a_batch(stream: str) -> None:
    deployment: Any = SimpleNamespace(
        outputs=SimpleNamespace(telemetry_stream_name=stream),
        telemetry_topic="ev-swap/stations/{}/telemetry".format,
    )
    batch = next(calls._batches(WORKLOAD, "run", 7))
    given = calls._event(deployment, batch)["Records"]
    read = invocation._stream_record if stream else invocation._message
    records = [read(each) for each in given]
    assert len({record.record_id for record in records}) == 7
    for record, message in zip(records, batch, strict=True):
        carried = envelope.read(record)
        assert isinstance(carried, envelope.Message)
        assert json.loads(carried.payload) == message
        assert carried.topic == f"ev-swap/stations/{message['station_id']}/telemetry"


def test_a_lanes_batch_is_not_a_pollers() -> None:
    """1,000 stations every 5 s: 200 a poller of five; four shards on demand, or one that is bought."""
    assert calls.batch_of(DEFAULT, WORKLOAD) == 200
    assert calls.batch_of(Design("kinesis on-demand"), WORKLOAD) == 250
    assert calls.batch_of(Design("kinesis provisioned"), WORKLOAD) == 1000
