"""Event source mappings on ministack read streams as AWS's do (bridge/ministack/streams.py)."""

import subprocess
import uuid
from collections.abc import Iterator

import pytest

from testbed.engines.embedded import ministack_environment
from testbed.paths import REPOSITORY
from testbed.pipeline import dead_letters, stream
from tests.integration.conftest import AwsEmulator
from tests.integration.engines.mapped import Mapped

# The poller's thread looks for records that expire while another puts. ministack 1.5.33 alone keeps 447 of these.
_PUTS = """
import sys, threading
sys.path.insert(0, sys.argv[1])
import streams
from ministack.services import kinesis

streams.patch()
sys.setswitchinterval(1e-6)
kinesis._create_stream({"StreamName": "races", "ShardCount": 1})
stream = kinesis._streams["races"]
stream["StreamStatus"] = "ACTIVE"
[shard] = stream["shards"].values()
ended = threading.Event()

def look():
    while not ended.is_set():
        kinesis._expire_records(stream)

looking = threading.Thread(target=look)
looking.start()
for number in range(2000):
    kinesis._put_records({"StreamName": "races", "Records": [{"Data": "YQ==", "PartitionKey": str(number)}]})
ended.set()
looking.join()
[shard] = stream["shards"].values()
print(len(shard["records"]))
for record in shard["records"][:500]:
    record["ApproximateArrivalTimestamp"] -= 25 * 3600
kinesis._expire_records(stream)
print([record["PartitionKey"] for record in shard["records"]] == [str(number) for number in range(500, 2000)])
"""


def test_no_record_is_lost_while_others_expire() -> None:
    """Retention is looked after by the thread that reads, beside the one that puts."""
    command = [
        str(ministack_environment() / "bin" / "python"),
        "-c",
        _PUTS,
        str(REPOSITORY / "bridge/ministack"),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.stdout.split(), ended.stderr) == (["2000", "True"], "")


def test_a_stream_keeps_the_tags_that_it_is_made_with(aws_emulator: AwsEmulator) -> None:
    """Provider 6 sends them there (bridge/ministack/tags.py)."""
    kinesis, name = aws_emulator.client("kinesis"), f"tags-{uuid.uuid4().hex[:8]}"
    kinesis.create_stream(StreamName=name, ShardCount=1, Tags={"Project": "ev-swap"})
    tags = kinesis.list_tags_for_stream(StreamName=name)["Tags"]
    kinesis.delete_stream(StreamName=name)
    assert tags == [{"Key": "Project", "Value": "ev-swap"}]


@pytest.fixture
def mapped(aws_emulator: AwsEmulator) -> Iterator[Mapped]:
    made = Mapped(aws_emulator)
    try:
        yield made
    finally:
        made.close()


def test_a_delivery_begins_again_where_the_answer_says(mapped: Mapped) -> None:
    """And a window is one delivery, though a batch may have more."""
    mapped.put("a", "once", "b")
    mapped.map(BatchSize=100, MaximumBatchingWindowInSeconds=1)
    mapped.wait_for(lambda: len(mapped.deliveries()) == 2)
    assert mapped.deliveries() == [["a", "once", "b"], ["once", "b"]]


def test_a_record_that_kills_is_found_by_halving_and_given_up_as_a_range(mapped: Mapped) -> None:
    """What is given up is a letter that names records of the stream; those before and behind it are done."""
    sequences = mapped.put("a", "b", "kill", "c")
    mapped.map(BatchSize=100, BisectBatchOnFunctionError=True, MaximumRetryAttempts=0)
    mapped.wait_for(
        lambda: ["c"] in mapped.deliveries() and dead_letters.read(mapped.sqs, mapped.queue) != []
    )
    [letter] = dead_letters.read(mapped.sqs, mapped.queue)
    assert sorted(mapped.deliveries()) == [
        ["a", "b"],
        ["a", "b", "kill", "c"],
        ["c"],
        ["kill"],
        ["kill", "c"],
    ]
    assert letter.reason == "stream_batch_failed"
    assert letter.given_up is not None
    assert (letter.given_up.first, letter.given_up.last, letter.given_up.records) == (
        sequences[2],
        sequences[2],
        1,
    )
    assert stream.bodies(mapped.kinesis, letter.given_up) == [b"kill"]
