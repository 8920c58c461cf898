"""What of a stream's event source mapping LocalStack 4.14.0 carries out; what it lacks, `make up` says."""

from collections.abc import Iterator
from typing import Any

import pytest

from testbed.engines.localstack_process.install import install, install_kinesis
from testbed.pipeline import dead_letters, stream
from tests.integration.engines.mapped import Mapped

from .conftest import LocalStack


@pytest.fixture
def mapped(localstack: LocalStack) -> Iterator[Mapped]:
    install_kinesis(install().libraries)
    made = Mapped(localstack)
    try:
        yield made
    finally:
        made.close()


def test_a_delivery_begins_again_where_the_answer_says(mapped: Mapped) -> None:
    mapped.put("a", "once", "b")
    mapped.map(BatchSize=100, MaximumBatchingWindowInSeconds=1)
    mapped.wait_for(lambda: len(mapped.deliveries()) == 2)
    assert mapped.deliveries() == [["a", "once", "b"], ["once", "b"]]


@pytest.mark.parametrize(
    "limit",
    [{"MaximumRetryAttempts": 1}, {"MaximumRecordAgeInSeconds": 60}],
    ids=lambda limit: next(iter(limit)),
)
def test_a_batch_that_kills_is_not_halved_and_given_up_whole_as_a_range(mapped: Mapped, limit: Any) -> None:
    """AWS would halve it; here its neighbours are in the letter, too, from where a redrive takes them."""
    sequences = mapped.put("a", "b", "kill", "c")
    mapped.map(BatchSize=100, BisectBatchOnFunctionError=True, **limit)
    mapped.wait_for(lambda: dead_letters.read(mapped.sqs, mapped.queue) != [], seconds=120)
    [letter] = dead_letters.read(mapped.sqs, mapped.queue)
    assert {tuple(each) for each in mapped.deliveries()} == {("a", "b", "kill", "c")}
    assert letter.reason == "stream_batch_failed"
    assert letter.given_up is not None
    assert (letter.given_up.first, letter.given_up.last, letter.given_up.records) == (
        sequences[0],
        sequences[3],
        4,
    )
    assert stream.bodies(mapped.kinesis, letter.given_up) == [b"a", b"b", b"kill", b"c"]
