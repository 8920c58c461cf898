"""Nobody answering is not a refusal: it is tried for as long as it takes, and never goes to the error action."""

import socket
from collections.abc import Iterator

import boto3
import pytest
from botocore.config import Config

from bridge.actions.base import failure


@pytest.fixture(params=["nobody listens", "nobody answers"])
def endpoint(request: pytest.FixtureRequest) -> Iterator[str]:
    """Provide the address of an emulator that is away: stopped, or frozen."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if request.param == "nobody answers":
            listener.listen()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_an_endpoint_that_is_away_is_unreachable_and_nothing_lasting(endpoint: str) -> None:
    once = Config(connect_timeout=0.2, read_timeout=0.2, retries={"total_max_attempts": 1})
    client = boto3.Session("test", "test", region_name="eu-central-1").client(
        "sqs", endpoint_url=endpoint, config=once
    )
    with pytest.raises(Exception) as raised:  # noqa: PT011  # which one is botocore's affair
        client.send_message(QueueUrl=f"{endpoint}/1/queue", MessageBody="{}")
    why = failure("queue", raised.value)
    assert (why.unreachable, why.lasting) == (True, False)
