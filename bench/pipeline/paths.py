"""The ways from a publish to the archive that are measured, and how: by a burst and by steady rates."""

import time
from dataclasses import dataclass
from typing import Protocol

from bench.pipeline.publishers import LoadClients, telemetry
from testbed.archive import reader
from testbed.deploy.deployment import Deployment
from testbed.errors import TestbedError
from testbed.pipeline import quiet
from testbed.pipeline.quiet import until_bridge_is_idle

PATIENCE_SECONDS = 300.0


class MessagePath(Protocol):
    """A way from a publish to what is stored. ``window``: seconds that a batch may wait to fill."""

    name: str
    window: float

    def publish(self, run_id: str, count: int, rate: float = 0) -> float:
        """Publish; see `LoadClients.send`."""

    def waiting(self) -> int:
        """Return how many messages the queue has, those in work included."""

    def settle(self) -> None:
        """Wait until everything published is where it goes.

        Raises:
            TestbedError: it took over five minutes.
        """

    def stored(self, run_id: str) -> int:
        """Return how many different messages of a run are in the archive."""


@dataclass
class Pipeline:
    """The deployed pipeline."""

    deployment: Deployment
    publishers: LoadClients
    window: float
    name: str = "the testbed"
    _sequence: int = 1

    def publish(self, run_id: str, count: int, rate: float = 0) -> float:
        """Publish with sequences that go on from one run to the next, as a station's do."""
        first, self._sequence = self._sequence, self._sequence + count
        return self.publishers.send(
            self.deployment.telemetry_topic("{name}"), telemetry(run_id, first), count, rate
        )

    def waiting(self) -> int:
        """See `MessagePath`."""
        return quiet.queue_depth(self.deployment.client("sqs"), self.deployment.outputs.telemetry_queue_url)

    def settle(self) -> None:
        """See `MessagePath`."""
        until_bridge_is_idle(self.deployment, PATIENCE_SECONDS)
        queue = self.deployment.outputs.telemetry_queue_url
        if quiet.wait_for_empty_queue(self.deployment.client("sqs"), queue, PATIENCE_SECONDS):
            raise TestbedError("The queue did not empty.", "See `make logs`.")

    def stored(self, run_id: str) -> int:
        """See `MessagePath`."""
        s3, bucket = self.deployment.client("s3"), self.deployment.outputs.telemetry_bucket_name
        return len(
            {
                record["message_id"]
                for record in reader.records(s3, bucket)
                if f"-{run_id}-" in record["message_id"]
            }
        )


@dataclass(frozen=True)
class Burst:
    """How long it took from the first publish until all were stored, in seconds, and how many were."""

    path: str
    sent: int
    stored: int
    seconds: float

    @property
    def rate(self) -> float:
        """Rate of storing, in messages a second."""
        return self.stored / self.seconds


def burst(path: MessagePath, messages: int) -> Burst:
    """Publish as fast as the broker takes it, and wait until nothing is on its way."""
    run_id = f"burst{time.time_ns()}"
    begun = time.monotonic()
    path.publish(run_id, messages)
    path.settle()
    seconds = time.monotonic() - begun
    return Burst(path.name, messages, path.stored(run_id), seconds)


@dataclass(frozen=True)
class Steady:
    """A steady rate for some seconds. ``waiting``: messages in the queue when publishing ended."""

    path: str
    offered: int
    seconds: float
    published: float
    waiting: int
    stored: int
    window: float

    @property
    def kept_up(self) -> bool:
        """Whether publishing was not held up, all is stored, and no more waits than a second and the window bring."""
        everything = self.stored >= self.offered * self.seconds
        return (
            everything
            and self.published > 0.97 * self.offered
            and self.waiting <= self.offered * (1 + self.window)
        )


def steady(path: MessagePath, rate: int, seconds: float) -> Steady:
    """Offer ``rate`` messages a second for so many seconds."""
    run_id, count = f"steady{rate}x{time.time_ns()}", int(rate * seconds)
    spent = path.publish(run_id, count, rate)
    waiting = path.waiting()
    path.settle()
    return Steady(path.name, rate, seconds, count / spent, waiting, path.stored(run_id), path.window)
